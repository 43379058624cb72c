"""What a search backend must offer, and the values it speaks in."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self, TypeAlias

from retrieve_rerank.base.encoder import Encoder
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.types import Document, Hit

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers, or dates and times, between bounds; None leaves a side open, not all of them.

    A date is a `date`, a `datetime`, or ISO 8601 as a text; without a zone it is UTC's. It stands
    for all of its day, a time for all of its second: `lte="2024-01-31"` takes the whole day in.
    """

    gte: float | str | date | None = None
    gt: float | str | date | None = None
    lte: float | str | date | None = None
    lt: float | str | date | None = None


FieldFilter: TypeAlias = Scalar | date | Range | None
"""What a field must be: equal to a value, within a Range; None: the field is not there."""

Filter: TypeAlias = "Mapping[str, FieldFilter | Sequence[FieldFilter] | Filter | Sequence[Filter]]"
"""Metadata field -> what it must be, or a sequence of which any will do; all fields must match.

`author.name` reaches into nested metadata; a list matches by any of its values; a field that is
null or an empty list is not there. `{"or": [filter, ...]}` wants any of the filters, `{"and": ...}`
all of them, and `{"not": filter}`, or a list of filters, none. These words are fields like others
where what stands under them is no filter: `{"not": "x"}`."""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What `Connector.index` did with the documents it was given."""

    indexed: int = 0
    """Documents written, new or changed."""
    unchanged: int = 0
    """Documents that the index already held with the same content."""
    truncated: int = 0
    """Documents of which the encoder read only the beginning."""
    superseded: int = 0
    """What was deleted because its document is now whole, shorter, or cut otherwise."""
    notes: Sequence[str] = ()
    """What was not taken over as it was given, a sentence each."""


@dataclass(frozen=True, slots=True)
class IndexSchema:
    """What an index holds, as `rr info` shows it."""

    connector: str
    """Registered name of the backend."""
    location: str
    """Where the index is, free of secrets."""
    documents: int
    rankings: Sequence[str]
    """First-stage rankings that searches use: "dense", "bm25", "sparse"."""
    encoder: str | None = None
    """Name of the model that its vectors were made with."""
    dimension: int | None = None
    token_tensors: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    """Metadata field -> type of its values: string, date, integer, float, boolean, or mixed."""
    language: str | None = None
    """What the documents' words are analysed as, as `detect_language` names it; None: not known."""
    bytes_on_disk: int | None = None
    """What it takes there; None where that is a server's to know."""
    kept_in: Mapping[str, str] = field(default_factory=dict)
    """What was added to it, "tensors" or "lexical" -> name of the index that this is kept in."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Facts that only this backend has, for people to read."""
    notes: Sequence[str] = ()
    """What is there and not used, and what it takes to use it: a sentence each."""


class Connector(ABC):
    """A search backend holding one index.

    Every error of the backend arrives as a ConnectorError.
    """

    @classmethod
    @abstractmethod
    def connect(cls, url: str, **options: Any) -> Self:
        """Open the existing index at `url`; raise IndexNotFoundError where there is none."""

    @classmethod
    def create(
        cls, url: str, *, encoder: Encoder | None, language: str | None = None, **options: Any
    ) -> Self:
        """Make an empty index at `url`; None as encoder makes it lexical only.

        `language` is the documents', as `detect_language` names it; where None, it is told from
        the first documents or left open. Other options are as for `connect`. Raises
        IndexExistsError, and ConfigError for a backend whose indexes are made elsewhere.
        """
        raise ConfigError(f"{cls.__name__} cannot make an index; make it where the backend runs")

    @classmethod
    def recreate(
        cls, url: str, *, encoder: Encoder | None, language: str | None = None, **options: Any
    ) -> Self:
        """Make an empty index that replaces the one at `url` when `activate` is called.

        Until then that one stays, and it stays for good if the new one is closed before.
        """
        raise ConfigError(f"{cls.__name__} cannot replace an index; do it where the backend runs")

    def activate(self) -> None:  # noqa: B027 - any other index is active from the start
        """Put an index made by `recreate` in its place; calling it twice is harmless."""

    @abstractmethod
    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Return at most `top_k` hits, best first; as `Candidates` where there is more to say."""

    @abstractmethod
    def index(
        self,
        documents: Iterable[Document],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Add the documents, replacing those with the same id.

        Doing it twice leaves the index as once. `on_progress` hears how many documents have
        been dealt with since it was last called.
        """

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids; return how many there were."""

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""

    def resolve_ids(self, ids: Sequence[str]) -> dict[str, str]:
        """Return id -> the id that its document has in hits, for those of these that are there.

        They differ where an index stands for several, whose hits say which one they are of.
        Raises InputError for an id that means several documents, naming them.
        """
        return {document.id: document.id for document in self.get(ids)}

    @abstractmethod
    def scan(self) -> Iterator[Document]:
        """Iterate over all documents, each once, in no particular order."""

    @abstractmethod
    def count(self) -> int:
        """Return the number of documents."""

    @abstractmethod
    def schema(self) -> IndexSchema:
        """Describe the index."""

    async def asearch(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Search without blocking the event loop; in a thread unless the backend is async."""
        return await asyncio.to_thread(
            self.search, query, top_k=top_k, filter=filter, timeout_s=timeout_s
        )

    def close(self) -> None:  # noqa: B027 - a backend without resources has nothing to release
        """Release files, locks and connections; closing twice is harmless."""

    async def aclose(self) -> None:
        """Release what this event loop's searches opened, and all that `close` does."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
