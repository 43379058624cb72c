"""Sessions to learn from, and later ones of other users to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from retrieve_rerank.data.clicks import Session
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.normalising import digest


@dataclass(frozen=True, slots=True)
class SplitSessions:
    """Sessions divided by time and user."""

    train: tuple[Session, ...]
    held_out: tuple[Session, ...]
    left_out: int
    """Held-out users' sessions before, and the others' after: in neither."""


def split_sessions(
    sessions: Sequence[Session], *, later: float = 0.2, users: float = 0.5
) -> SplitSessions:
    """Hold out the sessions of the share `users` of users within the last share `later` of all.

    What is held out is of users who were not learnt from, and of a time after all that was: as it
    is for a model that serves. Raises InputError where either part is empty.
    """
    if not sessions:
        raise InputError("no sessions to divide")
    times = sorted(session.time for session in sessions)
    since = times[max(0, math.ceil(len(times) * (1 - later)) - 1)]
    train, held_out = [], []
    for session in sessions:
        is_later = session.time > since
        of_held_out = digest("user", session.user) / 2**64 < users
        if is_later and of_held_out:
            held_out.append(session)
        elif not is_later and not of_held_out:
            train.append(session)
    if not train or not held_out:
        raise InputError(
            f"{len(sessions)} sessions of {len({s.user for s in sessions})} users cannot be divided"
            " by time and user; expected many users, and sessions at different times"
        )
    left_out = len(sessions) - len(train) - len(held_out)
    return SplitSessions(tuple(train), tuple(held_out), left_out)
