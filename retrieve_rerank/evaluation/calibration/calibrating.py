"""Fitting a scorer's probabilities on judged documents, and measuring how far to trust them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieve_rerank.base import Connector, Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments, own_ids
from retrieve_rerank.models.checkpoints.calibration import Calibration, CalibrationMethod
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.types import Qrels

Numbers = NDArray[np.float64]

BINS = 10
FEWEST = 20
"""Relevant documents, and others, without which a fit is not to be relied on: ten for each of
the two numbers of "platt" (Peduzzi et al., 1996, https://doi.org/10.1016/S0895-4356(96)00236-3)."""
FEWEST_FOR_ISOTONIC = 1000
"""Documents from which on "isotonic" fits as well as "platt" or better: Niculescu-Mizil and
Caruana, ICML 2005, https://doi.org/10.1145/1102351.1102430."""
_STEPS = 100  # of Newton's method, which needs about ten
_EXACT = 1e-10
_FLAT = 1e-12


class Bin(NamedTuple):
    """The documents whose probability lies between two bounds."""

    low: float
    high: float
    documents: int
    predicted: float
    """Mean of their probabilities."""
    observed: float
    """Share of them that is relevant."""


class Reliability(NamedTuple):
    """How probabilities and the share of relevant documents agree."""

    bins: Sequence[Bin]
    """Those with documents in them, lowest first."""
    error: float
    """Expected calibration error."""

    def as_json(self) -> dict[str, Any]:
        """Say all of it in JSON's types."""
        return {"error": self.error, "bins": [each._asdict() for each in self.bins]}


class CalibrationReport(NamedTuple):
    """A calibration, and what it does to the queries that it was not fitted on."""

    calibration: Calibration
    before: Reliability
    """Of the scores' plain logistic function."""
    after: Reliability
    queries: tuple[int, int]
    """Fitted on, and held out."""
    documents: tuple[int, int]
    """Fitted on, and held out."""
    relevant: tuple[int, int]
    """Of these the relevant ones."""

    @property
    def too_few(self) -> str | None:
        """Why the calibration is not to be relied on; None where it saw enough of both kinds."""
        relevant, others = self.relevant[0], self.documents[0] - self.relevant[0]
        if min(relevant, others) >= FEWEST:
            return None
        return (
            f"it was fitted on {relevant:,} relevant documents and {others:,} others; expected at"
            f" least {FEWEST} of each"
        )

    def as_json(self) -> dict[str, Any]:
        """Say all of it in JSON's types."""
        measured = {"before": self.before.as_json(), "after": self.after.as_json()}
        return {**self._asdict(), **measured, "calibration": self.calibration.as_json()}


class Scored(NamedTuple):
    """One query's candidates: raw scores, and which of them are relevant."""

    scores: Sequence[float]
    relevant: Sequence[bool]
    own: bool = False
    """Whether a document of the query's own id is among those that are not."""


def score_candidates(
    scorer: Scorer,
    connector: Connector,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    depth: int,
    exclude_self: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> list[Scored]:
    """Score the `depth` documents that the first stage finds for each judged query.

    Grades above 0 are relevant; documents without a judgment are not, as measures have it.
    A passage is as relevant as the document it was split from, unless it is judged itself.
    `exclude_self` leaves out the document that has the query's own id, with its passages.
    `on_progress` hears of each query that has been dealt with. Raises as `JudgedDocuments` does.
    """
    found = []
    documents = JudgedDocuments(connector, qrels)
    asked = [query for query in qrels if query in queries]
    own = own_ids(connector, asked) if exclude_self else {}
    first_stage = Retriever(connector, candidates=depth)
    for query in asked:
        exclude = [own[query]] if query in own else []
        hits = first_stage.search(queries[query], top_k=depth, exclude=exclude).hits
        texts = [scorer.template.render(hit.document) for hit in hits]
        relevant = [qrels[query].get(documents.id_of(hit.document), 0) > 0 for hit in hits]
        met = query in documents.ids(hits) and qrels[query].get(query, 0) <= 0
        found.append(Scored(scorer.score(queries[query], texts), relevant, met))
        if on_progress is not None:
            on_progress(1)
    return found


def calibrate(scored: Sequence[Scored], *, method: CalibrationMethod) -> CalibrationReport:
    """Fit on every other query, and measure on the rest.

    Raises InputError where either half lacks relevant or other documents, or where scores do
    not rise with relevance.
    """
    halves = [_joined(scored[start::2]) for start in (0, 1)]
    for scores, relevant in halves:
        if not 0 < relevant.sum() < len(scores):
            raise InputError(
                f"{int(relevant.sum())} of {len(scores)} documents in one half of the queries are"
                " relevant; expected some that are and some that are not: judge more queries, or"
                " look deeper"
            )
    calibration = FITS[method](*halves[0])
    held_out, relevant = halves[1]
    return CalibrationReport(
        calibration,
        before=reliability(Calibration("platt")(held_out.tolist()), relevant.tolist()),
        after=reliability(calibration(held_out.tolist()), relevant.tolist()),
        queries=(len(scored[0::2]), len(scored[1::2])),
        documents=(len(halves[0][0]), len(held_out)),
        relevant=(int(halves[0][1].sum()), int(relevant.sum())),
    )


def reliability(probabilities: Sequence[float], relevant: Sequence[bool]) -> Reliability:
    """Compare probabilities with what is relevant, in ten bins of equal width.

    The error is the mean over documents of the distance between their bin's mean probability
    and its share of relevant ones (Naeini et al., AAAI 2015, https://arxiv.org/abs/1411.0160).
    """
    predicted = np.asarray(probabilities, dtype=np.float64)
    observed = np.asarray(relevant, dtype=np.float64)
    places = np.minimum((predicted * BINS).astype(int), BINS - 1)
    bins = [
        Bin(
            place / BINS,
            (place + 1) / BINS,
            int((places == place).sum()),
            float(predicted[places == place].mean()),
            float(observed[places == place].mean()),
        )
        for place in np.unique(places).tolist()
    ]
    distance = sum(each.documents * abs(each.predicted - each.observed) for each in bins)
    return Reliability(bins, distance / max(len(predicted), 1))


def fit_platt(scores: Numbers, relevant: Numbers) -> Calibration:
    """Fit slope and intercept by maximum likelihood.

    J. Platt, "Probabilistic outputs for support vector machines", 1999, with his targets, which
    keep the slope finite where a threshold tells all relevant documents from the others.
    """
    slope, intercept = _logistic(np.stack([scores, np.ones_like(scores)]), _targets(relevant))
    return Calibration("platt", _rising(slope), intercept)


def fit_temperature(scores: Numbers, relevant: Numbers) -> Calibration:
    """Fit the slope alone, 1 / temperature (Guo et al., https://arxiv.org/abs/1706.04599)."""
    (slope,) = _logistic(scores[None, :], _targets(relevant))
    return Calibration("temperature", _rising(slope))


def fit_isotonic(scores: Numbers, relevant: Numbers) -> Calibration:
    """Fit the rising steps nearest to the judgments, by pooling neighbours that fall.

    Zadrozny and Elkan, KDD 2002, https://doi.org/10.1145/775047.775151.
    """
    places, which = np.unique(scores, return_inverse=True)
    counts = np.bincount(which).astype(np.float64)
    shares = np.bincount(which, weights=relevant) / counts
    pools: list[tuple[float, float, int, int]] = []  # share, weight, first and last place
    for place, (share, count) in enumerate(zip(shares, counts, strict=True)):
        pool = (float(share), float(count), place, place)
        while pools and pools[-1][0] >= pool[0]:
            before = pools.pop()
            weight = before[1] + pool[1]
            mean = (before[0] * before[1] + pool[0] * pool[1]) / weight
            pool = (mean, weight, before[2], place)
        pools.append(pool)
    if len(pools) == 1:
        raise _not_rising()
    points = [
        (float(places[at]), share)
        for share, _, first, last in pools
        for at in ((first, last) if first != last else (first,))
    ]
    return Calibration(
        "isotonic", scores=[at for at, _ in points], probabilities=[share for _, share in points]
    )


FITS: Mapping[CalibrationMethod, Callable[[Numbers, Numbers], Calibration]] = {
    "platt": fit_platt,
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}


def _joined(scored: Sequence[Scored]) -> tuple[Numbers, Numbers]:
    scores = [score for each in scored for score in each.scores]
    relevant = [answer for each in scored for answer in each.relevant]
    return np.array(scores, dtype=np.float64), np.array(relevant, dtype=np.float64)


def _targets(relevant: Numbers) -> Numbers:
    positives = relevant.sum()
    negatives = len(relevant) - positives
    targets: Numbers = np.where(
        relevant > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2)
    )
    return targets


def _logistic(features: Numbers, targets: Numbers) -> list[float]:
    """Fit one weight for each row of features by Newton's method with halved steps."""
    weights = np.zeros(len(features))
    loss = _loss(weights, features, targets)
    for _ in range(_STEPS):
        predicted = 0.5 + 0.5 * np.tanh(weights @ features / 2)
        gradient = features @ (predicted - targets)
        curvature = (features * (predicted * (1 - predicted))) @ features.T
        step = np.linalg.solve(curvature + _FLAT * np.eye(len(weights)), gradient)
        while (found := _loss(weights - step, features, targets)) > loss:
            step /= 2
        weights, gained, loss = weights - step, loss - found, found
        if gained <= _EXACT * max(loss, 1.0) and np.abs(step).max() < _EXACT:
            break
    return [float(weight) for weight in weights]


def _loss(weights: Numbers, features: Numbers, targets: Numbers) -> float:
    logits = weights @ features
    return float((np.logaddexp(0, logits) - targets * logits).sum())


def _rising(slope: float) -> float:
    if slope <= 0:
        raise _not_rising()
    return slope


def _not_rising() -> InputError:
    return InputError(
        "the scores do not rise with relevance; check that model, label and judgments fit together"
    )
