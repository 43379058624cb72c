"""Whether a projection may serve: what it loses on held-out queries, and what it saves in bytes.

The retriever that serves ranks the queries, with the tensors that the index would store. A loss is
ruled out, found, or neither where there are too few queries: that is a question of
non-inferiority, in which no difference found is no proof of none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from retrieve_rerank.base import Connector, Scorer, TensorDtype, Vectors
from retrieve_rerank.connectors.tensors import pack, score
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.models.encoders.pooling import unit_rows
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.database import MAX_SIM_WEIGHT
from retrieve_rerank.training.gate import least_detectable
from retrieve_rerank.training.slices import FEWEST_IN_SLICE, interval
from retrieve_rerank.training.tuning import PRIMARY
from retrieve_rerank.types import Qrels

MARGIN = 0.005
"""Loss of nDCG@10 that must be ruled out: what is not worth two thirds of the space."""

PASSAGE_TOKENS = 120
"""Of the passage that sizes are told of beside those of the documents at hand."""

FULL, AXES, TRAINED = "all dimensions", "principal axes", "trained"


class StoredMaxSim(Scorer):
    """MaxSim by tensors as an index would store them, made from token vectors that are kept."""

    name = "max-sim"
    default_weight = MAX_SIM_WEIGHT

    def __init__(
        self,
        queries: Callable[[str], Vectors],
        documents: Callable[[str], Vectors],
        *,
        projection: Vectors | None,
        pooling_factor: int,
        dtype: TensorDtype = "int8",
    ) -> None:
        """Take tokens of queries' and documents' texts, and a projection (dim, kept), or none."""
        self._queries = queries
        self._documents = documents
        self._projection = projection
        self._pooling_factor = pooling_factor
        self.dtype: TensorDtype = dtype

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text by MaxSim, within -1 and 1."""
        asked = self._projected(self._queries(query))
        packed = [self.stored(text) for text in texts]
        return score(asked, packed, dimension=asked.shape[1], dtype=self.dtype)

    def stored(self, text: str) -> bytes:
        """Return what an index would store of a text."""
        return self.packed(self._documents(text))

    def packed(self, tokens: Vectors) -> bytes:
        """Return what an index would store of a text with these tokens."""
        return pack(pool_tokens(self._projected(tokens), self._pooling_factor), self.dtype)

    def _projected(self, tokens: Vectors) -> Vectors:
        return tokens if self._projection is None else unit_rows(tokens @ self._projection)


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of tensors on the held-out queries."""

    name: str
    dimensions: int
    scores: Mapping[str, float]
    """Query -> nDCG@10."""
    document_bytes: float
    """Mean over the queries' candidates."""
    passage_bytes: int
    """Of a passage of PASSAGE_TOKENS tokens."""
    first_stage: Mapping[str, float] = field(default_factory=dict)
    """Query -> the first stage's nDCG@10."""

    @property
    def mean(self) -> float:
        """nDCG@10."""
        return fmean(self.scores.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """The trained projection's nDCG@10 less another's."""

    gain: float
    low: float
    """The gain's 95 % confidence interval, by bootstrap over queries."""
    high: float

    def __str__(self) -> str:
        return f"{_signed(self.gain)}, 95 % interval {_signed(self.low)} to {_signed(self.high)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the projection loses no more than the margin."""

    accepted: bool | None
    """None where there are too few queries to tell."""
    margin: float
    queries: int
    against_full: Difference
    against_axes: Difference
    least_detectable: float
    """The least difference that these queries would show four times of five."""
    systems: Sequence[Measured]
    sentence: str
    """The verdict in words."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        systems = [{**asdict(each), "mean": each.mean} for each in self.systems]
        return {**asdict(self), "systems": systems}


def measure(
    name: str,
    connector: Connector,
    max_sim: StoredMaxSim,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    dimensions: int,
    texts: Sequence[str],
    pooling_factor: int,
    candidates: int,
    on_progress: Callable[[int], None] | None = None,
) -> Measured:
    """Rank each judged query by the first stage and `max_sim`; `texts` are what sizes are told of.

    Raises as `evaluate` does.
    """
    retriever = Retriever(connector, max_sim, candidates=candidates)
    first, last = both_stages(retriever, queries, qrels, on_progress=on_progress)
    stored = fmean(len(max_sim.stored(text)) for text in texts) if texts else 0.0
    passage = -(-PASSAGE_TOKENS // pooling_factor) * token_bytes(dimensions, max_sim.dtype)
    return Measured(name, dimensions, last, stored, passage, first)


def token_bytes(dimensions: int, dtype: TensorDtype) -> int:
    """Return the bytes in which one token is stored."""
    return len(pack(np.eye(1, dimensions, dtype=np.float32), dtype))


def both_stages(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return what each query is worth behind the first stage and behind MaxSim.

    Raises InputError where MaxSim failed on any, and as `evaluate` does.
    """
    [first, last] = evaluate(
        retriever, queries, qrels, measures=[PRIMARY], on_progress=on_progress
    ).stages
    if last.errors:
        raise InputError(
            f"max-sim failed on {len(last.errors):,} queries, such as with: "
            f"{next(iter(last.errors.values()))}"
        )
    return first.scores[PRIMARY], last.scores[PRIMARY]


def judge(full: Measured, axes: Measured, trained: Measured, *, margin: float = MARGIN) -> Verdict:
    """Compare query by query, and decide; nothing is decided on fewer than FEWEST_IN_SLICE queries.

    Raises InputError for fewer than two, and where no ranking has anything relevant: then nothing
    could be lost.
    """
    if len(trained.scores) < 2:
        raise InputError(f"expected at least two held-out queries; got {len(trained.scores)}")
    if not any(full.scores.values()):
        raise InputError(
            f"no relevant document is among the first ten for any of {len(full.scores):,} held-out"
            " queries, so that nothing could be lost; are the judgments of this index?"
        )
    against = difference(full, trained)
    deltas = [trained.scores[query] - value for query, value in full.scores.items()]
    detectable = least_detectable(deltas)
    accepted = True if against.low > -margin else False if against.high < -margin else None
    fewest = ""
    if len(deltas) < FEWEST_IN_SLICE:  # where none of them changes, the interval has no width
        accepted = None
        fewest = f", and {FEWEST_IN_SLICE} are wanted in any case"
    means = {
        True: f"a loss of {margin:g} is ruled out",
        False: f"it loses more than {margin:g}",
        None: f"{len(deltas):,} queries are too few to tell whether it loses {margin:g}: they show "
        f"a difference of {detectable:.3f} four times of five{fewest}",
    }
    return Verdict(
        accepted=accepted,
        margin=margin,
        queries=len(deltas),
        against_full=against,
        against_axes=difference(axes, trained),
        least_detectable=detectable,
        systems=[full, axes, trained],
        sentence=f"{means[accepted]}; {PRIMARY} {against} on {len(deltas):,} held-out queries, "
        f"{trained.document_bytes:,.0f} bytes a document in place of {full.document_bytes:,.0f}",
    )


def difference(before: Measured, after: Measured) -> Difference:
    """Return the mean paired difference and its interval."""
    deltas = [after.scores[query] - value for query, value in before.scores.items()]
    return Difference(fmean(deltas), *interval(deltas))


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
