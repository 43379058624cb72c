"""A cross-encoder's word against false negatives: what it takes for relevant is no negative."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.calibration.calibrating import FEWEST, fit_platt
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.models.checkpoints.calibration import Calibration
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.mining.judged_hits import tell_apart
from retrieve_rerank.training.mining.scores import QueryScores
from retrieve_rerank.training.mining.searching import search_all
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.types import Qrels

Vetoed: TypeAlias = Literal["leave-out", "soft", "promote"]
"""What becomes of a vetoed text: it is left out; it is kept with its probability of relevance as
label; it is made a positive of the lowest grade that the query has."""

SHARE = 0.25
"""Share of judged positives that score below the threshold."""

QUERIES = 300
"""Judged queries that a threshold is fitted on."""

DEEP = 5
"""Last hits of each of them, which stand for what is not relevant."""


@dataclass(frozen=True, slots=True)
class Veto:
    """A scorer, and the score from which on its word counts."""

    scorer: Scorer
    threshold: float
    then: Vetoed = "leave-out"
    calibration: Calibration | None = None
    """Scores to probabilities, for soft labels."""
    share: float | None = None
    """Of the judged positives that score below the threshold, where it was fitted."""
    positives: int = 0
    """Judged positives that it was fitted on."""
    deep_above: float = 0.0
    """Share of the texts at the end of rankings that it would veto: if it is high, the scorer does
    not tell relevant texts from others here."""

    def __post_init__(self) -> None:
        """Raise InputError for an unknown `then`, and for soft labels without a calibration."""
        if self.then not in get_args(Vetoed):
            raise InputError(
                f"vetoed texts cannot be {self.then!r}; known: {', '.join(get_args(Vetoed))}"
            )
        if self.then == "soft" and self.calibration is None:
            raise InputError(
                "soft labels are probabilities of relevance, and this veto has none; fit it on"
                " judged queries"
            )

    def of(self, query_id: str) -> Veto:
        """Return the veto of a query: this one, whichever it is."""
        return self

    def label(self, score: float, *, grade: float) -> float | None:
        """Return the label of a vetoed text, None where it is left out.

        `grade` is the lowest of the query's positives.
        """
        if self.then == "leave-out":
            return None
        if self.then == "promote" or self.calibration is None:
            return grade
        return grade * self.calibration([score])[0]

    def to_dict(self) -> dict[str, Any]:
        """Say what it is, in JSON's types."""
        return {
            "scorer": self.scorer.name,
            "fingerprint": self.scorer.fingerprint,
            "threshold": self.threshold,
            "then": self.then,
            "calibration": None if self.calibration is None else self.calibration.as_json(),
            "share": self.share,
            "positives": self.positives,
            "deep_above": self.deep_above,
        }

    @classmethod
    def fitted_before(
        cls, recorded: Mapping[str, Any] | None, scorer: Scorer, *, share: float, then: Vetoed
    ) -> Veto | None:
        """Return the veto that `to_dict` recorded, None unless it was fitted for the same."""
        same = {
            "scorer": scorer.name,
            "fingerprint": scorer.fingerprint,
            "share": share,
            "then": then,
        }
        if not recorded or any(recorded.get(name) != value for name, value in same.items()):
            return None
        calibration = recorded["calibration"]
        return cls(
            scorer,
            recorded["threshold"],
            then,
            None if calibration is None else Calibration(**calibration),
            share,
            recorded["positives"],
            recorded["deep_above"],
        )


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """Two vetoes, each of a scorer that was trained on half of the queries and judges the other.

    A model that was trained on a false negative has learnt to call it one.
    """

    vetoes: tuple[Veto, Veto]
    """The first judges half 0, so it was trained on half 1."""
    half: Mapping[str, int]
    """Query id -> 0 or 1."""

    def of(self, query_id: str) -> Veto:
        """Return the veto of the scorer that has not seen the query."""
        return self.vetoes[self.half[query_id]]

    def to_dict(self) -> dict[str, Any]:
        """Say what it is, in JSON's types."""
        return {"cross-fitted": [veto.to_dict() for veto in self.vetoes]}


def halves(queries: Mapping[str, str]) -> dict[str, int]:
    """Divide queries by a hash of their texts: query id -> 0 or 1; equal texts stay together."""
    return {id_: digest(query, "half") % 2 for id_, query in queries.items()}


def cross_fit(
    trained_on: tuple[Scorer, Scorer],
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    share: float = SHARE,
    then: Vetoed = "leave-out",
    seed: int = 0,
    users: Mapping[str, str] = MappingProxyType({}),
) -> CrossFitted:
    """Fit a threshold for each of two scorers, trained on half 0 and 1, on the half it has not
    seen; raise as `fit_veto` does."""
    half = halves(queries)

    def judge(which: int) -> Veto:
        unseen = {id_: grades for id_, grades in qrels.items() if half.get(id_) == which}
        scorer = trained_on[1 - which]
        return fit_veto(
            scorer, retriever, queries, unseen, share=share, then=then, seed=seed, users=users
        )

    return CrossFitted((judge(0), judge(1)), half)


def fit_veto(
    scorer: Scorer,
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    share: float = SHARE,
    then: Vetoed = "leave-out",
    seed: int = 0,
    users: Mapping[str, str] = MappingProxyType({}),
) -> Veto:
    """Fit the threshold: the score below which so large a `share` of judged positives lies.

    Fitted on at most QUERIES queries, drawn by the seed, with their last hits as what is not
    relevant; `users` tell for queries what is known of who asks. Raises InputError where they have
    fewer than FEWEST positives or other texts, and as `JudgedDocuments` does.
    """
    if not 0 <= share < 1:
        raise InputError(f"the share of positives below a threshold is 0 … 1; got {share}")
    known = [query for query in qrels if query in queries]
    drawn = random.Random(f"veto {seed}").sample(known, min(QUERIES, len(known)))
    judged = JudgedDocuments(retriever.connector, {query: qrels[query] for query in drawn})
    relevant: list[float] = []
    others: list[float] = []
    texts = {query: queries[query] for query in drawn}
    for searched in search_all(retriever, texts, own={}, filter=None, users=users):
        found = tell_apart(searched, qrels[searched.query_id], judged, retriever.connector)
        scores = QueryScores(scorer, searched.query, users.get(searched.query_id, ""))
        relevant += scores(list(found.positives.values()))
        others += scores([hit.document for hit in found.others[-DEEP:]])
    if min(len(relevant), len(others)) < FEWEST:
        raise InputError(
            f"a veto's threshold wants {FEWEST} relevant and as many other texts to be fitted on;"
            f" these {len(drawn)} queries have {len(relevant)} and {len(others)}: judge more, or"
            " give the threshold"
        )
    threshold = float(np.quantile(relevant, share))
    calibration = _calibrated(relevant, others) if then == "soft" else None
    above = float(np.mean(np.array(others) >= threshold))
    return Veto(scorer, threshold, then, calibration, share, len(relevant), above)


def _calibrated(relevant: Sequence[float], others: Sequence[float]) -> Calibration:
    labels = np.array([1.0] * len(relevant) + [0.0] * len(others))
    return fit_platt(np.array([*relevant, *others]), labels)
