"""Parts of the searches that may deserve a model of their own, told by a field of the queries."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import make_folder, read_query_field
from retrieve_rerank.models.checkpoints.folder_files import read_json
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.models.checkpoints.versions import name_part
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.slices import FEWEST_IN_SLICE
from retrieve_rerank.training.splits import SPLITS

FEWEST = MappingProxyType({"train": 100, "dev": 10, "calibration": 0, "test": FEWEST_IN_SLICE})
"""Split -> judged queries below which a segment has no model of its own: too few to learn what sets
it apart, to choose a depth on, or to show a gain."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Which segment each query is of, and which of them have enough judged queries."""

    field: str
    of: Mapping[str, str]
    """Query -> value of the field."""
    enough: Sequence[str]
    """Values that get a model of their own."""
    too_few: Mapping[str, str]
    """Value -> what it lacks; the model for all serves it."""


def read_segments(folder: Path, field: str, judged: SplitJudgments) -> Segments:
    """Tell the segments of a folder's queries; raise InputError where no query has the field."""
    of = read_query_field(folder, field)
    queries = {split: getattr(judged, split) for split in reversed(SPLITS)}
    counts = {
        split: Counter(of[query] for query in qrels if query in of)
        for split, qrels in queries.items()
    }
    values = sorted({value for each in counts.values() for value in each})
    if not values:
        raise InputError(
            f"no judged query of {folder} has the field {field!r}; expected it in queries.jsonl,"
            ' as in {"_id": …, "text": …, "' + field + '": …}'
        )
    too_few = {}
    for value in values:
        lacks = [
            f"{counts[split][value]:,} {split} (at least {least:,})"
            for split, least in FEWEST.items()
            if counts[split][value] < least
        ]
        if lacks:
            too_few[value] = ", ".join(lacks)
    return Segments(field, of, [value for value in values if value not in too_few], too_few)


def of_segment(judged: SplitJudgments, segments: Segments, value: str) -> SplitJudgments:
    """Return the judged queries of one segment."""
    kept: dict[str, Any] = {
        split: {
            q: grades for q, grades in getattr(judged, split).items() if segments.of.get(q) == value
        }
        for split in SPLITS
    }
    return replace(judged, **kept, segments={})


class Done:
    """Which models of a command that trains several are there, so that the same command goes on.

    Once they are all there they are forgotten: the command given again trains anew.
    """

    def __init__(self, file: Path, described: Mapping[str, Any]) -> None:
        """Another description is another command, which begins at the beginning."""
        text = json.dumps(described, sort_keys=True, default=str)
        self._file = file
        self._command = hashlib.sha256(text.encode()).hexdigest()
        found = read_json(file, absent={})
        known = isinstance(found, dict) and found.get("command") == self._command
        self._names: list[str] = list(found.get("done") or ()) if known else []

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Remember that a model is there; raise ModelError where that cannot be written."""
        self._names.append(name)
        make_folder(self._file.parent)
        write_json(self._file, {"command": self._command, "done": self._names})

    def forget(self) -> None:
        """Let the command begin anew when it is given again."""
        self._file.unlink(missing_ok=True)


def name_of(model: str, value: str) -> str:
    """Name the model of a segment."""
    return f"{model}-{name_part(value)}"
