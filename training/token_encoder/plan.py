"""How many steps an encoder is trained for: told before it begins, and written down.

Times are estimates from a few seconds of searching and training on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.finetuning.plan import (
    AMPLE_STEPS,
    FEWEST_STEPS,
    FORWARD,
    MOST_ROUNDS,
    SMALLEST_BATCH,
)
from retrieve_rerank.training.token_encoder.settings import EncoderSettings

_FIXED_S = 90.0  # loading, making the fast form
DEPTHS = (100, 50, 30, 20)
"""Hits of a dev query that may be reranked at a look."""

_LOOKS = ((5, 100), (5, 50), (4, 50), (4, 30), (3, 30), (3, 20), (2, 20))
"""Looks at the dev queries, and the depth: what there is where there is less time."""

_LOOKING = 0.2
"""Share of the time that looking may take, where it is limited."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured on this machine."""

    searches_per_s: float
    texts_per_s: float
    """Trained: queries and documents."""
    dev_texts: Mapping[int, int]
    """Depth -> different texts among so many first hits of the dev queries."""
    test_texts: int
    """Different texts among the candidates of the test queries, estimated."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do."""

    splits: Mapping[str, int]
    """Split -> queries that are used."""
    steps: int
    batch_size: int
    """Groups a step."""
    mined_queries: int
    rounds: float
    """Through the mined queries."""
    evaluate_every: int
    dev_depth: int
    """How many hits of a dev query are reranked at each look."""
    queries_per_s: float
    """Trained."""
    seconds: Mapping[str, float]
    """What each part is estimated to take."""

    @property
    def total_s(self) -> float:
        """Estimated seconds of all parts."""
        return sum(self.seconds.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def make_plan(
    splits: Mapping[str, int], settings: EncoderSettings, speed: Speed, *, spent_s: float
) -> Plan:
    """Settle on the number of steps; raise ConfigError where `minutes` do not suffice.

    `spent_s` seconds of them are gone. Dev queries are looked at less often, and less deep, where
    that would take more than a fifth of what is left.
    """
    train = splits["train"]
    trainer = settings.trainer
    left = math.inf if settings.minutes is None else settings.minutes * 60 - spent_s
    read_per_s = FORWARD * speed.texts_per_s
    for looks, depth in _LOOKS:
        looking_s = (looks + 1) * speed.dev_texts[depth] / read_per_s
        if looking_s <= _LOOKING * left:
            break
    measuring = {
        "looking at dev queries": looking_s,
        "proving": speed.test_texts / read_per_s,
        "the rest": _FIXED_S,
    }
    fixed_s = sum(measuring.values())
    group_s = (trainer.group_size + 1) / speed.texts_per_s
    search_s = 1 / speed.searches_per_s
    groups = train if settings.minutes is None else MOST_ROUNDS * train
    if settings.minutes is not None:
        left -= fixed_s
        # Each query is searched for once, however often its group comes.
        fitting = int(max(left / (group_s + search_s), (left - train * search_s) / group_s))
        least = min(FEWEST_STEPS * SMALLEST_BATCH, groups)
        if fitting < least:
            needed = spent_s + fixed_s + least * (group_s + search_s)
            raise ConfigError(
                f"{settings.minutes:g} minutes do not suffice: measuring alone takes about"
                f" {fixed_s / 60:.0f} here, and {spent_s / 60:.0f} are gone. Give at least"
                f" {math.ceil(needed / 60)} minutes, or fewer test and dev queries"
            )
        groups = min(groups, fitting)
    batch_size = trainer.batch_size
    while batch_size >= 2 * SMALLEST_BATCH and groups < AMPLE_STEPS * batch_size:
        batch_size //= 2
    steps = max(1, groups // batch_size)
    mined = min(train, steps * batch_size)
    return Plan(
        splits=dict(splits),
        steps=steps,
        batch_size=batch_size,
        mined_queries=mined,
        rounds=steps * batch_size / mined,
        evaluate_every=max(1, math.ceil(steps / looks)),
        dev_depth=min(depth, settings.candidates),
        queries_per_s=1 / group_s,
        seconds={
            "so far": spent_s,
            "mining": mined * search_s,
            "training": steps * batch_size * group_s,
            **measuring,
        },
    )
