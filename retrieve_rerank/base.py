"""The extension points: what a search backend, a reranker and an embedding model must offer.

Knows nothing of any backend or model.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, TypeAlias

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.template import Template
from retrieve_rerank.types import Document, Hit, rescore

if TYPE_CHECKING:  # `import retrieve_rerank` loads no third-party package
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"
Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers, or dates and times, between bounds; None leaves a side open.

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
    details: Mapping[str, Any] = field(default_factory=dict)
    """Facts that only this backend has."""
    notes: Sequence[str] = ()
    """What is there and not used, and what it takes to use it: a sentence each."""


class Encoding(NamedTuple):
    """Both views of one text from a single forward pass."""

    vector: Vectors  # (dim,), normalised where the model says so
    tokens: Vectors  # (tokens, dim), rows of length 1
    truncated: bool


class Embedder(Protocol):
    """Texts to vectors, one each."""

    @property
    def name(self) -> str:
        """How users call the model: an alias, a hub id or a path."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would: a hash over weights and settings."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries, prompted as the model expects; (n, dim)."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents, prompted as the model expects; (n, dim)."""


class TokenEmbedder(Protocol):
    """Texts to one vector for each token, for MaxSim, with the pooled vector at no extra cost."""

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode queries, prompted as the model expects."""

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode documents, prompted as the model expects."""


class SparseEncoder(Protocol):
    """Texts to weights of a vocabulary's tokens: SPLADE, the sparse half of BGE-M3."""

    @property
    def name(self) -> str:
        """How users call the model: an alias, a hub id or a path."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights of a text would."""

    def encode_queries(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh each query's tokens: token id -> weight above 0."""

    def encode_documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh each document's tokens: token id -> weight above 0."""

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Name tokens as the vocabulary writes them, for backends that take names."""


class Encoder(Embedder, TokenEmbedder, Protocol):
    """One model that serves both the first stage and MaxSim."""


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
    """How the token tensors of an index were made."""

    encoder: str
    """Name of the model."""
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
    def create_tensors(self, settings: TensorSettings) -> None:
        """Make room for tensors; harmless where there is the same room already.

        Raises IndexMismatchError where tensors of other settings are.
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


class Knob(NamedTuple):
    """A setting of approximate search that trades time for recall."""

    name: str
    """As the backend calls it, and as an index's settings take it: `hnsw_ef`."""
    values: Sequence[float]
    """Worth trying, cheapest first; 0 as `oversample` means no second look at full precision."""
    default: float | None
    """What a search for so many hits uses; None where the server decides."""


class VectorSearch(ABC):
    """A backend whose approximate search can be compared with an exact one, for audits."""

    @abstractmethod
    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what can be tuned: what widens the graph walk first, then `oversample`, which
        is there for quantised vectors only. Nothing where every search is exact."""

    @abstractmethod
    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries as searches do; (n, dim)."""

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count the queries of which the encoder reads only the beginning, where it tells."""
        return 0

    @abstractmethod
    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        """Find (document id, similarity) through the graph, best first, with these knobs."""

    @abstractmethod
    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Find the true neighbours of each query, (document id, similarity), best first.

        By the engine where it can, else by reading all vectors once. `on_progress` hears how
        many queries, or documents, have been dealt with since it was last called.
        """


class Judgment(NamedTuple):
    """A reranker's answer with what the stage's report says of it."""

    hits: list[Hit]
    truncated: int = 0
    """Texts of which the model read only the beginning."""
    cache_hits: int = 0
    notes: tuple[str, ...] = ()
    """What else the report should say: answers that could not be read, a sentence each."""
    query_truncated: bool = False
    """Whether the model read only the beginning of the query."""
    truncated_ids: frozenset[str] = frozenset()
    """The documents that `truncated` counts, for the score cache; empty where that is not told."""


def truncated_ids(hits: Sequence[Hit], truncated: Sequence[bool]) -> frozenset[str]:
    """Name the documents whose texts, one for each hit, a model read the beginning of only."""
    return frozenset(hit.document.id for hit, cut in zip(hits, truncated, strict=True) if cut)


class Reranker(ABC):
    """Puts hits into a better order."""

    name: str
    """What reports call it."""

    default_weight: float = 1.0
    """Share of its scores in a stage's order where the stage sets none, see `Stage.weight`."""

    selective: bool = False
    """Whether hits that it does not return are dropped; else they follow below, in their order."""

    keeps_places: bool = False
    """Whether hits that it does not return keep their places, those that it does return taking
    the others."""

    @classmethod  # noqa: B027  # most have nothing to check
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise for values of `configure`'s options that are wrong whatever its model is.

        So that all stages can be checked before the model of any is loaded.
        """

    @classmethod
    def configure(cls, connector: Connector, **options: Any) -> Reranker:
        """Make one from configuration; `connector` is where its hits will come from."""
        return cls(**options)

    @abstractmethod
    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> list[Hit]:
        """Return the best `top_k` hits, all of them when None, best first.

        Each has the hit it was made from as `previous`; `rescore` does that.
        """

    async def arerank(
        self, query: str, hits: Sequence[Hit], *, top_k: int | None = None
    ) -> list[Hit]:
        """Async twin of `rerank`; in a thread unless the reranker is async."""
        return await asyncio.to_thread(self.rerank, query, hits, top_k=top_k)

    def judge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Order all of `hits`; overridden by rerankers that have something to report."""
        return Judgment(self.rerank(query, hits))

    async def ajudge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Async twin of `judge`."""
        return Judgment(await self.arerank(query, hits))

    def probabilities(self, scores: Sequence[float]) -> list[float] | None:
        """Turn its scores into probabilities of relevance; None where nothing is calibrated."""
        return None


class Scorer(Reranker):
    """A pointwise reranker: a text's score depends on the query and that text alone."""

    template: Template = Template()
    """What the scorer reads of a document."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a score would; empty where that cannot be told, which bars caching."""
        return ""

    @abstractmethod
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text against the query, higher is better, in the order given."""

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score each (query, text) as `score` does, in the order given."""
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            places.setdefault(query, []).append(place)
        scores = [0.0] * len(pairs)
        for query, those in places.items():
            found = self.score(query, [pairs[place][1] for place in those])
            for place, score in zip(those, found, strict=True):
                scores[place] = score
        return scores

    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> list[Hit]:
        """Return the best `top_k` hits by the scores of their rendered documents."""
        texts = [self.template.render(hit.document) for hit in hits]
        scores = self.score(query, texts) if hits else []
        return rescore(hits, scores, top_k=top_k)

    def judge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Order all of `hits`, and say of which nothing could be read."""
        return Judgment(self.rerank(query, hits), notes=self._unread(hits))

    async def ajudge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Async twin of `judge`."""
        return Judgment(await self.arerank(query, hits), notes=self._unread(hits))

    def _unread(self, hits: Sequence[Hit]) -> tuple[str, ...]:
        return self.template.notes(hit.document for hit in hits)
