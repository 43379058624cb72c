"""What approximate vector search loses on an index, against exact search on the same index."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from retrieve_rerank.base import Connector, Knob, Vectors, VectorSearch
from retrieve_rerank.data.passages import like_passage_of, whole_ids
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.evaluation.audit.grid import (
    Neighbours,
    Setting,
    Truth,
    grid,
    narrowed,
    recall,
    walk,
)
from retrieve_rerank.evaluation.audit.relevance import Relevance, relevance
from retrieve_rerank.evaluation.bootstrap import bootstrap
from retrieve_rerank.evaluation.evaluate import Latency, latency
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments, own_ids
from retrieve_rerank.types import Qrels

TOP_KS = (10, 100)
TARGET_RECALL = 0.99
DRAWS = 2000
"""Resamplings of the queries behind a confidence interval."""

NOISE = 0.1
"""Share by which medians of the same work differ on a machine that does other things too."""

_QUERIES_AT_ONCE = 256
_DEEP = 1000  # of the exact search where relevance is judged


@dataclass(frozen=True, slots=True)
class Measured:
    """One setting of the search, measured over all queries."""

    top_k: int
    settings: Mapping[str, float]
    """Knob -> its value; a knob that is absent is left to the server."""
    default: bool
    """Whether searches use it as things are."""
    recall: float
    """Share of the true nearest `top_k` that are found, mean over queries."""
    low: float
    """Lower end of the 95 % confidence interval of the mean, by bootstrap over queries."""
    high: float
    graph_loss: float
    """What is lost at this width of the walk however much is taken from quantised vectors."""
    quantisation_loss: float
    """What more oversampling brings back: the rest of the loss."""
    ms: Latency
    """As seen from here: engine, network and client."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was measured of an index."""

    location: str
    documents: int
    queries: int
    knobs: Sequence[Knob]
    """What widens the walk, where a graph is walked, and oversampling, where vectors are quantised.
    Their defaults are those of the greatest depth. Without any, every search is exact."""
    target_recall: float
    measured: Sequence[Measured]
    own_documents: int = 0
    """Queries of whose nearest documents one has their own id, and counts."""
    relevance: Relevance | None = None
    """What exact search finds of the relevant documents; None without judgments."""
    truncated_queries: int = 0
    """Queries of which the encoder read only the beginning."""
    unwalked: str = ""
    """Why no graph was walked; empty where one was."""

    @property
    def top_ks(self) -> list[int]:
        """The depths that were measured, in order."""
        return sorted({each.top_k for each in self.measured})

    def at(self, top_k: int) -> list[Measured]:
        """Return what was measured at one depth."""
        return [each for each in self.measured if each.top_k == top_k]

    def default(self, top_k: int) -> Measured:
        """Return what searches use as things are."""
        return next(each for each in self.at(top_k) if each.default)

    def cheapest(self, top_k: int) -> Measured | None:
        """Return the fastest setting, by median, of the wanted recall; None where none has it.

        Of those that are as fast but for NOISE, it is what searches use as things are, or else
        the one that asks for the least work.
        """
        enough = [each for each in self.at(top_k) if each.recall >= self.target_recall]
        fastest = min((each.ms.p50 for each in enough), default=0.0)
        fast = (each for each in enough if each.ms.p50 <= fastest * (1 + NOISE))
        return min(fast, key=lambda each: (not each.default, self._work(each)), default=None)

    def _work(self, measured: Measured) -> float:
        """Multiply the knobs; what is left to the server counts as the least there is."""
        return math.prod(
            max(1.0, measured.settings[knob.name])
            for knob in self.knobs
            if knob.name in measured.settings
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        cheapest = {top_k: self.cheapest(top_k) for top_k in self.top_ks}
        return {
            **asdict(self),
            "knobs": [knob._asdict() for knob in self.knobs],
            "measured": [{**asdict(each), "ms": each.ms._asdict()} for each in self.measured],
            "cheapest": {
                str(top_k): dict(each.settings) if each else None
                for top_k, each in cheapest.items()
            },
        }


def audit(
    connector: Connector,
    queries: Mapping[str, str],
    *,
    qrels: Qrels | None = None,
    top_ks: Sequence[int] = TOP_KS,
    target_recall: float = TARGET_RECALL,
    exclude_self: bool = False,
    on_exact: Callable[[int], None] | None = None,
    on_search: Callable[[int, int], None] | None = None,
) -> Audit:
    """Search exactly once and approximately with every setting, for all queries.

    `qrels` tell what the encoder itself misses. The settings take turns within each query, in
    random order, so that what else the machine does falls on all alike. `exclude_self` leaves out
    the document that has the query's own id, with its passages. `on_exact` hears how many
    queries or documents the exact search has dealt with since it was last called, `on_search` how
    many searches and of how many. Raises ConfigError for an index that has no vectors or cannot
    be searched exactly, for one whose graph is not finished, and, without judgments, for one of
    which every search is exact; InputError where no query is judged, and as `JudgedDocuments` does.
    """
    if not isinstance(connector, VectorSearch):
        kind = connector.schema().connector
        raise ConfigError(f"an index of {kind} cannot be audited: it has no approximate search")
    schema = connector.schema()
    if "dense" not in schema.rankings:
        notes = "".join(f"; {note}" for note in schema.notes)
        raise ConfigError(f"searches of {schema.location} use no vectors{notes}")
    graph = connector.graph()
    if graph.unfinished:
        raise ConfigError(
            f"nothing was audited: the graph of {schema.location} is not finished, and audited now "
            f"would show another loss than soon: {graph.said}; rr audit --wait waits for it"
        )

    def knobs_at(top_k: int) -> list[Knob]:
        return [knob for knob in connector.knobs(top_k=top_k) if graph.turned_by(knob.name)]

    judged = {query: qrels[query] for query in queries if query in qrels} if qrels else {}
    if qrels and not judged:
        raise InputError(
            f"none of the {len(qrels)} judged queries is among the {len(queries)} queries: "
            f"judged is {next(iter(qrels))!r}, given {next(iter(queries), None)!r}"
        )
    knobs = knobs_at(max(top_ks))
    if not knobs and not judged:
        why = f": {graph.said}" if graph.said else ""
        raise ConfigError(
            f"nothing was audited: every search of {schema.location} is exact and loses nothing"
            f"{why}"
        )
    documents = JudgedDocuments(connector, judged) if judged else None
    texts = list(queries.values())
    vectors = np.concatenate(
        [
            connector.query_vectors(texts[start : start + _QUERIES_AT_ONCE])
            for start in range(0, len(texts), _QUERIES_AT_ONCE)
        ]
    )
    depth = max(2 * max(top_ks), _DEEP if judged else 0)  # beyond top_k, to see ties
    found = connector.nearest_exact(vectors, top_k=depth, on_progress=on_exact)
    own = own_ids(connector, queries) if exclude_self else {}
    wholes = whole_ids(
        connector,
        (
            id_
            for query, neighbours in zip(queries, found, strict=True)
            for id_, _ in neighbours
            if (whole := like_passage_of(id_)) is not None and whole in (query, own.get(query))
        ),
    )
    exact = [
        _truth(neighbours, own.get(query), wholes)
        for query, neighbours in zip(queries, found, strict=True)
    ]
    trials = [
        _Trial(top_k, settings, default)
        for top_k in sorted(set(top_ks))
        for settings, default in grid(
            narrowed(connector, knobs_at(top_k), vectors, exact, top_k)
        ).items()
    ]
    _search(connector, vectors, exact, trials, on_search)
    relevant = None
    if documents is not None:
        deepest = next(trial for trial in reversed(trials) if trial.default)
        near = ([id_ for id_, _ in truth.neighbours] for truth in exact)
        relevant = relevance(
            connector,
            documents,
            judged,
            exact=dict(zip(queries, near, strict=True)),
            approximate=dict(zip(queries, deepest.found, strict=True)),
            hits=deepest.top_k,
        )
    return Audit(
        location=schema.location,
        documents=schema.documents,
        queries=len(queries),
        knobs=knobs,
        target_recall=target_recall,
        measured=[_measured(trial, trials, knobs) for trial in trials],
        own_documents=sum(
            any(query in (id_, wholes.get(id_)) for id_, _ in truth.neighbours[: max(top_ks)])
            for query, truth in zip(queries, exact, strict=True)
        ),
        relevance=relevant,
        truncated_queries=connector.truncated_queries(texts),
        unwalked="" if graph.walked else graph.said,
    )


def _truth(neighbours: Neighbours, own: str | None, wholes: Mapping[str, str]) -> Truth:
    """Take out what a query finds of its own document."""
    left_out = {id_ for id_, _ in neighbours if own is not None and own in (id_, wholes.get(id_))}
    return Truth([each for each in neighbours if each[0] not in left_out], frozenset(left_out))


class _Trial:
    """One setting on its way through all queries."""

    def __init__(self, top_k: int, setting: Setting, default: bool) -> None:
        self.top_k = top_k
        self.settings = dict(setting)
        self.default = default
        self.recalls: list[float] = []
        self.ms: list[float] = []
        self.found: list[list[str]] = []
        """Ids for each query, of the default setting only."""


def _search(
    connector: VectorSearch,
    vectors: Vectors,
    exact: Sequence[Truth],
    trials: Sequence[_Trial],
    on_search: Callable[[int, int], None] | None,
) -> None:
    turns = random.Random(0)
    for vector, truth in zip(vectors, exact, strict=True):
        for trial in turns.sample(trials, len(trials)):
            started = time.perf_counter()
            ids = truth.nearest(connector, vector, top_k=trial.top_k, settings=trial.settings)
            trial.ms.append((time.perf_counter() - started) * 1000)
            trial.recalls.append(recall(ids, truth.neighbours, trial.top_k))
            if trial.default:
                trial.found.append(ids)
        if on_search:
            on_search(len(trials), len(trials) * len(vectors))


def _measured(trial: _Trial, trials: Sequence[_Trial], knobs: Sequence[Knob]) -> Measured:
    width = walk(knobs)
    same_width = [
        float(np.mean(each.recalls))
        for each in trials
        if each.top_k == trial.top_k
        and (width is None or each.settings.get(width.name) == trial.settings.get(width.name))
    ]
    mean = float(np.mean(trial.recalls))
    low, high = bootstrap(trial.recalls, draws=DRAWS)
    return Measured(
        top_k=trial.top_k,
        settings=trial.settings,
        default=trial.default,
        recall=mean,
        low=low,
        high=high,
        graph_loss=1 - max(same_width),
        quantisation_loss=max(same_width) - mean,
        ms=latency(trial.ms),
    )
