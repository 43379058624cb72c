"""Probabilities of relevance: fits against values worked out by hand, and against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.calibration.calibrating import (
    FITS,
    Scored,
    calibrate,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    reliability,
    score_candidates,
)
from retrieve_rerank.models.checkpoints.calibration import CALIBRATION_METHODS, CalibrationMethod
from retrieve_rerank.testing import OverlapScorer


def repeated(counts: Sequence[tuple[float, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores with how many documents of each, and how many of these are relevant."""
    scores = [score for score, documents, _ in counts for _ in range(documents)]
    relevant = [n < found for _, documents, found in counts for n in range(documents)]
    return np.array(scores), np.array(relevant, dtype=np.float64)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def drawn(count: int) -> list[Scored]:
    """Queries whose documents are relevant with probability sigmoid(score / 2 - 1)."""
    random = np.random.default_rng(3)
    queries = []
    for _ in range(count):
        scores = random.normal(scale=4, size=50)
        relevant = random.random(50) < 1 / (1 + np.exp(1 - scores / 2))
        queries.append(Scored(scores.tolist(), relevant.tolist()))
    return queries


def test_platt_meets_the_mean_target_of_two_scores() -> None:
    # Two scores are met exactly. 4 relevant of 10: targets 5/6 and 1/8.
    scores, relevant = repeated([(-1.0, 5, 1), (3.0, 5, 3)])
    low = (1 * 5 / 6 + 4 * 1 / 8) / 5
    high = (3 * 5 / 6 + 2 * 1 / 8) / 5

    found = fit_platt(scores, relevant)
    assert found([-1.0, 3.0]) == pytest.approx([low, high], abs=1e-8)
    assert found.slope == pytest.approx((logit(high) - logit(low)) / 4, abs=1e-8)


def test_temperature_meets_the_mean_target_of_opposite_scores() -> None:
    # Of 10 at +2 and 10 at -2, 8 and 2 are relevant: targets 11/12 and 1/12.
    scores, relevant = repeated([(2.0, 10, 8), (-2.0, 10, 2)])
    share = (8 * 11 / 12 + 2 * 1 / 12) / 10

    found = fit_temperature(scores, relevant)
    assert found.slope == pytest.approx(logit(share) / 2, abs=1e-8)
    assert found.intercept == 0.0
    assert found([0.0]) == [0.5]


def test_isotonic_pools_neighbours_that_fall() -> None:
    scores, relevant = repeated([(1.0, 4, 1), (2.0, 2, 2), (3.0, 4, 2), (4.0, 3, 3)])

    found = fit_isotonic(scores, relevant)  # 1/4, then 2/2 and 2/4 pooled to 4/6, then 3/3
    assert found.scores == [1.0, 2.0, 3.0, 4.0]
    assert found.probabilities == pytest.approx([1 / 4, 2 / 3, 2 / 3, 1.0])
    assert found([-9, 1.5, 2.5, 9]) == pytest.approx([1 / 4, 11 / 24, 2 / 3, 1.0])


def test_fits_are_those_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="comes with the extra 'torch'")
    from sklearn.calibration import _sigmoid_calibration  # type: ignore[import-untyped]  # as is
    from sklearn.isotonic import IsotonicRegression  # type: ignore[import-untyped]  # as is

    [drawn_scores, drawn_relevant] = zip(
        *((each.scores, each.relevant) for each in drawn(10)), strict=True
    )
    scores, relevant = np.concatenate(drawn_scores), np.concatenate(drawn_relevant).astype(float)
    grid = np.linspace(-20, 20, 401)

    slope, intercept = _sigmoid_calibration(scores, relevant)
    platt = fit_platt(scores, relevant)
    assert (platt.slope, platt.intercept) == pytest.approx((-slope, -intercept), abs=1e-5)
    peer = IsotonicRegression(out_of_bounds="clip").fit(scores, relevant)
    assert fit_isotonic(scores, relevant)(grid.tolist()) == pytest.approx(peer.predict(grid))


