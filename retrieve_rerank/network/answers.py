"""Answers of servers, which may be anything: unpacked to a bounded size and read as JSON.

What cannot be read raises ValueError, which says what came instead.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import orjson

from retrieve_rerank.network.addresses import HIDDEN, without_credentials

MAX_BYTES = 256 << 20
"""Of one unpacked answer: what a hundred documents of a book's length come to."""

SAID = 400
"""Characters of a server's own words in a message."""

LONGEST_PAUSE_S = 86_400.0
"""A server that asks for a longer pause asks for a day."""

_LONGEST_WHOLE = 20  # digits; orjson reads what 64 bits cannot hold as floats
_SHOWN = 60  # bytes or characters of what is no JSON
_PACKED = ("gzip", "x-gzip", "deflate")


class UnreadableError(ValueError):
    """An answer cannot be unpacked."""


class TooLargeError(UnreadableError):
    """An answer is larger than any that is expected."""


class Unpacking:
    """Unpacks an answer as it comes; raises as soon as that gets too large."""

    def __init__(self, encoding: str | None, *, limit: int = MAX_BYTES) -> None:
        """`encoding` is the answer's Content-Encoding: gzip, deflate or none."""
        self._encoding = (encoding or "identity").strip().lower()
        # Both kinds of heads are recognised: https://zlib.net/manual.html#Advanced
        self._inflate = zlib.decompressobj(wbits=47) if self._encoding in _PACKED else None
        self._limit = self._left = limit

    def feed(self, chunk: bytes) -> bytes:
        """Unpack the next piece."""
        if self._inflate is None and self._encoding != "identity":
            raise UnreadableError(
                f"the answer is packed as {self._encoding[:40]!r}, which nobody asked for"
            )
        if self._inflate is not None:
            try:
                chunk = self._inflate.decompress(chunk, self._left + 1)
            except zlib.error as exc:
                raise UnreadableError(f"the answer cannot be unpacked: {exc}") from exc
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLargeError(f"the answer has more than {self._limit:,} bytes")
        return chunk


def read_json(content: bytes | str) -> Any:
    """Read JSON (RFC 8259), halves of surrogate pairs included.

    A number that no float can hold is infinite. NaN, Infinity and -Infinity are read as well, as
    servers written in Python send them; what is made of them is for whoever asked to say.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(content, parse_int=_whole)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as exc:
        reason = str(exc)
    begins = content[:_SHOWN]
    words = begins if isinstance(begins, str) else begins.decode(errors="replace")
    raise ValueError(f"{reason}; it begins with {words!r}" if words else "it is empty")


def said(words: object, *, secrets: Iterable[str] = ()) -> str:
    """Return what a message may repeat of a server's own words: one short line, no secret."""
    text = str(words)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = " ".join(without_credentials(text[: 20 * SAID]).split())
    return text if len(text) <= SAID else f"{text[:SAID]}…"


def pause_s(retry_after: str | None) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110, section 10.2.3), as seconds from now.

    None where it is neither; from 0 to LONGEST_PAUSE_S.
    """
    if not retry_after:
        return None
    try:
        asked = float(retry_after)
    except ValueError:
        try:
            asked = parsedate_to_datetime(retry_after).timestamp() - time()
        except (ValueError, OverflowError, TypeError):
            return None
    return None if math.isnan(asked) else min(max(0.0, asked), LONGEST_PAUSE_S)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_WHOLE else float(digits)
