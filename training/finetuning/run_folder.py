"""Where a run keeps what it has done, so that the same command goes on after any end."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.training.converting import grouped_line
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.looks import record_look
from retrieve_rerank.types import Qrels

DOUBTFUL_FILE = "doubtful.jsonl"


class RunFolder:
    """The folder of one run; another index, other data or settings are another run."""

    def __init__(self, runs: Path, described: Mapping[str, Any]) -> None:
        """Name the folder under `runs` by what the run depends on; nothing is made yet."""
        text = json.dumps(described, sort_keys=True, default=str)
        self.runs = runs
        self.described = described
        self.path = runs / hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def groups(self) -> Path:
        """The mined groups."""
        return self.path / "groups.jsonl"

    @property
    def training(self) -> Path:
        """What the trainer keeps."""
        return self.path / "training"

    @property
    def doubtful(self) -> Path:
        """Training positives that are probably wrong, as groups of one text."""
        return self.path / DOUBTFUL_FILE

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    def before_promotion(self) -> Iterator[RunFolder]:
        """Yield the runs that are there and began when another version served, or none: what else
        they depend on is the same, but for the base, which is what serves unless it is named."""
        for file in sorted(self.runs.glob("*/run.json")):
            its = _read(file)
            settings = {**self.described["settings"], "base": its["settings"]["base"]}
            found = {**self.described, "promoted": its["promoted"], "settings": settings}
            earlier = RunFolder(self.runs, found)
            if self.path != earlier.path == file.parent:
                yield earlier

    def read(self, name: str) -> Any:
        """Return what `write` wrote down under a name, None where it did not."""
        return _read(self.path / f"{name}.json")

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a result down, whole or not at all; raise ModelError where it cannot be."""
        write_json(self.path / f"{name}.json", content)

    def count_look(self, queries: Mapping[str, str], test: Qrels) -> int:
        """Note that this run looks at test queries; return how many runs for its index have."""
        index = self.described["index"]
        return record_look(self.runs, queries, test, index=index, run=self.path.name)

    def write_groups(self, groups: Iterable[Group]) -> None:
        """Write the groups to train on, whole or not at all; raise InputError where that fails."""
        half = self.groups.with_name(f".{self.groups.name}")
        try:
            half.write_bytes(b"".join(map(grouped_line, groups)))
            half.replace(self.groups)
        except OSError as exc:
            raise InputError(f"cannot write {self.groups}: {exc.strerror or exc}") from exc

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the runs of this model for this process; raise InputError where another has them."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.runs / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise InputError(f"cannot write to {self.path}: {exc.strerror or exc}") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            raise InputError(
                f"another run for {self.runs.name} is at work; wait for its end, or give this one"
                " a name of its own with --name"
            ) from exc
        try:
            if self.read("run") is None:
                self.write("run", self.described)
            yield
        finally:
            os.close(descriptor)


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read {file}: {exc}; remove {file.parent} to begin anew") from exc
