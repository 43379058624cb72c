"""Whether a trained encoder's tensors are better: on held-out queries, not only luckier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.gate import least_detectable
from retrieve_rerank.training.slices import FEWEST_IN_SLICE
from retrieve_rerank.training.token_projection.proof import Difference, Measured, difference
from retrieve_rerank.training.tuning import PRIMARY

TODAY, TRAINED = "max-sim today", "trained"


@dataclass(frozen=True, slots=True)
class GainVerdict:
    """Whether the trained encoder gains something over the tensors that serve."""

    accepted: bool | None
    """None where the queries show neither a gain nor a loss."""
    queries: int
    over_today: Difference
    least_detectable: float
    """The least difference that these queries would show four times of five."""
    systems: Sequence[Measured]
    """Today's, then the trained encoder's."""
    sentence: str
    """The verdict in words."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        systems = [{**asdict(each), "mean": each.mean} for each in self.systems]
        return {**asdict(self), "systems": systems}


def judge_gain(today: Measured, trained: Measured) -> GainVerdict:
    """Compare query by query, and decide; nothing is decided on fewer than FEWEST_IN_SLICE queries.

    Raises InputError for fewer than two.
    """
    deltas = [trained.scores[query] - value for query, value in today.scores.items()]
    if len(deltas) < 2:
        raise InputError(f"expected at least two held-out queries; got {len(deltas)}")
    over = difference(today, trained)
    detectable = least_detectable(deltas)
    accepted = True if over.low > 0 else False if over.high < 0 else None
    fewest = ""
    if len(deltas) < FEWEST_IN_SLICE:
        accepted = None
        fewest = f", and {FEWEST_IN_SLICE} are wanted in any case"
    means = {
        True: "better than the tensors that serve",
        False: "worse than the tensors that serve",
        None: f"{len(deltas):,} queries do not tell it from the tensors that serve: they show a "
        f"difference of {detectable:.3f} four times of five{fewest}",
    }
    return GainVerdict(
        accepted=accepted,
        queries=len(deltas),
        over_today=over,
        least_detectable=detectable,
        systems=[today, trained],
        sentence=f"{means[accepted]}; {PRIMARY} {over} on {len(deltas):,} held-out queries, "
        f"{trained.document_bytes:,.0f} bytes a document in place of {today.document_bytes:,.0f}",
    )
