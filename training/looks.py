"""How often test queries were looked at: who chooses by them measures what chance has favoured.

A small file beside a model's versions, a line for each look, which no run rewrites. What other
models' runs have looked at is in the folders beside it, and counts as well: a new name, or a test
set that shares queries with an earlier one, makes nothing unseen.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retrieve_rerank.data.json_lines import JsonRecords
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.types import Qrels

LOOKS = "looks.jsonl"


def digest_of(queries: Mapping[str, str], qrels: Qrels) -> str:
    """Name a test set by what is judged: the same queries and judgments in whatever order."""
    judged = sorted(
        f"{queries.get(query, query)}\0{document}\0{grade}"
        for query, grades in qrels.items()
        for document, grade in grades.items()
    )
    return f"{digest(*judged):016x}"


def record_look(
    folder: Path, queries: Mapping[str, str], qrels: Qrels, *, index: str, run: str
) -> int:
    """Note, before they are measured, that a run looks at test queries; return how many runs have.

    Those are the runs for the index that looked at the query which was looked at most. A run that
    is taken up again counts once. Raises InputError where the record cannot be kept, or another
    model's cannot be read: a look that is not counted must not be taken.
    """
    test = digest_of(queries, qrels)
    texts = {f"{digest(queries.get(query, query)):016x}" for query in qrels}
    runs: dict[str, set[tuple[Path, str]]] = {text: set() for text in texts}
    for file in {folder / LOOKS, *folder.parent.glob(f"*/{LOOKS}")}:
        for look in _read(file):
            seen: set[str] = set()
            if look.get("test") == test:  # all that earlier releases noted
                seen = texts
            elif look.get("index") == index:
                seen = texts.intersection(look["queries"])
            for text in seen:
                runs[text].add((file, look["run"]))
    most = max(map(len, runs.values()))
    if any((folder / LOOKS, run) in each for each in runs.values()):
        return most
    now = datetime.now(UTC).isoformat()
    _write(
        folder, {"index": index, "test": test, "queries": sorted(texts), "run": run, "time": now}
    )
    return most + 1


def _read(file: Path) -> Iterator[dict[str, Any]]:
    if not file.exists():
        return
    for place, record in JsonRecords(str(file)).objects():
        if isinstance(record, Reason) or not isinstance(record.get("run"), str):
            raise InputError(f"{place}: expected a look with test, run and time; got {record}")
        yield record


def _write(folder: Path, look: Mapping[str, object]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOOKS).open("ab", buffering=0) as file:
            end = file.tell()
            if file.write(written := f"{json.dumps(look)}\n".encode()) < len(written):
                file.truncate(end)  # half a line would be a broken record
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as exc:
        raise InputError(
            f"cannot note in {folder / LOOKS} that the test queries are looked at: {exc.strerror}"
        ) from exc
