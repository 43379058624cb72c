"""Boosts from metadata, and collapsing by it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from retrieve_rerank import Document, Hit, Stage, rank, rescore
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.stage import place
from retrieve_rerank.rerankers.collapse import Collapse
from retrieve_rerank.rerankers.metadata import BOOST_WEIGHT, Boost, Popularity, Recency
from retrieve_rerank.types import append_unscored

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def hits(*values: Any, field: str = "f") -> list[Hit]:
    documents = [
        Document(str(n), "text", {} if value is None else {field: value})
        for n, value in enumerate(values)
    ]
    return rank(
        (document, 1.0 - document_number / 10) for document_number, document in enumerate(documents)
    )


def ids(found: Iterable[Hit]) -> list[str]:
    return [hit.document.id for hit in found]


def recency(half_life_days: float = 365.0) -> Recency:
    return Recency("f", half_life_days=half_life_days, now=lambda: NOW)


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("2026-01-01", 1.0),
        ("2025-01-01T00:00:00Z", 0.5),
        ("2024-01-02", 0.25),  # 730 days: 2024 had one more
        ("2025-01-01T01:00:00+01:00", 0.5),
        (NOW.timestamp() - 365 * 86400, 0.5),
        (int((NOW.timestamp() - 365 * 86400) * 1000), 0.5),
        ("2030-01-01", 1.0),
        ("last year", None),
        (True, None),
        (1e300, None),
        (10**400, None),
        (math.inf, None),
        ([2025], None),
    ],
)
def test_recency_halves_with_every_half_life(value: Any, score: float | None) -> None:
    assert recency().worth(value) == (None if score is None else pytest.approx(score))


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (0, 0.0),
        (9, math.log(10)),
        (0.5, math.log(1.5)),
        (10**400, 1024 * math.log(2)),  # the largest float's
        (-1, None),
        (-(10**400), None),
        (math.nan, None),
        (math.inf, None),
        ("9", None),
    ],
)
def test_popularity_is_logarithmic(value: Any, score: float | None) -> None:
    assert Popularity("f").worth(value) == (None if score is None else pytest.approx(score))


def test_a_boost_orders_by_worth_and_counts_absence_as_average() -> None:
    found = Popularity("f").rerank("q", hits(1, None, 100, 3)).hits
    assert ids(found) == ["2", "1", "3", "0"]
    average = (math.log(2) + math.log(101) + math.log(4)) / 3
    assert found[1].score == pytest.approx(average)


def test_a_boost_without_any_value_is_an_error_that_shows_one() -> None:
    with pytest.raises(InputError, match="no hit has a date in 'f'; none has the field"):
        recency().rerank("q", hits(None, None))
    with pytest.raises(InputError, match=r"a count of at least 0 in 'f'; got, for example, 'many'"):
        Popularity("f").rerank("q", hits(None, "many"))


def test_a_boost_is_mixed_in_lightly_by_default() -> None:
    stage = Stage(recency())
    assert stage.share == BOOST_WEIGHT
    given = hits("2020-01-01", "2026-01-01")
    assert ids(place(stage, stage.reranker.rerank("q", given).hits, given)) == ["0", "1"]


@pytest.mark.parametrize("half_life_days", [0, -1, math.nan, math.inf])
def test_settings_that_cannot_be_are_errors(half_life_days: float) -> None:
    with pytest.raises(InputError, match="half_life_days must be above 0, and finite; got"):
        recency(half_life_days)
    assert isinstance(recency(), Boost)


def test_collapsing_keeps_the_first_of_each_group_and_its_score() -> None:
    found = Collapse("f").rerank("q", hits("x", "y", None, "x", None, 1, "1", ["l"], ["l"])).hits
    assert ids(found) == ["0", "1", "2", "4", "5", "6", "7"]


def test_collapsing_keeps_the_order_where_scores_are_on_two_scales() -> None:
    scored = rescore(hits("x", "y"), [-2.0, -3.0])
    given = append_unscored(scored, rank([(Document("late", "", {"f": "z"}), 0.7)]))
    found = Collapse("f").rerank("q", given)
    assert [(hit.document.id, hit.score, hit.rank) for hit in found] == [
        ("0", -2.0, 1),
        ("1", -3.0, 2),
        ("late", 0.7, 3),
    ]


def test_collapsing_by_a_field_that_no_hit_has_is_an_error() -> None:
    with pytest.raises(InputError, match="no hit has the field 'g' to be collapsed by"):
        Collapse("g").rerank("q", hits("x", "y"))
