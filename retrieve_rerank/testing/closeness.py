"""When scores are the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

TOLERANCE = 1e-5
"""By which scores may differ, absolutely and relative to them: float32 and its sums."""


def close(found: Sequence[float], expected: Sequence[float]) -> bool:
    """Whether there are as many scores, and each differs by the tolerance at most."""
    return len(found) == len(expected) and all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for a, b in zip(found, expected, strict=True)
    )
