"""JSON values on standard output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

import click

from retrieve_rerank.text.template import readable

# Which JSON leaves as they are, and terminals obey.
_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def write_json(value: Any) -> None:
    """Write one line to stdout, whatever is in it; NaN and infinities, which JSON lacks, are null.

    Characters that stdout's encoding lacks are escaped, which says the same.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False)
    text = readable(text).translate(_ESCAPED)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))
    click.echo(text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
