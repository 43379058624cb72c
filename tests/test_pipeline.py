from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from retrieve_rerank import (
    Candidates,
    Document,
    Hit,
    Retriever,
    Scorer,
    SearchResult,
    Stage,
    TextScores,
    rescore,
)
from retrieve_rerank.base import MaxSimScores, Reranker, RerankResult, TensorSearch
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.passages import Cut
from retrieve_rerank.errors import DeadlineExceededError, InputError, ScoreError
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.testing import OverlapScorer

WINGS = [
    Document("short", "wing"),
    Document("both", "wing lift drag polar of a slender body"),
    Document("lift", "lift of a thin wing"),
    Document("other", "heat transfer in a pipe"),
]


@pytest.fixture
def connector() -> MemoryConnector:
    return MemoryConnector(WINGS)


class Slow(OverlapScorer):
    name = "slow"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        time.sleep(self.seconds)
        return super().score(query, texts)


class NotANumber(Scorer):
    name = "nan"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [math.nan] * len(texts)


class Broken(Scorer):
    name = "broken"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        raise RuntimeError("the model is gone")


class Negative(OverlapScorer):
    """Gives logits below zero, as cross-encoders do for most texts."""

    name = "negative"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [score - 100 for score in super().score(query, texts)]


class Forgetful(Reranker):
    """Scores the last hit only, and says that it cut it."""

    name = "forgetful"

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        return RerankResult(rescore(hits[-1:], [1.0]), truncated=1)


def ids(result: SearchResult) -> list[str]:
    return [hit.document.id for hit in result]


class Terse(MemoryConnector):
    """Has something to say of every search."""

    def search(self, query: str, **how: Any) -> Candidates:
        return Candidates(super().search(query, **how), notes=["half of it"], query_truncated=True)


@pytest.mark.parametrize("cut_query", [True, False])
def test_a_result_carries_what_its_stages_have_to_say(cut_query: bool) -> None:
    class Telling(Forgetful):
        def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
            told = super()._rerank(query, hits)
            return replace(told, notes=("odd",), query_truncated=cut_query)

    result = Retriever(Terse(WINGS), Telling()).search("wing")
    cut = "the query is longer than the model reads: only its beginning counts"
    of_first = ["first-stage: half of it", f"first-stage: {cut}"]
    of_second = ["forgetful: odd", *([f"forgetful: {cut}"] if cut_query else [])]
    assert result.notes == of_first + of_second
    assert [stage.query_truncated for stage in result.stages] == [True, cut_query]
    assert result.query_truncated
    assert result.truncated == 1


class Apart(MemoryConnector):
    """Scores after the search, and knows how long that took."""

    def search_max_sim(self, query: str, *, top_k: int, **how: Any) -> TensorSearch:
        hits = self.search(query, top_k=top_k)
        time.sleep(0.2)
        return TensorSearch(hits, MaxSimScores({"lift": 1.0}, ms=200.0))


def test_what_scoring_took_in_the_database_is_the_stages() -> None:
    connector = Apart(WINGS)
    first, stage = Retriever(connector, DatabaseMaxSim(connector)).search("wing").stages
    assert stage.ms >= 200.0 > first.ms > 0.0


def test_without_stages_the_first_stages_order_is_returned(connector: MemoryConnector) -> None:
    result = Retriever(connector).search("wing lift")
    assert ids(result) == [hit.document.id for hit in connector.search("wing lift", top_k=100)]
    assert [stage.name for stage in result.stages] == ["first-stage"]
    assert not result.degraded


def test_a_stage_reorders_and_hits_remember_the_first_stage(connector: MemoryConnector) -> None:
    result = Retriever(connector, OverlapScorer()).search("wing lift drag")
    assert ids(result)[0] == "both"
    assert [hit.rank for hit in result] == list(range(1, len(result) + 1))
    first = connector.search("wing lift drag", top_k=100)
    assert {hit.document.id: hit.first_stage.rank for hit in result} == {
        hit.document.id: hit.rank for hit in first
    }


def test_top_k_cuts_after_the_last_stage(connector: MemoryConnector) -> None:
    result = Retriever(connector, OverlapScorer()).search("wing lift drag", top_k=1)
    assert ids(result) == ["both"]
    assert result.stages[-1].candidates == len(result.stages[-1].hits) > 1


def test_top_k_above_candidates_widens_the_first_stage(connector: MemoryConnector) -> None:
    assert len(Retriever(connector, candidates=1).search("wing lift", top_k=3)) == 3


