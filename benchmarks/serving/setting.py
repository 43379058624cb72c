"""What all parts of the benchmark share."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.load import Load, Plan, run, single_ms
from benchmarks.serving.requests import draw, expect


@dataclass(frozen=True)
class Setting:
    """What is measured, and how."""

    model: Path
    data: Path
    """A BEIR folder."""
    work: Path
    """For what is made."""
    sizes: Sequence[int]
    """Passages of a request."""
    seconds: float
    """Of each load."""
    overload_s: float
    threads: int
    documents: int
    """In the index that is searched."""


@dataclass(frozen=True)
class Asked:
    """Requests of one size, with the scores of each model that may answer them."""

    bodies: Sequence[str]
    expected: Sequence[Sequence[Sequence[float]]]

    def plan(self, url: str, seconds: float, *, rate: float = 0.0, users: int = 1) -> Plan:
        """Ask these of a server."""
        return Plan(url, self.bodies, seconds, rate, users, self.expected)


def ask_for(setting: Setting, size: int, *models: Path) -> Asked:
    """Draw requests of `size` passages, and have sentence-transformers score them."""
    requests = draw(setting.data, size, count=max(4, min(60, int(3 * setting.seconds))))
    return Asked(
        [json.dumps(each) for each in requests], [expect(model, requests) for model in models]
    )


def saturate(asked: Asked, url: str, seconds: float, *, note: str) -> tuple[float, list[Load]]:
    """Raise the rate until answers fall behind; return the most answers a second, and the loads.

    The first rate is half of what one user gets who waits for each answer.
    """
    rate = 500 / single_ms(asked.plan(url, seconds / 2))
    loads: list[Load] = []
    while not loads or (loads[-1].refused < REFUSED and loads[-1].answered > KEPT_UP * rate):
        if loads:
            rate *= GROWTH
        loads.append(run(asked.plan(url, seconds, rate=rate)).check())
        tell(f"{note}: {rate:.1f}/s asked, {loads[-1].answered:.1f}/s answered")
    return max(load.answered for load in loads), loads


REFUSED = 0.01
KEPT_UP = 0.9
GROWTH = 1.3


def tell(text: str) -> None:
    """Say what goes on, beside the report."""
    print(text, file=sys.stderr, flush=True)
