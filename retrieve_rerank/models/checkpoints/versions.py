"""Versions of a model that was trained here, and which of them is promoted.

`models/NAME/3` in the data directory is version 3 of NAME, a folder like any model's. Which version
is promoted, and which were before it, stands in `promoted.json` beside them: a small file that is
replaced by a rename, so that whoever reads it meets the old state or the new one, whatever happens.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import InputError, ModelError, ModelNotFoundError
from retrieve_rerank.models.checkpoints import folder_schema as schema
from retrieve_rerank.models.checkpoints.folder_files import AGAIN
from retrieve_rerank.models.checkpoints.folder_schema import checked, read_settings
from retrieve_rerank.models.checkpoints.version_record import (
    Record,
    Serving,
    flush,
    now,
    read_record,
    read_serving,
    write_json,
)

PROMOTED_FILE = "promoted.json"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
NUMBER = re.compile(r"[1-9]\d{0,8}")

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_PART = 40
_COPYING = ".copying"
_HISTORY: schema.Schema = {"history": schema.list_of(schema.OBJECT)}
_ENTRY: schema.Schema = {
    "version": schema.whole(1, 1 << 31),
    "since": schema.TEXT,
    "serving": schema.OBJECT,
}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model."""

    name: str
    number: int
    folder: Path
    promoted: bool
    record: Record = field(default_factory=Record)

    @property
    def address(self) -> str:
        """What names it wherever a model is asked for."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that was promoted, as promoted.json has it."""

    name: str
    version: int
    since: str
    """Date and time, ISO 8601."""
    serving: Serving | None
    folder: Path
    """Where it was; it may have been moved away since."""

    @property
    def address(self) -> str:
        """What names the version wherever a model is asked for."""
        return f"{self.name}@{self.version}"


