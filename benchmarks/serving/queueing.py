"""How long requests take that come at random to a server that answers one after another.

    python -m benchmarks.serving.queueing 0.5 0.64

Of each load, the share of its time that the server works, the 99th percentile of the time of an
answer, as a multiple of what one takes alone; all take the same (an M/D/1 queue, simulated by
Lindley's recursion).
"""

from __future__ import annotations

import random
import sys

REQUESTS = 1_000_000


def p99(load: float, *, seed: int = 13) -> float:
    """Return it for one load between 0 and 1."""
    chance = random.Random(seed)
    wait, took = 0.0, []
    for _ in range(REQUESTS):
        took.append(wait + 1)
        wait = max(0.0, wait + 1 - chance.expovariate(load))
    return sorted(took)[int(0.99 * REQUESTS)]


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(f"load {given}: {p99(float(given)):.1f} times")
