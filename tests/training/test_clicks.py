"""Clicks, simulated by the position-based model: what is estimated against what is true."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieve_rerank.data.clicks import Session, Shown, read_sessions
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.clicks import (
    ClickReport,
    Propensities,
    click_groups,
    from_swaps,
    given,
    harvested,
    propensities_of,
    split_sessions,
)

POSITIONS = 5
QUERIES = 60
SESSIONS = 20_000


@cache
def simulated(eta: float, *, swaps: bool) -> tuple[list[Session], np.ndarray, dict[int, float]]:
    """Sessions, the relevance of each query's documents, and the true propensities 1 / k^eta.

    The better documents mostly stand above, as where a ranking serves; without swaps, users see
    one of two rankings. Being seen and being relevant are independent, so that a click is one draw.
    """
    rng = np.random.default_rng(7)
    propensities = {k: k**-eta for k in range(1, POSITIONS + 1)}
    relevance = rng.uniform(0.1, 0.9, (QUERIES, POSITIONS))
    orders = [np.argsort(-(relevance + rng.normal(0, 0.3, relevance.shape))) for _ in range(2)]
    clicked = rng.random((SESSIONS, POSITIONS))
    coins = rng.integers(2, size=SESSIONS).tolist()
    sessions = []
    for n, query in enumerate(rng.integers(QUERIES, size=SESSIONS).tolist()):
        order = orders[0 if swaps else coins[n]][query].tolist()
        swap = (1, 2 + n % (POSITIONS - 1)) if swaps else None
        if swap and coins[n]:
            order[0], order[swap[1] - 1] = order[swap[1] - 1], order[0]
        draws = clicked[n] < [
            propensities[k + 1] * relevance[query, d] for k, d in enumerate(order)
        ]
        hits = tuple(
            Shown(f"{query}-{document}", k, click)
            for k, (document, click) in enumerate(zip(order, draws.tolist(), strict=True), start=1)
        )
        sessions.append(
            Session(f"query {query}", hits, f"user {n % 97}", float(n), swap, POSITIONS)
        )
    return sessions, relevance, propensities


@pytest.mark.parametrize(
    ("eta", "swaps"), [(1.0, True), (1.0, False), (0.5, False)], ids=["swaps", "harvested", "flat"]
)
def test_propensities_are_recovered_within_a_tenth(eta: float, swaps: bool) -> None:
    sessions, _, true = simulated(eta, swaps=swaps)
    found = propensities_of(sessions)
    assert found.how == ("swaps" if swaps else "harvested")
    assert found.of.keys() == true.keys()
    for position, propensity in true.items():
        assert found.of[position] == pytest.approx(propensity, rel=0.1)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_corrected_labels_are_nearer_to_the_truth_than_naive_ones(eta: float) -> None:
    """In value, and in the order of a query's documents."""
    sessions, relevance, _ = simulated(eta, swaps=False)
    errors, wrong = {}, {}
    naive = given(dict.fromkeys(range(1, POSITIONS + 1), 1.0))
    for name, propensities in (("naive", naive), ("corrected", harvested(sessions))):
        texts = {each.id: each.id for session in sessions for each in session.shown}
        labels = np.zeros_like(relevance)
        for group in click_groups(sessions, propensities, texts=texts):
            for each in group.texts:
                query, document = map(int, str(each.id).split("-"))
                labels[query, document] = each.label
        scale = labels.mean() / relevance.mean()  # only relative relevance can be told
        errors[name] = np.abs(labels / scale - relevance).mean()
        pairs = np.sign(labels[:, :, None] - labels[:, None]) != np.sign(
            relevance[:, :, None] - relevance[:, None]
        )
        wrong[name] = pairs.mean()
    assert errors["corrected"] < 0.7 * errors["naive"]
    assert wrong["corrected"] < 0.8 * wrong["naive"]


def test_clicks_of_one_ranking_are_refused_with_what_to_supply() -> None:
    sessions = [session for session in simulated(1.0, swaps=True)[0] if session.query == "query 3"]
    one_ranking = [
        Session("q", tuple(Shown(f"d{k}", k, True) for k in (1, 2)), f"u{n}", n) for n in range(99)
    ]
    for few in (one_ranking, sessions[:9], []):
        with pytest.raises(InputError, match="give what is known of each position; or log a swap"):
            propensities_of(few)
    assert propensities_of(one_ranking, known={1: 1.0, 2: 0.4}).weight(2) == 2.5
    with pytest.raises(InputError, match="above 0 and at most 1"):
        given({1: 1.0, 2: 0.0})
    with pytest.raises(InputError, match="log a swap"):
        from_swaps(one_ranking)


