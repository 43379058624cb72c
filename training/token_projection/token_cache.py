"""Token vectors of texts on disk, so that none is computed twice, whatever ends a run.

Numbers are float16, rows one after another in one file; another has a line for each text. A text's
line follows its numbers, so that what a kill left without one is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.errors import InputError

_STORED = np.dtype("<f2")
_CALL_CHARACTERS = 1 << 14  # texts encoded together: what a kill loses


class TokenCache:
    """The token vectors of the texts that were added."""

    def __init__(
        self, stem: Path, encode: Callable[[Sequence[str]], Sequence[Encoding]], dimension: int
    ) -> None:
        """Use the files `stem`.f16 and `stem`.jsonl; raise InputError where they cannot be."""
        self._encode = encode
        self.dimension = dimension
        self._places: dict[str, tuple[int, int]] = {}  # hash -> first row, rows
        self._rows = 0
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            self._numbers = stem.with_suffix(".f16").open("a+b")
            self._lines = stem.with_suffix(".jsonl").open("a+b")
            self._read()
        except OSError as exc:
            raise _unusable(stem, exc) from exc

    def tokens(self, text: str) -> Vectors:
        """Return a text's tokens, (tokens, dim), rows of length 1; KeyError if it was not added."""
        start, rows = self._places[content_hash(text)]
        self._numbers.seek(start * self._row_bytes)
        stored = np.frombuffer(self._numbers.read(rows * self._row_bytes), dtype=_STORED)
        found: Vectors = stored.reshape(rows, self.dimension).astype(np.float32)
        return found

    @property
    def bytes(self) -> int:
        """What the numbers take on the disk."""
        return self._rows * self._row_bytes

    def add(
        self, texts: Iterable[str], *, on_progress: Callable[[int], None] | None = None
    ) -> None:
        """Encode what is missing of the texts; `on_progress` hears how many are dealt with."""
        wanted = list(dict.fromkeys(texts))
        missing = [text for text in wanted if content_hash(text) not in self._places]
        if on_progress and len(missing) < len(wanted):
            on_progress(len(wanted) - len(missing))
        for call in cut(
            sorted(missing, key=len), len, size=_CALL_CHARACTERS, count=_CALL_CHARACTERS
        ):
            tokens = [encoding.tokens for encoding in self._encode(call)]
            self._write(call, tokens)
            if on_progress:
                on_progress(len(call))

    def close(self) -> None:
        """Close the files."""
        self._numbers.close()
        self._lines.close()

    @property
    def _row_bytes(self) -> int:
        return self.dimension * _STORED.itemsize

    def _write(self, texts: Sequence[str], tokens: Sequence[Vectors]) -> None:
        lines = []
        for text, rows in zip(texts, tokens, strict=True):
            key = content_hash(text)
            self._places[key] = (self._rows, len(rows))
            lines.append(json.dumps([key, len(rows)]) + "\n")
            self._rows += len(rows)
        try:
            self._numbers.write(np.concatenate(tokens).astype(_STORED).tobytes())
            self._numbers.flush()
            self._lines.write("".join(lines).encode())
            self._lines.flush()
        except OSError as exc:
            raise _unusable(Path(self._numbers.name), exc) from exc

    def _read(self) -> None:
        """Learn where texts are, and cut off what was half written."""
        self._lines.seek(0)
        whole = 0
        size = self._numbers.seek(0, 2)
        for line in self._lines:
            try:
                key, rows = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or (self._rows + rows) * self._row_bytes > size:
                break
            self._places[key] = (self._rows, rows)
            self._rows += rows
            whole += len(line)
        self._lines.truncate(whole)
        self._numbers.truncate(self.bytes)


def _unusable(path: Path, exc: OSError) -> InputError:
    return InputError(
        f"cannot keep token vectors at {path}: {exc.strerror or exc}; what is there is used again"
    )