class ModelVersions:
    """The versions of the model NAME in a data directory.

    Several processes may use it at once: those that change something wait for each other.
    """

    def __init__(self, data_dir: Path | str, name: str) -> None:
        if not NAME.fullmatch(name):
            raise InputError(
                f"{name!r} cannot be a model's name; expected letters, digits, dots, dashes and _"
            )
        self.name = name
        self.folder = models_folder(Path(data_dir)) / name

    @property
    def numbers(self) -> list[int]:
        """The versions whose folders are there, lowest first."""
        return sorted(
            int(each.name)
            for each in (self.folder.iterdir() if self.folder.is_dir() else ())
            if NUMBER.fullmatch(each.name) and each.is_dir()
        )

    @property
    def promotion(self) -> Promotion | None:
        """The version that is promoted; raise ModelError where promoted.json cannot be read."""
        return next(reversed(self._history()), None)

    @property
    def promoted(self) -> int | None:
        """The number of the version that is promoted."""
        found = self.promotion
        return None if found is None else found.version

    def list(self) -> list[Version]:
        """Return the versions whose folders are there, lowest first."""
        promoted = self.promoted
        return [
            Version(self.name, n, self.path(n), n == promoted, read_record(self.path(n)))
            for n in self.numbers
        ]

    def path(self, number: int) -> Path:
        """Return where a version's folder is, or would be."""
        return self.folder / str(number)

    @property
    def addresses(self) -> str:
        """What names each of the versions whose folders are there, for messages."""
        return ", ".join(f"{self.name}@{n}" for n in self.numbers) or "none"

    def unknown(self, number: str, which: str = "") -> ModelNotFoundError:
        """Make the error that says which versions are there in place of `number`."""
        which = f", {which}," if which else ""
        return ModelNotFoundError(
            f"version {number} of {self.name}{which} is not in {self.folder}; there: "
            f"{self.addresses}"
        )

    def add(self, model: Path) -> int:
        """Copy a model's folder, and return the number of the version that it became.

        Nothing is promoted. A model whose record is a version's already, as after a kill, stays
        that version. Raises ModelNotFoundError where there is no such folder, ModelError
        where it cannot be copied.
        """
        if not model.is_dir():
            raise ModelNotFoundError(f"no model folder at {model}")
        record = read_record(model)
        with self._locked():
            if record.created:  # to the microsecond: no other model's
                for made in self.numbers:
                    if read_record(self.path(made)) == record:
                        return made
            used = [*self.numbers, *(each.version for each in self._history()), 0]
            number = max(used) + 1
            half = self.folder / _COPYING
            try:
                shutil.rmtree(half, ignore_errors=True)  # of a process that ended half-way
                shutil.copytree(model, half)
                for file in half.rglob("*"):
                    flush(file)
                half.rename(self.path(number))
                flush(self.folder)
            except OSError as exc:
                shutil.rmtree(half, ignore_errors=True)
                # copytree gathers what went wrong with each file.
                why = exc.args[0][0][2] if isinstance(exc, shutil.Error) else exc.strerror or exc
                raise ModelError(
                    f"cannot keep {model} as version {number} of {self.name}: {why}; the model is"
                    " still in its own folder"
                ) from exc
        return number

    def promote(self, number: int) -> None:
        """Make a version the one that serves; raise ModelNotFoundError where it is not there."""
        if number not in self.numbers:
            raise self.unknown(str(number))
        record = read_record(self.path(number))
        with self._locked():
            history = self._history()
            if history and history[-1].version == number:
                return
            since = now()
            made = Promotion(self.name, number, since, record.serving, self.path(number))
            self._write([*history, made])

    def rollback(self) -> int | None:
        """Promote what was promoted before, and return it: None where nothing was.

        Raises ModelNotFoundError where nothing is promoted, or that version's folder is gone.
        """
        with self._locked():
            history = self._history()
            if not history:
                raise ModelNotFoundError(
                    f"no version of {self.name} is promoted; there is nothing to go back from"
                )
            before = history[:-1]
            if before and before[-1].version not in self.numbers:
                raise self.unknown(str(before[-1].version), "which was promoted before")
            self._write(before)
        return before[-1].version if before else None

    def _history(self) -> Sequence[Promotion]:
        file = self.folder / PROMOTED_FILE
        try:
            entries = read_settings(file, _HISTORY).get("history") or []
            return [self._promotion(entry, file) for entry in entries]
        except ModelError as exc:
            said = str(exc).removesuffix(f"; {AGAIN}")  # which brings no promotion back
            raise ModelError(
                f"{said}. Delete {file} to have no version of {self.name} promoted"
            ) from exc

    def _promotion(self, entry: Mapping[str, Any], file: Path) -> Promotion:
        checked(entry, _ENTRY, where=str(file))
        if entry.get("version") is None:
            raise ModelError(f"{file} holds a promotion without a version")
        return Promotion(
            self.name,
            entry["version"],
            entry.get("since") or "",
            read_serving(entry.get("serving"), where=str(file)),
            self.path(entry["version"]),
        )

    def _write(self, history: Sequence[Promotion]) -> None:
        entries = [
            {
                "version": each.version,
                "since": each.since,
                "serving": asdict(each.serving) if each.serving else None,
            }
            for each in history
        ]
        write_json(self.folder / PROMOTED_FILE, {"history": entries})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise ModelError(f"cannot write to {self.folder}: {exc.strerror or exc}") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go by the system if the process dies
            yield
        finally:
            os.close(descriptor)


def models_folder(data_dir: Path) -> Path:
    """Return where a data directory keeps the models that were trained."""
    return data_dir / "models"


def name_part(text: str) -> str:
    """Make a text a part of a model's name; what a name cannot hold is told by a hash of it."""
    plain = _NOT_IN_NAMES.sub("-", text).lstrip("._-")
    if plain == text and len(plain) <= _LONGEST_PART:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return "-".join(filter(None, (plain[:_LONGEST_PART].rstrip("-"), digest)))
