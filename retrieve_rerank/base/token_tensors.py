"""What a backend offers that holds token tensors and computes MaxSim over them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from retrieve_rerank.base.connector import Connector, Filter
from retrieve_rerank.base.encoder import Vectors
from retrieve_rerank.types import Hit


class MaxSimScores(dict[str, float]):
    """Document id -> MaxSim, documents without token tensors being absent, and how it came about.

    A backend may give a plain dict too.
    """

    def __init__(
        self,
        scores: Mapping[str, float] | None = None,
        *,
        query_truncated: bool = False,
        ms: float = 0.0,
    ) -> None:
        super().__init__(scores or {})
        self.query_truncated = query_truncated
        """Whether the model read only the beginning of the query."""
        self.ms = ms
        """Milliseconds that scoring took, where that can be told from the search's."""


class TensorSearch(NamedTuple):
    """A first stage and the MaxSim scores of its hits, from as few requests as can be."""

    hits: list[Hit]
    scores: dict[str, float]
    """As `MaxSimScores` where there is more to say."""


class TensorConnector(Connector):
    """A backend that holds token tensors and computes MaxSim itself.

    MaxSim here is the mean over the query's tokens of the best cosine to any document token,
    so that it lies within -1 and 1 (Khattab and Zaharia, SIGIR 2020,
    https://arxiv.org/abs/2004.12832, who take the sum).
    """

    @abstractmethod
    def search_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Search, and score the hits by MaxSim, in as few requests as can be."""

    @abstractmethod
    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        """Score these documents; those without token tensors are absent from the answer."""

    async def asearch_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Async twin of `search_max_sim`; in a thread unless the backend is async."""
        return await asyncio.to_thread(
            self.search_max_sim, query, top_k=top_k, filter=filter, timeout_s=timeout_s
        )


TensorDtype = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, slots=True)
class TensorSettings:
    """How the token tensors of an index were made; equal where the same text gives the same."""

    encoder: str = field(compare=False)
    """Name of the model, of which one model may have several: the fingerprint tells."""
    fingerprint: str
    """Fingerprint of the model."""
    dimension: int
    dtype: TensorDtype
    """How each number is stored; int8 is scaled by each token's largest component."""
    pooling_factor: int = 1
    """How many neighbouring tokens were averaged into one."""


class TokenTensor(NamedTuple):
    """One document's token vectors, on their way into an index."""

    id: str
    content_hash: str
    """Of the text they were made from: tells later whether it has changed."""
    tokens: Vectors  # (tokens, dim), rows of length 1


class TensorStore(TensorConnector):
    """A backend that keeps token tensors for documents that are in the index already."""

    @property
    def tensor_dtype(self) -> TensorDtype:
        """The type to keep tensors in where nobody asks for another."""
        return "int8"

    @abstractmethod
    def tensor_settings(self) -> TensorSettings | None:
        """Tell how the tensors that are there were made; None where there are none."""

    @abstractmethod
    def create_tensors(self, settings: TensorSettings, *, companion: bool | None = None) -> None:
        """Make room for tensors; harmless where there is the same room already.

        `companion` asks for an index beside that of the documents, or for the latter; None leaves
        it to the backend. Raises IndexMismatchError where tensors of other settings are, and
        ConfigError where the backend keeps none there.
        """

    @abstractmethod
    def tensor_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a tensor."""

    @abstractmethod
    def write_tensors(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents."""

    @abstractmethod
    def tensor_ids(self) -> Iterator[str]:
        """Iterate over the ids that have a tensor, those of deleted documents among them."""

    @abstractmethod
    def delete_tensors(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""

    @abstractmethod
    def drop_tensors(self) -> None:
        """Delete all tensors and the room made for them; the documents stay as they are."""


class TensorDraft(ABC):
    """Token tensors that are made beside those that serve, to take their place once complete.

    They are kept by the server: a process that is killed leaves them to the next one.
    """

    @abstractmethod
    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a tensor."""

    @abstractmethod
    def write(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents."""

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Iterate over the ids that have a tensor, those of deleted documents among them."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""

    @abstractmethod
    def take_over(self) -> None:
        """Serve from now on, in one step for whoever searches; those that served are deleted."""


class TensorReplacing(TensorStore):
    """A backend that goes on serving its token tensors while others are made.

    No search mixes the two, nor finds none in between.
    """

    @abstractmethod
    def draft_tensors(self, settings: TensorSettings) -> TensorDraft:
        """Make room for tensors beside those that serve, or find what was begun.

        What was begun with other settings is deleted. Raises ConfigError where there is no room
        for both, and PermissionDeniedError.
        """

    @abstractmethod
    def drafted(self) -> TensorSettings | None:
        """Tell how the tensors are made that were begun and do not serve; None where none were."""

    @abstractmethod
    def discard_draft(self) -> None:
        """Delete what was begun and does not serve, and what is left of those that served."""
