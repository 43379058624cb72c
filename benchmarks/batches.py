"""What a batch costs beside its tokens, and what it gains to cut batches by that.

    python -m benchmarks.batches ../shared/data/policyqa MODEL [MODEL ...]

A MODEL is a folder of a cross-encoder: of safetensors, or what `rr models export` writes. Times
are compared in turn, request by request, with those of as few batches as the budget allows.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

import numpy as np

from benchmarks.machine import describe, gemm_peak, ratio, side_by_side
from benchmarks.serving.requests import draw
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.runtimes.batching import Batching, Tokens, batches, pad
from retrieve_rerank.models.runtimes.engine import Backend

LENGTH = 32
"""Tokens of the sequences by which the overhead is told."""
COUNTS = (1, 2, 3, 4, 6, 8)


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches", description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("models", nargs="+", help="cross-encoders")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 5, 20, 100], help="passages")
    parser.add_argument("--requests", type=int, default=16, help="of each size")
    arguments = parser.parse_args()
    print(describe("openvino", "torch"))
    peaks = ", ".join(f"{name} {rate:.0f}" for name, rate in gemm_peak().items())
    print(f"GEMM peak, 10⁹ operations a second: {peaks}\n")
    for name in arguments.models:
        model = load_pair_model(name, threads=os.cpu_count())
        backend = model.backend
        print(f"{Path(name).name}: {backend.description}; reckons with {backend.batching}")
        overhead_ms, rate = overhead(backend)
        print(
            f"a batch takes {overhead_ms:.1f} ms and a second for {rate:,.0f} tokens: an overhead"
            f" of {overhead_ms / 1000 * rate:.0f} tokens"
        )
        for size in arguments.sizes:
            requests = draw(arguments.data, size, count=arguments.requests)
            pairs = [[(each["query"], text) for text in each["documents"]] for each in requests]
            tokens = [model.tokenize(each) for each in pairs]
            gain = compare(backend, tokens, model.pad_id)
            own, few = (filled_up(tokens, each) for each in (backend.batching, as_few(backend)))
            print(
                f"{size} passages: {gain:.2f} times as fast as in as few batches as may be, which"
                f" compute {few:.0%} more tokens than there are, and these {own:.0%}"
            )
        print(flush=True)


def overhead(backend: Backend) -> tuple[float, float]:
    """Return milliseconds of a batch of no tokens, and tokens a second, of the line of best fit."""
    chance = np.random.default_rng(13)
    filled = {
        count: pad(
            [
                Tokens(chance.integers(1000, 20_000, LENGTH).tolist(), [0] * LENGTH, False, LENGTH)
                for _ in range(count)
            ],
            pad_id=0,
        )
        for count in COUNTS
    }
    turns = {str(n): lambda batch=batch: backend.run(batch) for n, batch in filled.items()}
    seconds = side_by_side(turns, rounds=20)
    medians = [statistics.median(seconds[str(count)]) for count in COUNTS]
    slope, start = np.polyfit([count * LENGTH for count in COUNTS], medians, 1)
    return start * 1000, 1 / slope


def compare(backend: Backend, requests: list[list[Tokens]], pad_id: int) -> float:
    """Return how many times as fast the backend's own batches are, by the median request."""

    def run(sequences: list[Tokens], batching: Batching) -> None:
        for group in batches([len(each.ids) for each in sequences], batching):
            backend.run(pad([sequences[i] for i in group], pad_id=pad_id))

    few = as_few(backend)
    gains = []
    for sequences in requests:
        ways = {
            "few": lambda chosen=sequences: run(chosen, few),
            "own": lambda chosen=sequences: run(chosen, backend.batching),
        }
        gains.append(ratio(side_by_side(ways, rounds=3), slow="few", fast="own"))
    return statistics.median(gains)


def as_few(backend: Backend) -> Batching:
    """Return what makes as few batches as the budget allows."""
    return backend.batching._replace(overhead=backend.batching.budget)


def filled_up(requests: list[list[Tokens]], batching: Batching) -> float:
    """Return how many of the tokens that are computed are padding, as a share of the others."""
    computed = real = 0
    for sequences in requests:
        lengths = [len(each.ids) for each in sequences]
        groups = batches(lengths, batching)
        computed += sum(batching.tokens([lengths[i] for i in group]) for group in groups)
        real += sum(lengths)
    return computed / real - 1


if __name__ == "__main__":
    main()
