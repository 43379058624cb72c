"""Clicks as training data: what was seen, what that says, and what it does not.

Clicks never decide whether a model is promoted: they favour the ranking that was shown.
"""

from retrieve_rerank.training.clicks.groups import ClickReport, click_groups
from retrieve_rerank.training.clicks.propensities import (
    Propensities,
    from_swaps,
    given,
    harvested,
    propensities_of,
)
from retrieve_rerank.training.clicks.splitting import SplitSessions, split_sessions

__all__ = [
    "ClickReport",
    "Propensities",
    "SplitSessions",
    "click_groups",
    "from_swaps",
    "given",
    "harvested",
    "propensities_of",
    "split_sessions",
]
