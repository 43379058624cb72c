"""The record beside a file that is being mined: what is mined there, and how far it has come.

A line of JSON with the settings, then one for each stretch of queries: how many are done, where
their groups end in the file, and what became of their hits. It is only ever appended to, so that a
run that is killed leaves at worst half a line; it is locked while it is written.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.mining.report import Mined


class Journal:
    """How far mining into one file has come; held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open it, and read what is there; raise InputError where another process has it."""
        self.path = path
        self.settings: Mapping[str, Any] | None = None
        """None in a new one."""
        self._begin_anew()
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InputError(
                f"another process is mining into {path.with_suffix('')}; wait for it, or name"
                " another file"
            ) from None
        self._read()

    def _begin_anew(self) -> None:
        self.done = 0
        """Queries."""
        self.end = 0
        """Bytes of their groups."""
        self.documents: int | None = None
        """How many the index had."""
        self.report = Mined()

    def start(self, settings: Mapping[str, Any]) -> None:
        """Forget what was there."""
        self._file.truncate(0)
        self._begin_anew()
        self.settings = settings
        self._append({"settings": settings})

    def reached(self, report: Mined, *, end: int, documents: int) -> None:
        """Record a further stretch of queries, with what became of their hits."""
        self.done, self.end, self.documents = self.done + report.queries, end, documents
        self.report.add(report)
        self._append({"end": end, "documents": documents, "report": report.to_dict()})

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        try:
            for raw in self._file:
                if not raw.endswith(b"\n"):
                    break  # cut off by a kill
                line = json.loads(raw)
                whole += len(raw)
                if "settings" in line:
                    self.settings = line["settings"]
                else:
                    its = Mined.from_dict(line["report"])
                    self.done, self.end = self.done + its.queries, line["end"]
                    self.documents = line["documents"]
                    self.report.add(its)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            self._file.close()
            raise InputError(
                f"{self.path} is not the record of a mining that goes with this version; remove it,"
                " or name another file"
            ) from exc
        self._file.truncate(whole)
