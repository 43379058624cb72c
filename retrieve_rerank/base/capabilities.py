"""What some backends offer beside `Connector`, each a class of its own that callers ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from retrieve_rerank.base.connector import IndexReport
from retrieve_rerank.base.encoder import Encoder
from retrieve_rerank.types import Document


class PartitionedScan(ABC):
    """A backend whose documents several readers can share out among themselves."""

    @abstractmethod
    def scan_part(self, part: int, *, parts: int) -> Iterator[Document]:
        """Iterate over one of so many parts, numbered from 0, in no particular order.

        Together they have each document once, whichever process reads each, as long as nothing is
        written. Raises InputError for a part that there is not, UnsupportedServerError, and
        IndexMismatchError where the index is no longer the one that was opened: parts of two would
        make up neither.
        """


class Optimizable(ABC):
    """A backend that searches faster after work that writing leaves undone."""

    @abstractmethod
    def needs_optimizing(self) -> bool:
        """Tell whether so much is left undone that `optimize` would make searches faster."""

    @abstractmethod
    def optimize(self, *, on_progress: Callable[[float], None] | None = None) -> bool:
        """Do what is left undone; return whether there was anything.

        `on_progress` hears the seconds passed, now and then. Ended at any moment, it leaves the
        index usable.
        """


class Aliasable(ABC):
    """A backend whose indexes can be called by another name, which goes from one to the next."""

    @abstractmethod
    def take_alias(self, alias: str) -> list[str]:
        """Let `alias` name this index and no other, in one step; return what it named before.

        A new index takes over from an old one so, without a search failing in between. Raises
        IndexExistsError where an index has that name itself, and ConfigError where this is not
        one index or `alias` not one name.
        """


class TensorRefreshing(ABC):
    """A backend that can make an index's token tensors anew while it keeps the old ones."""

    @classmethod
    @abstractmethod
    def refresh_tensors(
        cls,
        url: str,
        encoder: Encoder,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Make those of the index at `url` by another encoder; its vectors stay what they are.

        The old ones are there until the new are complete. `on_progress` hears how many documents
        are done since it was last called. Raises ConfigError for an index without vectors.
        """


class Verification(NamedTuple):
    """What a thorough look at an index has found."""

    documents: int
    """How many could be counted."""
    damage: Sequence[str]
    """What is missing or not as it was written; empty where all is well."""


class Verifiable(ABC):
    """A backend whose index can be looked through for damage."""

    @classmethod
    @abstractmethod
    def verify(cls, url: str) -> Verification:
        """Look at everything that the index at `url` holds."""
