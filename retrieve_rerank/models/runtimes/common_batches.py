"""The sequences of many callers, run in common batches.

A server gets many small requests at once, none of which fills a batch by itself. Whatever waits
when a batch has been computed makes the next one, so that nothing waits for company while there is
nothing else to do. Others come with the first only as long as a batch gains from more: beyond that
they would make each other wait for nothing. Callers take turns: a small request does not wait for
all of a large one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from retrieve_rerank.base import Vectors
from retrieve_rerank.concurrency.caller import Caller, caller
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.runtimes.engine import Backend, run_all

THREAD = "retrieve-rerank batches"
_IDLE_S = 10.0  # after which the thread ends, and a model that is not served any more is freed


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch was."""

    sequences: int
    tokens: int
    callers: int
    seconds: float


@dataclass(eq=False, slots=True)
class _Job:
    """The sequences of one caller, and what has been computed of them."""

    sequences: Sequence[Tokens]
    caller: Caller
    left: deque[int]
    """Indices that wait, longest sequences first."""
    outputs: dict[int, Vectors] = field(default_factory=dict)
    future: Future[dict[int, Vectors]] = field(default_factory=Future)


_Part = tuple[_Job, list[int]]
"""Some sequences of a job, by their indices."""


class CommonBatches:
    """Take the sequences of any thread through a network; `run` is for `PairModel.run`."""

    def __init__(
        self,
        backend: Backend,
        *,
        pad_id: int,
        budget: int | None = None,
        on_batch: Callable[[BatchReport], None] = lambda report: None,
    ) -> None:
        """`budget` is of tokens, without padding, and the backend's where None; `on_batch` is
        called in the batches' thread."""
        self._backend = backend
        self._pad_id = pad_id
        self._budget = backend.batching.budget if budget is None else budget
        self._filled = min(self._budget, backend.batching.filled)
        self._on_batch = on_batch
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def run(self, sequences: Sequence[Tokens]) -> Iterator[tuple[int, Vectors]]:
        """Yield (index, output), once all are computed.

        Raises DeadlineExceededError where the caller, see `caller`, does not wait so long, and
        what the backend raises.
        """
        who = caller.get() or Caller(Deadline())
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i].ids))
        job = _Job(sequences, who, deque(order))
        if not order:
            return
        with self._changed:
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
                self._thread.start()
            self._changed.notify()
        outputs = job.future.result()  # the batches' thread gives up what nobody waits for
        who.tokens += sum(len(sequence.ids) for sequence in sequences)
        yield from outputs.items()

    def _work(self) -> None:
        try:
            while parts := self._next():
                self._compute_and_report(parts)
        except BaseException as exc:  # nobody must wait for a thread that has ended
            with self._changed:
                self._thread = None
                for job in self._waiting:
                    job.future.set_exception(exc)
                self._waiting.clear()
            raise

    def _compute_and_report(self, parts: Sequence[_Part]) -> None:
        started = time.perf_counter()
        self._compute(parts)
        self._on_batch(
            BatchReport(
                sequences=sum(len(indices) for _, indices in parts),
                tokens=sum(len(job.sequences[i].ids) for job, found in parts for i in found),
                callers=len(parts),
                seconds=time.perf_counter() - started,
            )
        )

    def _next(self) -> list[_Part]:
        """Wait for sequences, and take a batch of them; empty where none come for a while."""
        with self._changed:
            while True:
                if parts := self._take():
                    return parts
                if not self._changed.wait_for(lambda: self._waiting, timeout=_IDLE_S):
                    self._thread = None
                    return []

    def _take(self) -> list[_Part]:
        """Take the next batch: of the first job as much as the budget has room for, and of others
        in their turn as long as the batch gains from more.

        Jobs that there was no room for are the first the next time: a large one whose sequences
        leave too little of every batch would have them wait for its end.
        """
        parts: list[_Part] = []
        passed_over: list[_Job] = []
        room = self._budget
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            if not job.caller.waits:
                job.future.set_exception(job.caller.given_up())
                continue
            indices: list[int] = []
            # A sequence longer than the whole budget is a batch of its own.
            while job.left and (
                len(job.sequences[job.left[0]].ids) <= room or not (parts or indices)
            ):
                room -= len(job.sequences[job.left[0]].ids)
                indices.append(job.left.popleft())
            if not indices:
                passed_over.append(job)
                continue
            if not parts:
                room -= self._budget - self._filled
            parts.append((job, indices))
            if job.left:
                self._waiting.append(job)
            if room <= 0:
                break
        self._waiting.extendleft(reversed(passed_over))
        return parts

    def _compute(self, parts: Sequence[_Part]) -> None:
        rows = [(job, index) for job, indices in parts for index in indices]
        sequences = [job.sequences[index] for job, index in rows]
        try:
            for row, output in run_all(
                self._backend, sequences, pad_id=self._pad_id, budget=self._budget
            ):
                job, index = rows[row]
                job.outputs[index] = output
                if len(job.outputs) == len(job.sequences) and not job.future.done():
                    job.future.set_result(job.outputs)
        except BaseException as exc:  # handed to whoever waits
            if len(parts) > 1:  # one caller's text must not spoil the answers of the others
                for part in parts:
                    if not part[0].future.done():
                        self._compute([part])
                return
            [(job, _)] = parts
            with self._changed:
                if job in self._waiting:
                    self._waiting.remove(job)
            job.future.set_exception(exc)
            return
