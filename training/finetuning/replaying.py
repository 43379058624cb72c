"""General data among the groups that are trained on, so that what the base could do is kept."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.protecting import Protected
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.splits import apart_from

DEFAULT_SHARE = 0.25
"""Groups replayed for each of one's own: a fifth of all that is trained on."""

REPLAYED = "groups to replay that duplicate a query which is held out or protected"


@dataclass(frozen=True, slots=True)
class Replay:
    """A file of groups, and how many of them are replayed for each of one's own."""

    path: str
    share: float = DEFAULT_SHARE

    @classmethod
    def parse(cls, text: str) -> Replay:
        """Read FILE or FILE:SHARE; raise ConfigError for a share that is none."""
        path, colon, last = text.rpartition(":")
        try:
            share = float(last) if colon else DEFAULT_SHARE
        except ValueError:
            return cls(text)  # a colon of the file's name
        if not 0 < share < math.inf:
            raise ConfigError(f"{text}: expected a share above 0, such as :0.25; got {last}")
        return cls(path if colon else text, share)


def with_replay(
    judged: SplitJudgments,
    replays: Sequence[Replay],
    *,
    protected: Sequence[Protected] = (),
    template: Template | None = None,
    seed: int = 0,
) -> SplitJudgments:
    """Draw groups to replay, of each file its share of as many as there are to train on.

    They are read by the base's `template`.

    A file that holds fewer gives all. Files are read once, and no more is held than is drawn; what
    of it duplicates a query that is held out, or one of the `protected`, is left out. Raises
    InputError for a file without groups that can be learnt from, and as `read_groups` does.
    """
    folded = judged.folded_if_few()
    own = folded.sizes()["train"]
    drawn: list[Group] = []
    for each in replays:
        drawn += _draw(each.path, math.ceil(each.share * own), template=template, seed=seed)
    kept = apart_from(drawn, judged.queries, folded.held_out, users=judged.users)
    for other in protected:
        kept = apart_from(kept, other.queries, other.qrels)
    random.Random(seed).shuffle(kept)
    left_out = {REPLAYED: len(drawn) - len(kept)} if len(kept) < len(drawn) else {}
    return replace(judged, replayed=tuple(kept), left_out={**judged.left_out, **left_out})


def replayed_beside(own: Sequence[Group], judged: SplitJudgments) -> list[Group]:
    """Return the groups to replay beside so many of one's own, which may be fewer than planned."""
    share = len(judged.replayed) / max(judged.sizes()["train"], 1)
    return list(judged.replayed[: math.ceil(share * len(own))])


def _draw(path: str, count: int, *, template: Template | None, seed: int) -> list[Group]:
    """Sample from a stream (Algorithm R: Vitter, https://doi.org/10.1145/3147.3165)."""
    draw = random.Random(f"{seed} {path}")
    drawn: list[Group] = []
    seen = 0
    for group in read_groups(path, template=template):
        if not group.tells_apart:
            continue
        seen += 1
        if len(drawn) < count:
            drawn.append(group)
        elif (place := draw.randrange(seen)) < count:
            drawn[place] = group
    if not drawn:
        raise InputError(f"{path} has no group of different labels to replay")
    return drawn
