"""Text files that people bring, gzipped or not: line by line, or small ones whole.

Every reader of such files reads through here, so that all have the same limits and read what
editors write: UTF-8, with a byte order mark or without.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError

MAX_LINE_BYTES = 32 * 2**20
"""A longer line is skipped rather than held in memory; six Bibles fit."""

MAX_SETTINGS_BYTES = 2**20

STDIN = "-"

_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_GZIP_MAGIC = b"\x1f\x8b"


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
        if path != STDIN and Path(path).is_file():
            self.size = Path(path).stat().st_size
            self.first_line()  # raises where it is no text of ours

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
                    if number == 1:
                        line = _without_mark(line, self.name)
                    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                        _skip_line(stream)
                        yield number, Reason("line too long", f"over {MAX_LINE_BYTES >> 20} MiB")
                    else:
                        yield number, line
        except (EOFError, OSError, zlib.error) as exc:
            said = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
            if number == 0:
                raise InputError(f"cannot read {self.name}: {said}") from exc
            raise InputError(
                f"cannot read {self.name} beyond line {number}: {said}; get an intact copy and "
                "run again"
            ) from exc

    def texts(self) -> Iterator[tuple[int, str]]:
        """Iterate over the lines that are not blank, as text without the line's end.

        For files of which every line matters: raises InputError on one that cannot be read.
        """
        for number, line in self.lines():
            if isinstance(line, Reason):
                raise InputError(f"{self.name}:{number}: {line}")
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as exc:
                raise InputError(
                    f"{self.name}:{number}: expected UTF-8; got byte {exc.object[exc.start]:#04x}"
                ) from None
            if text.strip():
                yield number, text

    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Open the stream of lines, and the file under it that knows the position on disk."""
        if self._path == STDIN:
            yield sys.stdin.buffer, sys.stdin.buffer
            return
        with Path(self._path).open("rb") as raw:
            if not self._path.endswith(".gz") and not raw.peek(2).startswith(_GZIP_MAGIC):
                yield raw, raw
                return
            with gzip.open(raw) as stream:
                yield cast(IO[bytes], stream), raw  # it lacks only IO's `mode`


def read_settings_text(path: Path) -> str:
    """Read a small file whole: settings, a prompt.

    Raises OSError, and InputError that says what is wrong with the content.
    """
    with path.open("rb") as file:
        content = file.read(MAX_SETTINGS_BYTES + 1)
    if len(content) > MAX_SETTINGS_BYTES:
        raise InputError(f"it is over {MAX_SETTINGS_BYTES >> 20} MiB")
    try:
        return _without_mark(content, str(path)).decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"expected UTF-8; got byte {exc.object[exc.start]:#04x}") from None


def _without_mark(content: bytes, name: str) -> bytes:
    if content.startswith(UTF16_BOMS):
        raise InputError(f"{name} is UTF-16; expected UTF-8: iconv -f UTF-16 -t UTF-8 {name} > NEW")
    return content.removeprefix(_BOM)


def _skip_line(stream: IO[bytes]) -> None:
    while (rest := stream.readline(2**20)) and not rest.endswith(b"\n"):
        pass
