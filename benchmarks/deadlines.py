"""Search under deadlines: how many answers come late, and how much was reranked by then.

    python -m benchmarks.deadlines ../shared/data/policyqa .cache/cross-encoder

500 searches with deadlines drawn between 20 ms and 2 s (evenly on a logarithmic scale), over BM25
+ dense candidates and a cross-encoder. Late is an answer more than 10 ms and more than 10 % after
its deadline. Needs the extra `torch` for a model in safetensors.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import time
from pathlib import Path

from benchmarks.machine import describe
from retrieve_rerank import Retriever
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.errors import DeadlineExceededError
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder

SHORTEST_S, LONGEST_S = 0.02, 2.0
BANDS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def main() -> None:
    """Search, and report by how long the deadline was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("model", type=Path, help="a cross-encoder")
    parser.add_argument("--searches", type=int, default=500)
    arguments = parser.parse_args()
    queries, qrels = read_folder(arguments.data, split="test")
    connector = MemoryConnector(Corpus([str(arguments.data)]), encoder=load_encoder())
    retriever = Retriever(connector, CrossEncoder(str(arguments.model)))
    asked = itertools.cycle(queries[query] for query in qrels)
    retriever.search(next(asked))  # loads and compiles

    random.seed(13)
    rows: list[tuple[float, float, int, bool]] = []  # deadline, overrun, scored, unanswered
    for query in itertools.islice(asked, arguments.searches):
        deadline = math.exp(random.uniform(math.log(SHORTEST_S), math.log(LONGEST_S)))
        started = time.perf_counter()
        try:
            scored, unanswered = (
                retriever.search(query, deadline_s=deadline).stages[-1].scored,
                False,
            )
        except DeadlineExceededError:
            scored, unanswered = 0, True
        rows.append((deadline, time.perf_counter() - started - deadline, scored, unanswered))

    print(describe("openvino", "torch"))
    print(
        "\n| deadline | searches | late | worst overrun, ms | scored of 100, median | unanswered |"
    )
    print("|---|---|---|---|---|---|")
    for low, high in itertools.pairwise(BANDS_S):
        band = [row for row in rows if low <= row[0] < high]
        if band:
            print(
                f"| {low * 1000:.0f} … {high * 1000:.0f} ms | {len(band)} "
                f"| {sum(map(late, band))} | {max(row[1] for row in band) * 1000:.1f} "
                f"| {statistics.median(row[2] for row in band):.0f} "
                f"| {sum(row[3] for row in band)} |"
            )
    share = sum(map(late, rows)) / len(rows)
    print(f"\nLate in all: {sum(map(late, rows))} of {len(rows)} ({share:.1%}; wanted: 1 %).")


def late(row: tuple[float, float, int, bool]) -> bool:
    """Whether an answer came more than 10 ms and more than 10 % after its deadline."""
    deadline, overrun, _, _ = row
    return overrun > max(0.01, 0.1 * deadline)


if __name__ == "__main__":
    main()
