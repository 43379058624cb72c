"""What oneDNN's memory of shapes costs a process that scores without padding, on a CPU.

    python -m benchmarks.shapes_memory

Each packed batch has a length that hardly comes again, and oneDNN keeps what it made for the last
1,024 shapes, or as many as ONEDNN_PRIMITIVE_CACHE_CAPACITY says. A MiniLM-L6 with random weights
scores the same texts in two processes, with its default and with what `rr` sets.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.machine import describe
from benchmarks.random_networks import MINILM, make_encoder, make_texts
from retrieve_rerank.cli import KEPT_SHAPES
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder

VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
BATCHES, EVERY = 600, 150


def main() -> None:
    """Measure in a process for each capacity, or as one of these."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    print(describe("torch"), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        model = make_encoder(Path(folder) / "model", MINILM)
        for capacity in ("1024", KEPT_SHAPES):
            print(f"{capacity} shapes kept:", flush=True)
            command = [sys.executable, "-m", "benchmarks.shapes_memory", str(model)]
            subprocess.run(command, check=True, env={**os.environ, VARIABLE: capacity})


def measure(model: Path) -> None:
    """Score, and say now and then what this process holds."""
    encoder = CrossEncoder(model, device="cpu")
    draw, process = random.Random(0), psutil.Process()
    texts = make_texts(2000, words=(10, 80))
    started = time.perf_counter()
    for batch in range(1, BATCHES + 1):
        query, *found = draw.sample(texts, draw.randint(5, 7))
        encoder.score(query, found)
        if batch % EVERY == 0:
            held = process.memory_info().rss >> 20
            print(
                f"  {batch} batches, {time.perf_counter() - started:.0f} s: {held} MiB", flush=True
            )


if __name__ == "__main__":
    main()
