"""Requests to a server, sent by a process of their own, and what became of them.

They come at random moments (a Poisson process of a fixed seed) whether earlier ones are answered
or not, or from users who each wait for their answer. A time is from the moment that a request was
due to the end of its answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpcore

REFUSED = 429
NO_CONNECTION = 0
"""In place of a status: the server does not listen."""
NO_ANSWER = -1
"""In place of a status: the connection was closed, or nothing came for `PATIENCE_S`."""
PATIENCE_S = 120.0
PAUSE_S = 0.05
"""After which a user who was refused asks again."""


class MeasurementError(Exception):
    """A part that cannot be measured; the others can."""


@dataclass(frozen=True)
class Plan:
    """What is asked, and how often."""

    url: str
    bodies: Sequence[str]
    """In turn."""
    seconds: float
    rate: float = 0.0
    """Requests a second, at random; 0 for users who wait for their answers."""
    users: int = 1
    expected: Sequence[Sequence[Sequence[float]]] = ()
    """Of each model that may answer: of each body the scores of its documents."""
    after_s: float = 0.0
    """In which one user asks on, after the load."""


@dataclass(frozen=True)
class Answer:
    """What became of one request."""

    due_s: float
    """Since the load began."""
    took_s: float
    status: int
    off: float
    """Largest difference of a score from what was expected."""
    model: int
    """Which of those that may answer is the nearest."""


@dataclass(frozen=True)
class Load:
    """What became of all of them."""

    plan: Plan
    answers: Sequence[Answer]
    cpu: float
    """Share of one core that sending and reading took."""

    def count(self, status: int) -> int:
        """How many had this status."""
        return sum(answer.status == status for answer in self.answers)

    @property
    def answered(self) -> float:
        """Answers of status 200 a second, while the load lasted."""
        seconds = self.plan.seconds
        ends = [each.due_s + each.took_s for each in self.answers if each.status == 200]
        return sum(end <= seconds for end in ends) / seconds

    @property
    def refused(self) -> float:
        """Share of the requests that were told to come again."""
        return self.count(REFUSED) / max(1, len(self.answers))

    @property
    def off(self) -> float:
        """Largest difference of a score from what was expected."""
        return max((each.off for each in self.answers), default=0.0)

    def ms(self, share: float) -> float:
        """Return the quantile of the times of what was answered, by nearest rank."""
        times = sorted(each.took_s for each in self.answers if each.status == 200)
        if not times:
            return float("nan")
        return 1000 * times[min(len(times) - 1, int(share * len(times)))]

    def check(self, *also: int) -> Load:
        """Raise MeasurementError where anything but an answer, a refusal or `also` came."""
        wrong = {each.status for each in self.answers} - {200, REFUSED, *also}
        if wrong:
            raise MeasurementError(f"{self.plan.url} answered with {sorted(wrong)}")
        return self


@contextmanager
def start(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """Begin a load; `finish` waits for its end, and leaving gives it up."""
    command = [sys.executable, "-m", "benchmarks.serving.load"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None:
        raise MeasurementError("no input of the load's process")
    try:
        with process.stdin as stream:
            json.dump(asdict(plan), stream)
        process.stdin = None  # as `communicate` would close it again
        yield process
    finally:
        process.kill()  # nothing, where it has ended
        process.wait()


def finish(process: subprocess.Popen[str], plan: Plan) -> Load:
    """Wait for the last answer."""
    found, _ = process.communicate()
    if process.returncode:
        raise MeasurementError("the load's process failed")
    read = json.loads(found)
    return Load(plan, [Answer(*row) for row in read["answers"]], read["cpu"])


def run(plan: Plan) -> Load:
    """Send a load and wait for its end."""
    with start(plan) as process:
        return finish(process, plan)


def single_ms(plan: Plan) -> float:
    """Return the median time of requests one after another."""
    load = run(plan).check()
    return statistics.median(answer.took_s for answer in load.answers) * 1000


async def send(plan: Plan) -> dict[str, Any]:
    """Ask as planned; return a row of each answer's fields."""
    answers: list[Answer] = []
    headers = [(b"Content-Type", b"application/json")]
    bodies = [body.encode() for body in plan.bodies]
    timeout = {name: PATIENCE_S for name in ("connect", "read", "write", "pool")}
    chance = random.Random(13)
    cpu, began = time.process_time(), time.perf_counter()

    async with httpcore.AsyncConnectionPool(
        max_connections=None, max_keepalive_connections=None
    ) as pool:

        async def ask(number: int, due: float) -> int:
            """Ask one; return its status."""
            place = number % len(bodies)
            off, model = 0.0, 0
            try:
                found = await pool.request(
                    "POST",
                    plan.url,
                    headers=headers,
                    content=bodies[place],
                    extensions={"timeout": timeout},
                )
                status = found.status
                if status == 200 and plan.expected:
                    off, model = nearest(found.content, [each[place] for each in plan.expected])
            except httpcore.ConnectError:
                status = NO_CONNECTION
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
                status = NO_ANSWER
            took_s = time.perf_counter() - due
            answers.append(Answer(due - began, took_s, status, off, model))
            return status

        async def user(number: int, seconds: float) -> None:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                if await ask(number, time.perf_counter()) != 200:
                    await asyncio.sleep(PAUSE_S)
                number += plan.users

        asking: list[asyncio.Task[Any]] = []
        if plan.rate:
            due = began
            while (due := due + chance.expovariate(plan.rate)) < began + plan.seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                asking.append(asyncio.create_task(ask(len(asking), due)))
        else:
            users = range(plan.users)
            asking = [asyncio.create_task(user(number, plan.seconds)) for number in users]
        if plan.after_s:
            await user(0, plan.after_s)
        await asyncio.gather(*asking)
    took = time.perf_counter() - began
    return {
        "answers": [list(asdict(answer).values()) for answer in answers],
        "cpu": (time.process_time() - cpu) / took,
    }


def nearest(content: bytes, expected: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the largest difference from the scores of the nearest model, and which that is."""
    found = {row["index"]: row["relevance_score"] for row in json.loads(content)["results"]}
    offs = [
        max(abs(found[place] - score) for place, score in enumerate(scores)) for scores in expected
    ]
    best = min(range(len(offs)), key=offs.__getitem__)
    return offs[best], best


if __name__ == "__main__":
    json.dump(asyncio.run(send(Plan(**json.load(sys.stdin)))), sys.stdout)
