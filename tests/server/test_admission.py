"""Who is let in: by what others have before them, and for how long that has been so."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from retrieve_rerank.concurrency.caller import Caller, caller
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.models.runtimes.common_batches import BatchReport
from retrieve_rerank.server import admission
from retrieve_rerank.server.admission import Admission
from retrieve_rerank.server.refusals import Refusal
from retrieve_rerank.server.work import Workers


def taking(document_s: float) -> Admission:
    """Admit to a model that takes so long for a document, with waits of a second."""
    made = Admission(documents=8000, wait_s=1.0)
    made.learn("m", BatchReport(sequences=10, tokens=1000, callers=1, seconds=10 * document_s))
    return made


def waiting(within_s: float | None) -> Caller:
    return Caller(Deadline(within_s))


def let_in(made: Admission, documents: int, *, most: int = 100, left_s: float = 30.0) -> int:
    """Count how many requests of one size are let in before one is refused."""
    with ExitStack() as under_way:
        for count in range(most):
            try:
                under_way.enter_context(made.admit("m", documents, waiting(left_s)))
            except Refusal as refusal:
                assert refusal.status == 429 and int(refusal.headers["Retry-After"]) >= 1
                return count
    return most


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(admission, "time", made)
    return made


def test_a_burst_is_let_in_as_far_as_its_time_reaches() -> None:
    made = taking(0.1)
    assert let_in(made, 5, left_s=30.2) == 61  # the last waits for 30 s
    assert let_in(made, 5, left_s=2.2) == 5
    assert made.documents == made.requests == 0


def test_a_queue_that_stands_is_kept_short(clock: Clock) -> None:
    made = taking(0.1)
    with ExitStack() as under_way:
        for _ in range(3):
            under_way.enter_context(made.admit("m", 5, waiting(30)))
        clock.now += 11
        assert let_in(made, 1) == 0  # it would wait for one and a half seconds
        assert let_in(made, 15) == 1  # as long as it takes itself
    assert let_in(made, 5) == 3, "a moment without a queue does not end an overload"
    clock.now += 11
    assert let_in(made, 5) > 10, "nobody was refused in between: a burst again"


def test_a_slow_model_has_room_for_two(clock: Clock) -> None:
    made = taking(1.0)
    with made.admit("m", 20, waiting(60)):
        with made.admit("m", 20, waiting(60)):
            clock.now += 11
            assert let_in(made, 20, left_s=60) == 0
        assert let_in(made, 20, left_s=60) == 1


def test_a_large_request_keeps_small_ones_waiting_for_a_batch_alone(
    clock: Clock,
) -> None:
    made = taking(0.01)
    with made.admit("m", 1000, waiting(30)):
        clock.now += 11
        assert let_in(made, 1) > 50


def test_what_runs_in_no_batches_is_bounded_by_documents_alone(
    clock: Clock,
) -> None:
    made = taking(10.0)
    with made.admit("other", 7000, waiting(None)):
        clock.now += 11
        for documents, refused in ((1000, False), (1001, True)):
            try:
                with made.admit("other", documents, waiting(None)):
                    assert not refused
            except Refusal:
                assert refused


def test_what_was_given_up_counts_for_as_long_as_a_thread_works_for_it() -> None:
    made, who, go = taking(0.0), waiting(None), threading.Event()
    with Workers(3) as workers:
        with pytest.raises(KeyError), made.admit("m", 7, who):
            caller.set(who)
            for _ in range(2):
                workers.submit(go.wait, 20)
            caller.set(None)
            raise KeyError  # as where the client is gone
        workers.submit(int).result(20)  # nobody's
        assert (made.documents, made.requests) == (7, 1)
        go.set()
    assert made.documents == made.requests == 0