def session(query: str, time: float, *hits: Shown, user: str = "u", **more: Any) -> Session:
    return Session(query, hits, user, time, **more)


def test_what_was_not_seen_is_unlabelled_and_weights_are_clipped() -> None:
    report = ClickReport()
    texts = {name: name.upper() for name in "abcd"}
    log = [
        session("q", 1, Shown("a", 1, False), Shown("b", 2, True), Shown("c", 3, False)),
        session("q", 2, Shown("a", 1, False), Shown("b", 2, False), Shown("c", 3, False)),
        session("q", 3, Shown("d", 3, True), Shown("e", 9, True)),
    ]
    known = given({1: 1.0, 2: 0.5, 3: 0.05})
    [group] = click_groups(log, known, texts=texts, report=report)
    labels = {each.text: each.label for each in group.texts}
    # b: one click of weight 2 in two views; d: 1 / .05 = 20 is clipped to 10, a label is at most 1
    assert labels == {"A": 0.0, "B": 1.0, "C": None, "D": 1.0}
    assert (report.clipped, report.unlabelled, report.unknown_positions) == (1, 1, 1)
    [group] = click_groups([log[0], *[log[1]] * 3], known, texts=texts)
    assert {each.text: each.label for each in group.texts}["B"] == 0.5


def test_a_copied_answer_is_a_point_and_a_reformulation_a_preference() -> None:
    texts = {name: name.upper() for name in "abc"}
    log = [
        session("cannot sign in", 1, Shown("a", 1, False), Shown("b", 2, False)),
        session(
            "reset password", 2, Shown("c", 1, True, copied=True), reformulates="cannot sign in"
        ),
        session("reset password", 3, Shown("c", 1, True), user="v", reformulates="cannot sign in"),
    ]
    points_and_pairs = list(click_groups(log, Propensities({1: 1.0, 2: 0.5}, "given"), texts=texts))
    found = [(g.query, [(t.text, t.label, t.source) for t in g.texts]) for g in points_and_pairs]
    assert found[1:] == [
        ("reset password", [("C", 1.0, "copied")]),
        ("cannot sign in", [("C", 1.0, "reformulation"), ("A", 0.0, "reformulation")]),
    ]


def test_held_out_sessions_are_later_and_of_other_users() -> None:
    sessions, *_ = simulated(1.0, swaps=False)
    split = split_sessions(sessions)
    assert not {s.user for s in split.train} & {s.user for s in split.held_out}
    assert max(s.time for s in split.train) < min(s.time for s in split.held_out)
    assert len(split.train) + len(split.held_out) + split.left_out == len(sessions)
    with pytest.raises(InputError, match="cannot be divided by time and user"):
        split_sessions(sessions[:1])


def test_a_log_is_read_and_what_is_no_session_named(tmp_path: Path) -> None:
    path = tmp_path / "clicks.jsonl"
    row = {
        "query": "q",
        "user": "u",
        "time": "1970-01-01T00:01:00Z",
        "hits": [{"id": "a", "clicked": False}, {"id": "b", "clicked": True, "text": "B"}],
        "swap": [2, 1],
    }
    path.write_text(json.dumps(row) + "\n")
    hits = (Shown("a", 1, False), Shown("b", 2, True, text="B"))
    assert list(read_sessions(str(path))) == [Session("q", hits, "u", 60.0, (1, 2))]
    bad: list[tuple[dict[str, Any], str]] = [
        ({"time": "yesterday"}, "Invalid isoformat"),
        ({"hits": []}, "no hits"),
        ({"hits": [{"id": "a"}]}, "without true or false as 'clicked'"),
        ({"swap": [1, 3]}, "a swap of positions that are not shown"),
        ({"user": 7}, "no text in 'user'"),
    ]
    for change, message in bad:
        path.write_text(json.dumps({**row, **change}) + "\n")
        with pytest.raises(InputError, match=f"clicks.jsonl:1: .*{message}.*expected"):
            list(read_sessions(str(path)))