def test_documents_that_are_excluded_take_no_place(connector: MemoryConnector) -> None:
    retriever = Retriever(connector, Stage(OverlapScorer(), depth=2), candidates=2)
    every = ids(retriever.search("wing lift drag", top_k=3))
    found = retriever.search("wing lift drag", top_k=2, exclude=[every[0], "nobody"])
    assert ids(found) == every[1:]
    assert [hit.rank for hit in found] == [hit.rank for hit in found.stages[0].hits] == [1, 2]
    with pytest.raises(InputError, match=r"expected ids to exclude; got 'wing'"):
        retriever.search("wing", exclude="wing")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_passages_of_what_is_excluded_take_no_place_either(asynchronous: bool) -> None:
    long = Document("wings", " ".join(["wing lift"] * 200))
    passages = list(Cut([long, *(Document(f"d{n}", f"wing {n}") for n in range(9))], words=20))
    assert sum(each.whole_id == "wings" for each in passages) > 10
    retriever = Retriever(MemoryConnector(passages), OverlapScorer(), candidates=5)
    if asynchronous:
        found = asyncio.run(retriever.asearch("wing lift", top_k=5, exclude=["wings"]))
    else:
        found = retriever.search("wing lift", top_k=5, exclude=["wings"])
    assert len(found) == len(found.stages[0].hits) == 5
    assert all(hit.document.id.startswith("d") for hit in found)
    assert len(retriever.search("wing lift", top_k=20, exclude=["wings"])) == 9


def test_hits_beyond_the_depth_keep_their_order_below(connector: MemoryConnector) -> None:
    first = [hit.document.id for hit in connector.search("wing lift drag", top_k=100)]
    result = Retriever(connector, Stage(OverlapScorer(), depth=2)).search("wing lift drag")
    assert set(ids(result)[:2]) == set(first[:2])
    assert ids(result)[2:] == first[2:]
    assert [hit.rank for hit in result] == [1, 2, 3]
    assert (result.stages[1].candidates, result.stages[1].scored) == (2, 2)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_negative_scores_order_as_others_do(connector: MemoryConnector, weight: float) -> None:
    usual = Stage(OverlapScorer(), depth=2, weight=weight)
    below = Stage(Negative(), depth=2, weight=weight)

    found = Retriever(connector, below).search("wing lift drag")
    assert ids(found) == ids(Retriever(connector, usual).search("wing lift drag"))
    assert all(hit.sources.get("negative", hit).score < 0 for hit in found.hits[:2])
    assert len(found) == 3  # the one beyond the depth stays below


def test_a_weight_mixes_the_stages_scores_with_the_incoming(connector: MemoryConnector) -> None:
    first = Retriever(connector).search("wing lift drag")
    keep = Retriever(connector, Stage(OverlapScorer(), weight=0.0)).search("wing lift drag")
    assert ids(keep) == ids(first)
    mixed = Retriever(connector, Stage(OverlapScorer(), weight=0.5)).search("wing lift drag")
    assert "overlap" in mixed.hits[0].sources


def test_documents_that_a_stage_leaves_out_stay_below(connector: MemoryConnector) -> None:
    first = ids(Retriever(connector).search("wing lift"))
    result = Retriever(connector, Forgetful()).search("wing lift")
    assert ids(result) == [first[-1], *first[:-1]]
    assert result.stages[1].truncated == 1
    assert (result.stages[1].candidates, result.stages[1].scored) == (3, 1)


@pytest.mark.parametrize(
    ("stage", "message"), [(Broken(), "RuntimeError: the model is gone"), (NotANumber(), "NaN")]
)
def test_a_failing_stage_leaves_the_order_and_says_so(
    connector: MemoryConnector, stage: Scorer, message: str
) -> None:
    result = Retriever(connector, stage, OverlapScorer()).search("wing lift drag")
    assert result.degraded
    assert message in str(result.stages[1].error)
    assert result.stages[1].scored == 0
    assert ids(result)[0] == "both", "the stage after the failed one still runs"


def test_a_failing_stage_raises_when_asked_to(connector: MemoryConnector) -> None:
    with pytest.raises(ScoreError, match="NaN"):
        Retriever(connector, NotANumber()).search("wing", on_error="raise")


def test_a_stage_past_the_deadline_is_given_up(connector: MemoryConnector) -> None:
    retriever = Retriever(connector, Slow(30.0), OverlapScorer())
    started = time.monotonic()
    result = retriever.search("wing lift", deadline_s=1.0)
    assert time.monotonic() - started < 15
    assert ids(result) == ids(Retriever(connector).search("wing lift"))
    assert [bool(stage.error) for stage in result.stages] == [False, True, True]
    assert "deadline of 1 s" in str(result.stages[1].error)


def test_a_first_stage_past_the_deadline_raises() -> None:
    class Stuck(MemoryConnector):
        def search(self, *args: object, **kwargs: object) -> list[Hit]:
            time.sleep(30.0)
            return []

    with pytest.raises(DeadlineExceededError):
        Retriever(Stuck(WINGS)).search("wing", deadline_s=0.1)


