"""How often a test set was looked at: who chooses by it measures what chance has favoured.

A small file beside a model's versions, a line for each look, which no run rewrites.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from retrieve_rerank.data.json_lines import JsonRecords
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.normalising import digest

LOOKS = "looks.jsonl"


def digest_of(queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]) -> str:
    """Name a test set by what is judged: the same queries and judgments in whatever order."""
    judged = sorted(
        f"{queries.get(query, query)}\0{document}\0{grade}"
        for query, grades in qrels.items()
        for document, grade in grades.items()
    )
    return f"{digest(*judged):016x}"


def record_look(folder: Path, test: str, *, run: str) -> int:
    """Note, before it is measured, that a run looks at a test set; return how many runs have.

    A run that is taken up again counts once. Raises InputError where the record cannot be kept:
    a look that is not counted must not be taken.
    """
    runs = runs_that_looked(folder, test)
    if run in runs:
        return len(runs)
    line = json.dumps({"test": test, "run": run, "time": datetime.now(UTC).isoformat()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOOKS).open("ab", buffering=0) as file:
            end = file.tell()
            if file.write(written := f"{line}\n".encode()) < len(written):
                file.truncate(end)  # half a line would be a broken record
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as exc:
        raise InputError(
            f"cannot note in {folder / LOOKS} that the test queries are looked at: {exc.strerror}"
        ) from exc
    return len(runs) + 1


def runs_that_looked(folder: Path, test: str) -> Collection[str]:
    """Return the runs that looked at a test set; raise InputError for a record that is broken."""
    if not (folder / LOOKS).exists():
        return ()
    runs: dict[str, None] = {}
    for place, record in JsonRecords(str(folder / LOOKS)).objects():
        if isinstance(record, Reason) or not isinstance(record.get("run"), str):
            raise InputError(f"{place}: expected a look with test, run and time; got {record}")
        if record.get("test") == test:
            runs.setdefault(record["run"])
    return tuple(runs)
