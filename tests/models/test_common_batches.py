"""Sequences of several callers in one batch, with a real tiny cross-encoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextvars import copy_context
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank.base import Vectors
from retrieve_rerank.concurrency.caller import Caller, caller
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.errors import DeadlineExceededError, ModelError
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.models.runtimes.batching import TokenBatch
from retrieve_rerank.models.runtimes.common_batches import (
    BatchReport,
    CommonBatches,
)
from retrieve_rerank.models.runtimes.engine import Backend
from tests.server.tiny_scorer import make_scorer

QUERY = "which wing flutter was measured?"
TEXTS = [
    "Bread is baked.",
    "wing flutter was measured in a wind tunnel",
    "short",
    "heart " * 60,
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scorer(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def model(folder: Path) -> PairModel:
    return load_pair_model(str(folder))


class Held:
    """A real backend that waits to be let go, and refuses sequences of a length."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.description = backend.description
        self.batching = backend.batching
        self.queue: Sized = ()
        self.called = threading.Event()
        self.go = threading.Event()
        self.refused: int | None = None
        self.refusal: BaseException = ModelError("refused")

    def run(self, batch: TokenBatch) -> Vectors:
        self.called.set()
        assert self.go.wait(20)
        if self.refused in batch.attention_mask.sum(1):
            raise self.refusal
        return self.backend.run(batch)


def common(model: PairModel, *, budget: int = 2048) -> tuple[Held, list[BatchReport]]:
    held, reports = Held(model.backend), list[BatchReport]()
    batches = CommonBatches(held, pad_id=model.pad_id, budget=budget, on_batch=reports.append)
    held.queue = batches._waiting
    model.run = batches.run
    return held, reports


def in_threads(model: PairModel, asked: list[list[tuple[str, str]]]) -> Iterator[object]:
    """Score all at once; yield the scores of each, or what was raised."""
    found: list[object] = [None] * len(asked)

    def score(place: int) -> None:
        try:
            found[place] = model.score(asked[place]).scores
        except BaseException as exc:
            found[place] = exc

    threads = [
        threading.Thread(target=copy_context().run, args=(score, place))
        for place in range(len(asked))
    ]
    for thread in threads:
        thread.start()
    yield None
    for thread in threads:
        thread.join(20)
    yield from found


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again, and fail where it is not so in 20 seconds."""
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_requests_that_wait_together_are_one_batch_and_score_as_alone(model: PairModel) -> None:
    asked = [[(QUERY, text)] for text in TEXTS] + [[("cat?", text) for text in TEXTS]]
    alone = [model.score(pairs).scores for pairs in asked]
    held, reports = common(model)
    run = in_threads(model, asked)
    next(run)
    held.go.set()
    for expected, found in zip(alone, run, strict=True):
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # The last batch is reported once it is answered.
    wait_until(lambda: sum(report.sequences for report in reports) == 2 * len(TEXTS))
    assert len(reports) < len(asked)
    assert max(report.callers for report in reports) > 1


def test_a_large_request_is_cut_and_small_ones_come_between(model: PairModel) -> None:
    one = len(model.tokenize([(QUERY, TEXTS[1])])[0].ids)
    budget = 2 * one + 1  # two of the large request's leave no room for anything
    held, reports = common(model, budget=budget)
    large = in_threads(model, [[(QUERY, TEXTS[1])] * 40])
    next(large)
    assert held.called.wait(20)
    small = in_threads(model, [[(QUERY, TEXTS[2])]])
    next(small)
    wait_until(lambda: len(held.queue) == 2)
    held.go.set()
    assert [np.asarray(found).shape for found in (*large, *small)] == [(40,), (1,)]
    assert all(report.tokens <= budget for report in reports)
    assert [report.callers for report in reports[:4]] == [1, 1, 2, 1]


def test_requests_share_a_batch_only_as_long_as_it_gains_from_more(model: PairModel) -> None:
    held, reports = common(model)
    filled = held.batching.filled
    longs = filled // len(model.tokenize([(QUERY, TEXTS[3])])[0].ids) + 1
    short, long = [(QUERY, TEXTS[2])], [(QUERY, TEXTS[3])] * longs

    def waiting(number: int) -> Callable[[], bool]:
        return lambda: len(held.queue) == number

    runs = []
    for place, pairs in enumerate([short, long, long, short]):
        runs.append(in_threads(model, [pairs]))
        next(runs[-1])
        assert held.called.wait(20)  # by the first, for which the others wait, in this order
        wait_until(waiting(place))
    held.go.set()
    shapes = [np.asarray(found).shape for run in runs for found in run]
    assert shapes == [(1,), (longs,), (longs,), (1,)]
    wait_until(lambda: len(reports) == 4)
    assert [report.callers for report in reports] == [1, 1, 1, 1]
    assert filled <= reports[1].tokens <= held.batching.budget


class PanicError(BaseException):
    """What Rust code raises through Python, no Exception."""


@pytest.mark.parametrize("refusal", [ModelError("refused"), PanicError()])
def test_one_that_fails_does_not_spoil_the_others(model: PairModel, refusal: BaseException) -> None:
    held, _ = common(model)
    held.refusal = refusal
    long, short = [(QUERY, TEXTS[3])], [(QUERY, TEXTS[2])]
    held.refused = len(model.tokenize(long)[0].ids)
    run = in_threads(model, [long, short, short])
    next(run)
    held.go.set()
    failed, *others = run
    assert failed is refusal
    assert all(isinstance(each, np.ndarray) for each in others)


def test_what_nobody_waits_for_is_not_computed(model: PairModel) -> None:
    held, reports = common(model)
    blocking = in_threads(model, [[(QUERY, TEXTS[2])]])
    next(blocking)
    assert held.called.wait(20)
    hasty, gone = Caller(Deadline(0.01)), Caller(Deadline(30))
    runs = []
    for who in (hasty, gone):
        caller.set(who)
        runs.append(in_threads(model, [[(QUERY, TEXTS[1])]]))
        next(runs[-1])
    caller.set(None)
    wait_until(lambda: len(held.queue) == 2 and hasty.deadline.over)
    gone.gone = True
    held.go.set()
    assert all(isinstance(next(run), DeadlineExceededError) for run in runs)
    assert isinstance(next(blocking), np.ndarray)
    assert sum(report.sequences for report in reports) <= 1
    assert hasty.tokens == 0


def test_batches_of_one_caller_end_when_nobody_waits_any_more(folder: Path) -> None:
    alone, who = load_pair_model(str(folder)), Caller(Deadline(30))
    caller.set(who)
    try:
        assert len(alone.score([(QUERY, text) for text in TEXTS]).scores) == len(TEXTS)
        who.gone = True
        with pytest.raises(DeadlineExceededError, match="nobody waits"):
            alone.score([(QUERY, text) for text in TEXTS])
    finally:
        caller.set(None)


def test_a_caller_learns_how_many_tokens_were_read(model: PairModel) -> None:
    held, _ = common(model)
    held.go.set()
    who = Caller(Deadline())
    caller.set(who)
    try:
        model.score([(QUERY, text) for text in TEXTS])
    finally:
        caller.set(None)
    assert who.tokens == sum(
        len(tokens.ids) for tokens in model.tokenize([(QUERY, text) for text in TEXTS])
    )
