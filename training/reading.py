"""Training data as a stream of groups, from a file in any known format or from judgments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from retrieve_rerank.data.corpus import SHOWN, Skipped
from retrieve_rerank.data.json_lines import JsonRecords
from retrieve_rerank.data.records import Reason, is_unicode
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.formats import FORMATS, recognise
from retrieve_rerank.training.formats.fields import Record, UnfitRecordError
from retrieve_rerank.training.formats.format import Format, ReadOptions
from retrieve_rerank.training.groups import Group

MAX_GATHERED = 1000
"""Texts that neighbouring lines of one query make a group of; then another one begins."""

Found: TypeAlias = Group | Reason
"""What stands in one place: a group, or the reason why there is none."""


class GroupSource(ABC):
    """Groups that are read as a stream, anew by each iteration, so that they may exceed memory.

    A place that cannot be read raises InputError, or with `skip_bad` is left out and counted.
    """

    def __init__(self, name: str, *, skip_bad: bool) -> None:
        self.name = name
        self.judges: Mapping[str, int] = {}
        """Language models that gave judgments, and how many; empty where people gave all."""
        self.size = 0
        """Bytes on disk; 0 where that is not known."""
        self.skipped: Counter[str] = Counter()
        """Problem -> number of places left out for it by the last iteration."""
        self.first_skipped: list[Skipped] = []
        self._skip_bad = skip_bad

    @property
    @abstractmethod
    def format(self) -> str:
        """Name of the format; empty where nothing has been read of a stream."""

    @property
    @abstractmethod
    def has_titles(self) -> bool:
        """Whether the template lays the texts out; else they are whole, and stay as they are."""

    @property
    @abstractmethod
    def position(self) -> int:
        """Bytes read so far."""

    @abstractmethod
    def found(self) -> Iterator[tuple[str, Found]]:
        """Iterate over places, such as file:line, and what stands there, readable or not."""

    def __iter__(self) -> Iterator[Group]:
        self.skipped.clear()
        self.first_skipped.clear()
        for place, found in self.found():
            if isinstance(found, Group):
                yield found
            elif not self._skip_bad:
                raise InputError(f"{place}: {found}")
            else:
                self.skipped[found.problem] += 1
                if len(self.first_skipped) < SHOWN:
                    self.first_skipped.append(Skipped(place, found))


class GroupFile(GroupSource):
    """A file of JSON lines; its first readable line tells the format where none is given."""

    def __init__(
        self,
        path: str,
        *,
        format: Format | None,
        options: ReadOptions,
        skip_bad: bool,
    ) -> None:
        self._lines = JsonRecords(path)
        super().__init__(self._lines.name, skip_bad=skip_bad)
        self.size = self._lines.size
        self._options = options
        self._format = format
        if self.size:  # raises at once where nothing is known of it; streams are read only once
            for place, record in self._lines.objects():
                if not isinstance(record, Reason):
                    self._format = self._format or recognise(record, where=place)
                    break

    @property
    def format(self) -> str:
        """Name of the format; empty where nothing has been read of a stream."""
        return self._format.name if self._format else ""

    @property
    def has_titles(self) -> bool:
        """Whether the template lays the texts out."""
        return self._format is not None and self._format.has_titles

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._lines.position

    def found(self) -> Iterator[tuple[str, Found]]:
        """Iterate over file:line and what stands there; a gathered group is where it begins."""
        gathered: list[Group] = []
        begun = ""
        for place, record in self._lines.objects():
            found = record if isinstance(record, Reason) else self._group(record, place)
            alike = isinstance(found, Group) and gathered and _same_query(found, gathered[0])
            if gathered and (not alike or len(gathered) == MAX_GATHERED):
                yield begun, _together(gathered)
                gathered = []
            if isinstance(found, Group) and self._format and self._format.one_text_a_line:
                begun = begun if gathered else place
                gathered.append(found)
            else:
                yield place, found
        if gathered:
            yield begun, _together(gathered)

    def _group(self, record: Record, place: str) -> Found:
        self._format = self._format or recognise(record, where=place)
        try:
            group = self._format.read(record, self._options)
        except UnfitRecordError as exc:
            return exc.reason
        return group_problem(group) or group


def gathered(source: GroupSource) -> list[Group]:
    """Read all groups; one text a line, those of a query are one group wherever they stand."""
    format = FORMATS.get(source.format)
    if format is None or not format.one_text_a_line:
        return list(source)
    found: dict[tuple[str, str | None], list[Group]] = {}
    for group in source:
        found.setdefault((group.query, group.query_id), []).append(group)
    return [_together(groups) for groups in found.values()]


def group_problem(group: Group) -> Reason | None:
    """Say why a group is none that could be trained on; None where all is well."""
    if not group.query.strip():
        return Reason("empty query")
    if not group.texts:
        return Reason("no texts", "expected at least one for the query")
    said = [group.query, group.query_id, *group.prompts.values()]
    said += [part for text in group.texts for part in (text.text, text.id, text.source)]
    return (
        None
        if is_unicode("".join(filter(None, said)))
        else Reason("invalid Unicode", "half of a surrogate pair")
    )


def _same_query(one: Group, other: Group) -> bool:
    return (one.query, one.query_id) == (other.query, other.query_id)


def _together(groups: list[Group]) -> Group:
    texts = tuple(text for group in groups for text in group.texts)
    return replace(groups[0], texts=texts)