def test_the_error_is_worked_out_in_ten_bins() -> None:
    found = reliability([0.05, 0.95, 0.91, 1.0, 0.55], [False, True, True, False, True])

    assert [(each.low, each.documents) for each in found.bins] == [(0.0, 1), (0.5, 1), (0.9, 3)]
    assert found.bins[2].predicted == pytest.approx(2.86 / 3)
    assert found.bins[2].observed == pytest.approx(2 / 3)
    assert found.error == pytest.approx((0.05 + 0.45 + (2.86 - 2)) / 5)


@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_a_calibration_lowers_the_error_on_other_queries_and_keeps_the_order(
    method: CalibrationMethod,
) -> None:
    report = calibrate(drawn(60), method=method)

    assert report.after.error < report.before.error
    assert report.calibration.method == method
    grid = np.linspace(-30, 30, 200).tolist()
    probabilities = report.calibration(grid)
    assert probabilities == sorted(probabilities)
    assert 0.0 <= probabilities[0] < probabilities[-1] <= 1.0


def test_what_is_fitted_is_fitted_on_one_half_alone() -> None:
    queries = drawn(8)
    other = [
        query if n % 2 == 0 else Scored([0.0, 1.0], [True, False])
        for n, query in enumerate(queries)
    ]

    report = calibrate(queries, method="platt")
    assert report.calibration == calibrate(other, method="platt").calibration
    assert (report.queries, report.documents) == ((4, 4), (200, 200))
    relevant = [sum(sum(query.relevant) for query in queries[start::2]) for start in (0, 1)]
    assert report.relevant == tuple(relevant)


@pytest.mark.parametrize(
    "queries",
    [
        [],
        [Scored([1.0, 2.0], [True, False])],
        [Scored([1.0, 2.0], [True, True]), Scored([1.0, 2.0], [True, False])],
        [Scored([1.0, 2.0], [False, True]), Scored([1.0, 2.0], [False, False])],
    ],
)
def test_a_half_without_both_kinds_of_documents_is_an_error(queries: list[Scored]) -> None:
    with pytest.raises(InputError, match="in one half of the queries are relevant; expected some"):
        calibrate(queries, method="platt")


@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_scores_that_fall_with_relevance_are_an_error(method: CalibrationMethod) -> None:
    scores, relevant = repeated([(1.0, 5, 4), (2.0, 5, 1)])
    with pytest.raises(InputError, match="the scores do not rise with relevance"):
        FITS[method](scores, relevant)


@pytest.mark.parametrize("method", ["platt", "temperature"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_scores_that_tell_all_apart_still_have_a_finite_fit(
    method: CalibrationMethod, scale: float
) -> None:
    scores, relevant = repeated([(-2 * scale, 3, 0), (2 * scale, 3, 3)])

    found = FITS[method](scores, relevant)(scores.tolist())
    assert found == pytest.approx([1 / 5] * 3 + [4 / 5] * 3, abs=1e-6)


def test_candidates_without_a_judgment_are_not_relevant() -> None:
    documents = [Document("a", "red fox"), Document("b", "red dog"), Document("c", "red cat")]
    queries = {"1": "red fox", "2": "red cat", "unjudged": "red"}
    qrels = {"1": {"a": 2, "b": 0}, "2": {"c": 1}, "no text": {"a": 1}}
    heard: list[int] = []

    found = score_candidates(
        OverlapScorer(),
        MemoryConnector(documents),
        queries,
        qrels,
        depth=2,
        on_progress=heard.append,
    )
    assert [list(each.relevant) for each in found] == [[True, False], [True, False]]
    assert found[0].scores[0] > found[0].scores[1]
    assert heard == [1, 1]


def test_the_diagram_is_drawn(tmp_path: Path) -> None:
    plots = pytest.importorskip(
        "retrieve_rerank.evaluation.calibration.plot", reason="needs the extra 'eval'"
    )
    report = calibrate(drawn(20), method="platt")
    measured = {"before": report.before, "after": report.after}

    plots.plot_reliability(measured, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for unusable in (tmp_path / "a.doc", tmp_path / "none" / "a.png"):
        with pytest.raises(InputError, match="cannot write the diagram to"):
            plots.plot_reliability(measured, unusable)
