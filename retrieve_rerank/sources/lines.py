"""A file or standard input, gzipped or not, line by line.

Knows nothing of what a line means.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from retrieve_rerank.errors import InputError
from retrieve_rerank.sources.records import Reason

MAX_LINE_BYTES = 32 * 2**20
"""A longer line is skipped rather than held in memory; six Bibles fit."""

STDIN = "-"

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class LineFile:
    """A text file that is read once, from its beginning to its end.

    Raises InputError where it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.name = "standard input" if path == STDIN else path
        self.size = 0
        """Bytes on disk; 0 for standard input and pipes."""
        self.position = 0
        """Bytes read of them."""
        self._path = path
        if path == STDIN:
            return
        if Path(path).is_file():
            self.size = Path(path).stat().st_size
        if self.first_line().startswith(_UTF16_BOMS):
            raise InputError(
                f"{path} is UTF-16; expected UTF-8: iconv -f UTF-16 -t UTF-8 {path} > NEW"
            )

    def first_line(self) -> bytes:
        """Return the first line that is not blank; empty for a stream, which reads only once."""
        if not self.size:
            return b""
        lines = (line for _, line in self.lines() if isinstance(line, bytes) and line.strip())
        return next(lines, b"")

    def lines(self) -> Iterator[tuple[int, bytes | Reason]]:
        """Iterate over the lines and their numbers, from 1; raise InputError on a broken file."""
        number = 0
        try:
            for stream, raw in self._open():
                while line := stream.readline(MAX_LINE_BYTES):
                    number += 1
                    if self.size:
                        self.position = raw.tell()
                    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                        _skip_line(stream)
                        yield number, Reason("line too long", f"over {MAX_LINE_BYTES >> 20} MiB")
                    else:
                        yield number, line.removeprefix(_BOM) if number == 1 else line
        except (EOFError, OSError, zlib.error) as exc:
            if number == 0:
                raise InputError(f"cannot read {self.name}: {exc}") from exc
            raise InputError(
                f"cannot read {self.name} beyond line {number}: {exc}. "
                "What stands before is kept; get an intact copy and run again"
            ) from exc

    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Open the stream of lines, and the file under it that knows the position on disk."""
        if self._path == STDIN:
            yield sys.stdin.buffer, sys.stdin.buffer
            return
        with Path(self._path).open("rb") as raw:
            if not self._path.endswith(".gz"):
                yield raw, raw
                return
            with gzip.open(raw) as stream:
                yield cast(IO[bytes], stream), raw  # it lacks only IO's `mode`


def _skip_line(stream: IO[bytes]) -> None:
    while (rest := stream.readline(2**20)) and not rest.endswith(b"\n"):
        pass
