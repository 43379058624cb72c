"""The verdict: what is promoted, and why not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.bootstrap import bootstrap
from retrieve_rerank.evaluation.evaluate import Latency
from retrieve_rerank.training.gate import judge, least_detectable
from retrieve_rerank.training.slices import FEWEST_IN_SLICE, loss_p, query_slices
from retrieve_rerank.types import Qrels

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

FIRST, SECOND = ["good", "bad"], ["bad", "good"]
"""Rankings worth an nDCG of 1 and of 1 / log2(3) = .6309."""
SECOND_WORTH = 1 / math.log2(3)


def qrels(count: int) -> Qrels:
    return {f"q{n}": {"good": 1} for n in range(count)}


def rankings(first: int, count: int) -> dict[str, list[str]]:
    """The relevant document first for the first so many queries, and second for the rest."""
    return {f"q{n}": FIRST if n < first else SECOND for n in range(count)}


def test_figures_are_those_of_the_paired_differences() -> None:
    verdict = judge(rankings(0, 40), rankings(10, 40), qrels(40))

    gained = (1 - SECOND_WORTH) / 4
    assert verdict.before == pytest.approx(SECOND_WORTH)
    assert verdict.gain == pytest.approx(gained)
    assert verdict.after == pytest.approx(SECOND_WORTH + gained)
    assert (verdict.wins, verdict.losses, verdict.queries, verdict.runs) == (10, 0, 40, 1)
    assert verdict.p == pytest.approx(2 / 2**10)  # all ten won, of all assignments of signs
    assert (verdict.judged_before, verdict.judged_after) == (0.5, 0.5)
    assert verdict.low < gained < verdict.high
    assert verdict.promote and verdict.reasons == []
    assert verdict.sentence.startswith("better: nDCG@10 +0.092 on 40 held-out queries, 95 %")


def test_the_lower_end_of_the_interval_must_exceed_the_least_gain() -> None:
    before, after = rankings(0, 40), rankings(10, 40)
    low = judge(before, after, qrels(40)).low

    assert judge(before, after, qrels(40), min_gain=low - 1e-9).promote
    held = judge(before, after, qrels(40), min_gain=low)
    assert not held.promote
    assert "does not rule out" in held.sentence
    assert "judge more queries: these show a gain of" in held.advice[0]


def test_what_is_worse_is_not_promoted_and_says_so() -> None:
    verdict = judge(rankings(40, 40), rankings(0, 40), qrels(40))
    assert not verdict.promote
    assert (verdict.low, verdict.high) == pytest.approx((SECOND_WORTH - 1,) * 2)
    assert "that is not a gain" in verdict.sentence
    assert "labels that are wrong" in verdict.advice[0]


def test_what_is_worse_than_today_as_it_is_is_not_promoted() -> None:
    retuned, after = rankings(0, 40), rankings(10, 40)

    better = judge(retuned, after, qrels(40), served=rankings(8, 40))
    assert better.promote and better.over_served is not None
    assert better.over_served.gain == pytest.approx((1 - SECOND_WORTH) / 20)
    assert "; against today's pipeline as it is +0.018, " in better.sentence
    assert judge(retuned, after, qrels(40), served=after).promote
    worse = judge(retuned, after, qrels(40), served=rankings(12, 40))
    assert not worse.promote
    assert worse.reasons == ["today's pipeline as it is does better (−0.018)"]
    assert "more dev queries" in worse.advice[0]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_two_pipelines_are_never_each_better_than_the_other(found: list[tuple[bool, bool]]) -> None:
    judged = qrels(len(found))
    one = {f"q{n}": FIRST if first else SECOND for n, (first, _) in enumerate(found)}
    other = {f"q{n}": FIRST if first else SECOND for n, (_, first) in enumerate(found)}

    there, back = judge(one, other, judged), judge(other, one, judged)

    assert there.gain == pytest.approx(-back.gain)
    assert there.low <= there.gain <= there.high
    assert not (there.promote and back.promote)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.p == back.p
    assert judge(one, one, judged).promote is False


def test_values_of_several_models_are_averaged_for_each_query() -> None:
    verdict = judge(rankings(0, 40), [rankings(10, 40), rankings(20, 40)], qrels(40))
    assert verdict.gain == pytest.approx((1 - SECOND_WORTH) * 15 / 40)
    assert (verdict.runs, verdict.wins) == (2, 20)


def test_the_least_detectable_gain_is_that_of_the_spread() -> None:
    """Spread 1 (of n − 1), 100 values: (1.960 + 0.8416) / 10."""
    deltas = [math.sqrt(0.99), -math.sqrt(0.99)] * 50
    assert least_detectable(deltas) == pytest.approx(0.28016, abs=1e-4)


def test_a_protected_slice_that_may_have_lost_bars_promotion() -> None:
    count = 200
    before = rankings(0, count)
    before |= {f"q{n}": FIRST for n in range(160, count)}
    after = rankings(160, count)  # the last forty lose, all others gain
    slices = {"late": [f"q{n}" for n in range(160, count)], "early": [f"q{n}" for n in range(160)]}

    verdict = judge(before, after, qrels(count), slices=slices)

    late, early = verdict.slices
    assert (late.kept, early.kept) == (False, True)
    assert late.gain == pytest.approx(SECOND_WORTH - 1)
    assert not verdict.promote
    assert verdict.reasons == [verdict.reasons[0]]
    assert "late: of 40 queries a loss of 0.05 is not ruled out" in verdict.sentence
    allowed = judge(before, after, qrels(count), slices=slices, margin=0.4)
    assert allowed.promote


def test_a_slice_of_too_few_queries_is_told_but_not_tested() -> None:
    few = [f"q{n}" for n in range(FEWEST_IN_SLICE - 1)]
    verdict = judge(
        rankings(60, 90) | dict.fromkeys(few, FIRST),
        rankings(90, 90) | dict.fromkeys(few, SECOND),
        qrels(90),
        slices={"few": few, "unknown": ["nobody"]},
    )
    assert [(s.name, s.queries, s.p, s.kept) for s in verdict.slices] == [
        ("few", len(few), None, None)
    ]


def test_slices_are_corrected_for_being_many() -> None:
    """Holm: of two equal p values the smaller counts twice."""
    random = np.random.default_rng(3)
    lost = {f"q{n}": random.random() < 0.12 for n in range(60)}
    before = dict.fromkeys(lost, FIRST)
    after = {query: SECOND if its else FIRST for query, its in lost.items()}
    p = loss_p([(SECOND_WORTH - 1) * its for its in lost.values()], 0.08)
    alone = judge(before, after, qrels(60), slices={"a": [*lost]}, margin=0.08)
    both = judge(before, after, qrels(60), slices={"a": [*lost], "b": [*lost]}, margin=0.08)
    assert alone.slices[0].p == pytest.approx(p)
    assert [its.p for its in both.slices] == pytest.approx([2 * p, 2 * p])


def test_slow_searches_bar_promotion() -> None:
    before, after = rankings(0, 40), rankings(20, 40)
    slow = judge(before, after, qrels(40), latency=Latency(20, 210.4), max_p95_ms=200)
    assert not slow.promote
    assert "take up to 210 ms, more than the 200 allowed" in slow.sentence
    assert judge(before, after, qrels(40), latency=Latency(20, 200), max_p95_ms=200).promote
    with pytest.raises(InputError, match="needs the latency"):
        judge(before, after, qrels(40), max_p95_ms=200)


def test_a_pipeline_that_failed_bars_promotion() -> None:
    before, after = rankings(0, 40), rankings(20, 40)
    failures = {"today, re-tuned": {}, "fine-tuned": {"q3": "the scores are NaN.", "q7": "other"}}
    verdict = judge(before, after, qrels(40), failures=failures)
    assert not verdict.promote
    assert verdict.failed == 2
    assert "fine-tuned: 2 of the queries failed, such as with: the scores are NaN" in (
        verdict.sentence
    )
    assert judge(before, after, qrels(40), failures={"today": {}, "fine-tuned": {}}).promote


def test_one_query_cannot_be_judged() -> None:
    with pytest.raises(InputError, match="at least two judged queries"):
        judge(rankings(0, 1), rankings(1, 1), qrels(1))


def test_where_nothing_changed_promotion_is_as_rare_as_the_interval_says() -> None:
    """About one in forty; three deviations of a thousand trials around it.

    The differences are those of two rankers alike: most none, the others either way.
    """
    random = np.random.default_rng(0)
    trials, count = 1000, 40
    false = 0
    for _ in range(trials):
        moved = random.random(count) < 0.6
        deltas = np.where(moved, random.normal(0, 0.3, count), 0.0)
        low, _ = bootstrap(list(deltas), draws=400, widened=True)
        false += low > 0
    assert abs(false / trials - 0.025) < 3 * math.sqrt(0.025 * 0.975 / trials)


def test_queries_are_sliced_by_length_and_by_how_often_they_are_asked() -> None:
    queries = {f"q{n}": "word " * n for n in range(1, 13)}
    slices = query_slices(queries, {"q7": 9, "q2": 3})
    assert slices == {
        "short (at most 5 words)": [f"q{n}" for n in range(1, 6)],
        "long (at least 8 words)": [f"q{n}" for n in range(8, 13)],
        "head": ["q7"],
    }
    assert query_slices({"a": "one", "b": "two"}) == {}
    chinese = query_slices({"a": "退款", "b": "退款需要几天", "c": "退款需要几天到账"})
    assert chinese == {"short (at most 3 words)": ["a", "b"], "long (at least 3 words)": ["b", "c"]}
