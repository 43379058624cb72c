"""What a format of training data is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from retrieve_rerank.data.records import Reason
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.formats.fields import Record
from retrieve_rerank.training.formats.labels import LabelRange
from retrieve_rerank.training.groups import Group

LABEL_KEY = "label"
NEGATIVES = 5
"""In an n-tuple; NV-Retriever (Moreira et al. 2024) and NeMo take about as many."""

NO_POSITIVE = Reason("no text with a label above 0")
NO_NEGATIVE = Reason("no text with a label of 0 or below")
UNLABELLED = Reason("text without a label")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a reader may be told."""

    label_key: str | None = None
    """Name of the field with the labels; "label" when None."""
    template: Template = field(default_factory=Template)
    """How the title and the text of a passage become one text."""
    label_range: LabelRange | None = None
    """What the labels in the data are mapped from to 0 … 1; those of positives and negatives that
    have no number of their own are 1 and 0 as it is."""

    def label(self, value: float) -> float:
        """Map a label that stands in the data; raise UnfitRecordError for one out of range."""
        return value if self.label_range is None else self.label_range.scaled(value)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a writer may be told."""

    negatives: int = NEGATIVES
    """In each n-tuple."""


Row: TypeAlias = dict[str, Any] | Reason
"""A line to write, or why something of a group is left out."""


@dataclass(frozen=True, slots=True)
class Format:
    """One shape of line: how it is told, read and written."""

    name: str
    shape: str
    """The line, as messages and the documentation show it."""
    recognises: Callable[[Record], bool]
    """Whether a line has this shape, by its keys alone."""
    read: Callable[[Record, ReadOptions], Group]
    """Raises UnfitRecordError."""
    write: Callable[[Group, WriteOptions], Iterator[Row]] | None = None
    """None where it is read only."""
    one_text_a_line: bool = False
    """Whether neighbouring lines of one query are one group."""
    has_titles: bool = False
    """Whether a template lays its texts out; those of other formats are whole."""
