"""Networks of transformers from folders, without a word: what is amiss becomes an error of ours.

Needs the extra `torch`. Knows nothing of what a network is for.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging as its_logging

from retrieve_rerank.errors import ModelError

_silence = threading.RLock()  # whose switches are the whole process's


def load_pretrained(kind: Any, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """Load a network from safetensors and without its code; return what was amiss beside it.

    `kind` is a class of transformers and `options` what its `from_pretrained` takes. Raises
    ModelError.
    """
    try:
        with silent():
            network, found = kind.from_pretrained(
                str(folder),
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as exc:
        raise ModelError(f"transformers cannot load {folder}: {exc}") from exc
    return network, found


@contextmanager
def silent() -> Iterator[None]:
    """Keep the bars, reports and warnings of loading from standard error."""
    with _silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bars, level = its_logging.is_progress_bar_enabled(), its_logging.get_verbosity()
        its_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # its own
        its_logging.set_verbosity(logging.CRITICAL)
        try:
            yield
        finally:
            its_logging.set_verbosity(level)
            if bars:
                its_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
