"""How likely a position is to be examined: its propensity, by which clicks are corrected.

The position-based model: P(click) = P(examined | position) · P(relevant | query, document).
Propensities are relative to the first position's, which is all that a correction needs. They are
never guessed from raw clicks, where a position and what stood there are one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from types import MappingProxyType

import numpy as np

from retrieve_rerank.data.clicks import Session
from retrieve_rerank.errors import InputError

FEWEST_CLICKS = 20
"""At each of two positions, for their ratio to count: of fewer it is off by a quarter and more."""

MOST_WEIGHT = 10.0
"""A click counts for at most so many: rarer positions are left a bias, for less noise (clipping,
Strehl et al., https://arxiv.org/abs/1003.0120)."""

WHAT_TO_SUPPLY = (
    "give what is known of each position; or log a swap: for some searches exchange the results at"
    ' the first and another position by a coin, and write "swap": [1, 4] whether they were or not;'
    " or give the log of several rankings, that show the same document for a query at several"
    " positions"
)


@dataclass(frozen=True, slots=True)
class Propensities:
    """Position -> how likely it is to be examined, of the first position's."""

    of: Mapping[int, float]
    how: str
    """Where they are from: "given", "swaps" or "harvested"."""

    def weight(self, position: int, *, most: float = MOST_WEIGHT) -> float | None:
        """Return what a click there counts for; None where nothing is known of the position."""
        propensity = self.of.get(position)
        return None if propensity is None else min(1 / propensity, most)


def given(of: Mapping[int, float]) -> Propensities:
    """Take propensities that are known; raise InputError unless all are above 0 and at most 1."""
    for position, propensity in of.items():
        if position < 1 or not 0 < propensity <= 1:
            raise InputError(
                f"a propensity is above 0 and at most 1, of a position from 1; got {propensity} of"
                f" {position}"
            )
    if not of:
        raise InputError(f"no propensities; {WHAT_TO_SUPPLY}")
    return Propensities(MappingProxyType(dict(of)), "given")


def propensities_of(
    sessions: Sequence[Session], *, known: Mapping[int, float] | None = None
) -> Propensities:
    """Take propensities that are known, else those of logged swaps, else harvested ones.

    Raises InputError where there is nothing to tell them by, saying what to supply.
    """
    if known is not None:
        return given(known)
    if any(session.swap for session in sessions):
        return from_swaps(sessions)
    return harvested(sessions)


def from_swaps(sessions: Iterable[Session]) -> Propensities:
    """Estimate propensities from results that a coin exchanged.

    Whatever stood at either position of a pair was as often at the other, so that the ratio of
    their clicks is that of their propensities (Joachims, Swaminathan and Schnabel, WSDM 2017,
    https://arxiv.org/abs/1608.04468, §5). Raises InputError where there are too few.
    """
    clicks: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for session in sessions:
        if session.swap is not None:
            at = {each.position: each.clicked for each in session.shown}
            for side, position in enumerate(session.swap):
                clicks[session.swap][side] += at[position]
    return Propensities(_solved({pair: (*both, *both) for pair, both in clicks.items()}), "swaps")


def harvested(sessions: Iterable[Session]) -> Propensities:
    """Estimate propensities from documents that several rankings put at several positions.

    Of a query and document that was shown at both of two positions, clicks are counted as shares
    of the times it was shown at each: what is left of their ratio is the positions' (intervention
    harvesting, Agarwal et al., WSDM 2019, https://arxiv.org/abs/1812.05161; all pairs of positions
    are used, here by least squares of their logarithms). Which ranking a query gets must not depend
    on the query. Raises InputError where there are too few.
    """
    seen: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(
        lambda: defaultdict(lambda: [0, 0])
    )
    for session in sessions:
        for each in session.shown:
            counts = seen[session.query, each.id][each.position]
            counts[0] += 1
            counts[1] += each.clicked
    rates: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for positions in seen.values():
        for one, other in combinations(sorted(positions), 2):
            # As often as it was shown at the rarer of the two: rates of one view weigh least.
            views = min(positions[one][0], positions[other][0])
            for side, position in enumerate((one, other)):
                shown, clicked = positions[position]
                rates[one, other][side] += views * clicked / shown
                rates[one, other][2 + side] += clicked
    return Propensities(_solved({pair: tuple(both) for pair, both in rates.items()}), "harvested")


def _solved(pairs: Mapping[tuple[int, int], Sequence[float]]) -> Mapping[int, float]:
    """Find the propensities that ratios of pairs come closest to: least squares of logarithms.

    A pair has its two rates, then its two numbers of clicks, by which it weighs.
    """
    usable = {pair: of for pair, of in pairs.items() if min(of[2:]) >= FEWEST_CLICKS}
    known = {1}
    while grown := {p for pair in usable for p in pair if known & set(pair)} - known:
        known |= grown
    usable = {pair: of for pair, of in usable.items() if set(pair) <= known}
    if not usable:
        raise InputError(
            f"the clicks do not tell how likely each position is to be examined ({len(pairs)} pairs"
            f" of positions to compare, none that has {FEWEST_CLICKS} clicks at both and leads to"
            f" the first position); {WHAT_TO_SUPPLY}"
        )
    others = sorted(known - {1})
    rows = np.zeros((len(usable), len(others)))
    ratios, weights = np.zeros(len(usable)), np.zeros(len(usable))
    for i, ((one, other), (rate, of_other, clicks, of_others)) in enumerate(usable.items()):
        for position, sign in ((one, -1.0), (other, 1.0)):
            if position != 1:
                rows[i, others.index(position)] = sign
        ratios[i] = log(of_other / rate)
        weights[i] = (1 / clicks + 1 / of_others) ** -0.5  # of the ratio's variance
    solved, *_ = np.linalg.lstsq(rows * weights[:, None], ratios * weights, rcond=None)
    found = {1: 1.0} | {p: float(np.exp(x)) for p, x in zip(others, solved, strict=True)}
    return MappingProxyType({position: min(1.0, value) for position, value in found.items()})
