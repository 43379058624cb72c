"""The values that flow through the pipeline, and the only functions that order them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from retrieve_rerank.errors import ScoreError

PARENT, POSITION = "parent", "passage"
"""Fields of a passage's metadata: the id of its document, and its place there from 0."""

Qrels = dict[str, dict[str, int]]
"""Query id -> document id -> relevance grade, as in TREC and BEIR."""

Run = dict[str, dict[str, float]]
"""Query id -> document id -> score, higher is better, as in TREC and BEIR."""


@dataclass(frozen=True, slots=True)
class Document:
    """The unit of retrieval; `metadata` holds JSON values, among them an optional `title`."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The metadata's `title`, empty when there is none."""
        return str(self.metadata.get("title") or "")

    @property
    def whole_id(self) -> str:
        """The id of what this is a passage of, with the index if its own has one; else its own.

        A passage is what its metadata and its id say alike: `parent` "guide", `passage` 2 and
        `guide#2`. An id like that is none by itself.
        """
        parent, position = self.metadata.get(PARENT), self.metadata.get(POSITION)
        if not isinstance(parent, str) or type(position) is not int:
            return self.id
        whole = self.id.removesuffix(f"#{position}")
        of_it = whole != self.id and (whole == parent or whole.endswith(f"/{parent}"))
        return whole if of_it else self.id


class Placement(NamedTuple):
    """Where one ranking put a document: its rank (from 1) and its score there."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A document placed in a ranking.

    `rank` counts from 1. `previous` is the hit it was reranked from, so that the first stage's
    score and rank never get lost. `sources` holds the rankings that a fusion was made of
    ("dense", "bm25"), for those in which the document stood.
    """

    document: Document
    score: float
    rank: int
    previous: Hit | None = None
    sources: Mapping[str, Placement] = field(default_factory=dict)

    @property
    def first_stage(self) -> Hit:
        """The hit as the first stage returned it; the hit itself when nothing reranked it since."""
        hit = self
        while hit.previous is not None:
            hit = hit.previous
        return hit


class Candidates(list[Hit]):
    """A first stage's hits, and what its report is to say; connectors may give a plain list too."""

    def __init__(
        self, hits: Iterable[Hit] = (), *, notes: Iterable[str] = (), query_truncated: bool = False
    ) -> None:
        super().__init__(hits)
        self.notes = tuple(notes)
        """What else there is to know of the search, a sentence each."""
        self.query_truncated = query_truncated
        """Whether a model read only the beginning of the query."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """What one stage did: `ms` milliseconds, hits that came in, hits it scored."""

    name: str
    ms: float
    candidates: int
    scored: int
    truncated: int = 0
    """Texts of which the model read only the beginning."""
    cache_hits: int = 0
    error: str | None = None
    """Why the stage left the incoming order, or a part of it; None when it did its work."""
    notes: Sequence[str] = ()
    """What else there is to know of its work, a sentence each."""
    hits: Sequence[Hit] = field(default=(), repr=False)
    """The whole ranking as it left this stage."""
    query_truncated: bool = False
    """Whether a model of the stage read only the beginning of the query."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query: hits best first, and a report for each stage that ran."""

    query: str
    hits: Sequence[Hit]
    stages: Sequence[StageReport] = ()

    @property
    def degraded(self) -> bool:
        """Whether any stage failed, timed out or was skipped for want of time."""
        return any(stage.error is not None for stage in self.stages)

    @property
    def notes(self) -> list[str]:
        """All that the stages have to say, each after its stage's name: "max-sim: …"."""
        return [f"{stage.name}: {note}" for stage in self.stages for note in stage.notes]

    @property
    def truncated(self) -> int:
        """Texts of which a stage's model read only the beginning, over all stages."""
        return sum(stage.truncated for stage in self.stages)

    @property
    def query_truncated(self) -> bool:
        """Whether a model of any stage read only the beginning of the query."""
        return any(stage.query_truncated for stage in self.stages)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


def without(hits: Sequence[Hit], ids: Collection[str]) -> list[Hit]:
    """Leave out documents with these ids, and passages of theirs; ranks run from 1 again."""
    kept = (h for h in hits if h.document.id not in ids and h.document.whole_id not in ids)
    return [replace(hit, rank=place) for place, hit in enumerate(kept, start=1)]


def rank(
    scored: Iterable[tuple[Document, float]],
    *,
    top_k: int | None = None,
    sources: Mapping[str, Mapping[str, Placement]] | None = None,
) -> list[Hit]:
    """Order documents by score, highest first; equal scores keep the incoming order.

    `sources` maps a document id to the rankings it came from. Raises ScoreError on a NaN.
    """
    pairs = list(scored)
    order = _descending([score for _, score in pairs])
    return [
        Hit(document, score, place, sources=sources.get(document.id, {}) if sources else {})
        for place, (document, score) in enumerate((pairs[i] for i in order[:top_k]), start=1)
    ]


def rescore(hits: Sequence[Hit], scores: Sequence[float], *, top_k: int | None = None) -> list[Hit]:
    """Order `hits` by new `scores`, one each; every new hit remembers the one it came from.

    Equal scores keep the incoming order; NumPy's numbers become plain ones, which JSON knows.
    Raises ScoreError on a NaN or a wrong number of scores.
    """
    if len(scores) != len(hits):
        raise ScoreError(f"expected {len(hits)} scores, one for each hit; got {len(scores)}")
    return [
        Hit(hits[i].document, float(scores[i]), place, previous=hits[i], sources=hits[i].sources)
        for place, i in enumerate(_descending(scores)[:top_k], start=1)
    ]


def append_unscored(scored: Sequence[Hit], unscored: Iterable[Hit]) -> list[Hit]:
    """Put the hits that a stage did not score below those it did, in their order.

    A hit whose rank changes by that keeps its score, and its old place as `previous`.
    """
    placed = enumerate(unscored, start=len(scored) + 1)
    return [
        *scored,
        *(hit if hit.rank == n else replace(hit, rank=n, previous=hit) for n, hit in placed),
    ]


def keep_places(scored: Sequence[Hit], hits: Sequence[Hit]) -> list[Hit]:
    """Put those of `hits` that a stage had nothing to score by back to where they were among them.

    The scored ones take the other places, in their order. A hit that was not scored has the score
    of the one above it, as its own is on another scale.
    """
    known = {hit.document.id for hit in scored}
    if not known:
        return list(hits)
    ordered = list(scored)
    for place, hit in enumerate(hits):
        if hit.document.id not in known:
            score = ordered[max(0, place - 1)].score
            ordered.insert(place, replace(hit, score=score, previous=hit))
    return [
        hit if hit.rank == n else replace(hit, rank=n) for n, hit in enumerate(ordered, start=1)
    ]


def _descending(scores: Sequence[float]) -> list[int]:
    for position, score in enumerate(scores, start=1):
        if math.isnan(score):
            raise ScoreError(f"score {position} of {len(scores)} is NaN; expected a number")
    return sorted(range(len(scores)), key=lambda i: -scores[i])