def printed(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_work_that_is_given_up_does_not_keep_the_process_alive() -> None:
    code = (
        "from tests.test_pipeline import *\n"
        "result = Retriever(MemoryConnector(WINGS), Slow(300)).search('wing', deadline_s=1.0)\n"
        "print(result.degraded)"
    )
    assert printed(code) == "True\n"


def test_python_waits_a_little_for_work_that_was_given_up() -> None:
    code = (
        "from tests.test_pipeline import *\n"
        "class Late(Slow):\n"
        "    def score(self, query, texts):\n"
        "        scores = super().score(query, texts)\n"
        "        print('over', flush=True)\n"
        "        return scores\n"
        "result = Retriever(MemoryConnector(WINGS), Late(3)).search('wing', deadline_s=1.0)\n"
        "print(result.degraded, flush=True)"
    )
    assert printed(code) == "True\nover\n"


async def test_async_answers_as_sync_does(connector: MemoryConnector) -> None:
    retriever = Retriever(connector, Stage(OverlapScorer(), depth=2), NotANumber())
    here, there = retriever.search("wing lift"), await retriever.asearch("wing lift")
    assert list(here) == list(there)
    assert [s.error for s in here.stages] == [s.error for s in there.stages]


async def test_an_async_stage_past_the_deadline_is_given_up(connector: MemoryConnector) -> None:
    class AsyncSlow(OverlapScorer):
        async def ascore_texts(self, query: str, texts: Sequence[str]) -> TextScores:
            await asyncio.sleep(30.0)
            return TextScores([0.0] * len(texts))

    result = await Retriever(connector, AsyncSlow()).asearch("wing lift", deadline_s=1.0)
    assert result.degraded
    assert "deadline of 1 s" in str(result.stages[1].error)


async def test_a_timeout_of_the_stages_own_is_not_called_the_deadline(
    connector: MemoryConnector,
) -> None:
    class TimesOut(OverlapScorer):
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            raise TimeoutError("the model server did not answer")

    retriever = Retriever(connector, TimesOut())
    for result in (
        retriever.search("wing"),
        retriever.search("wing", deadline_s=60),
        await retriever.asearch("wing"),
        await retriever.asearch("wing", deadline_s=60),
    ):
        assert result.stages[1].error == "TimeoutError: the model server did not answer"


def test_threads_share_one_retriever(connector: MemoryConnector) -> None:
    retriever = Retriever(connector, OverlapScorer())
    expected = list(retriever.search("wing lift drag"))
    answers: list[list[Hit]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(list(retriever.search("wing lift drag"))))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 16


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query_is_an_error(connector: MemoryConnector, query: str) -> None:
    with pytest.raises(InputError, match="the query is empty"):
        Retriever(connector).search(query)


def test_impossible_numbers_are_errors(connector: MemoryConnector) -> None:
    with pytest.raises(InputError, match="top_k must be at least 1; got 0"):
        Retriever(connector).search("wing", top_k=0)
    with pytest.raises(InputError, match="candidates must be at least 1; got 0"):
        Retriever(connector, candidates=0)
    with pytest.raises(InputError, match="depth must be at least 1; got 0"):
        Stage(OverlapScorer(), depth=0)
    with pytest.raises(InputError, match="weight must lie between 0 and 1; got 2"):
        Stage(OverlapScorer(), weight=2)
    for deadline_s in (0, -1, math.inf, math.nan):
        with pytest.raises(InputError, match="deadline_s must be above 0, and finite; got"):
            Retriever(connector).search("wing", deadline_s=deadline_s)
        with pytest.raises(InputError, match="deadline_s must be above 0, and finite; got"):
            Retriever(connector, deadline_s=deadline_s)


async def test_a_deadline_may_be_longer_than_systems_can_count(connector: MemoryConnector) -> None:
    retriever = Retriever(connector, OverlapScorer(), deadline_s=1e12)
    found = retriever.search("wing lift")
    assert not found.degraded
    assert (await retriever.asearch("wing lift")).hits == found.hits


def test_a_query_that_finds_nothing_gives_an_empty_result(connector: MemoryConnector) -> None:
    result = Retriever(connector, OverlapScorer()).search("zzz")
    assert list(result) == []
    assert not result.degraded


def test_a_stage_without_weight_takes_the_rerankers_own(connector: MemoryConnector) -> None:
    class Contrary(OverlapScorer):
        default_weight = 0.0

        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            return [-score for score in super().score(query, texts)]

    first = ids(Retriever(connector).search("wing lift drag"))
    assert ids(Retriever(connector, Contrary()).search("wing lift drag")) == first
    reversed_by = Stage(Contrary(), weight=1.0)
    assert ids(Retriever(connector, reversed_by).search("wing lift drag")) == first[::-1]
