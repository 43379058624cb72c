"""Time a warm search (hybrid, MaxSim over 100 candidates) against encoding its query ten times.

    python benchmarks/warm_search.py .cache/quality/scifact ../shared/data/scifact

The index is the one that `quality.py` makes. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import statistics
from pathlib import Path

from benchmarks.machine import describe, ratio, side_by_side
from retrieve_rerank import Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.database import DatabaseMaxSim


def main() -> None:
    """Take turns, query by query."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path, help="folder of an embedded index")
    parser.add_argument("data", type=Path, help="a BEIR folder with queries")
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    with gzip.open(arguments.data / "queries.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = itertools.islice(file, arguments.queries)
        queries = itertools.cycle([json.loads(line)["text"] for line in lines])
    encoder = load_encoder()
    with EmbeddedConnector.connect(str(arguments.index), encoder=encoder) as connector:
        retriever = Retriever(connector, DatabaseMaxSim(connector))

        def encode_ten_times() -> None:
            query = next(queries)
            for _ in range(10):
                encoder.encode_queries([query])

        seconds = side_by_side(
            {
                "search": lambda: retriever.search(next(queries)),
                "encoding the query ten times": encode_ten_times,
            },
            rounds=arguments.queries,
        )
        documents = connector.count()
    print(describe("openvino", "qdrant-edge-py"))
    print(f"{documents} documents, {arguments.queries} rounds in turn\n")
    print("| | p50 ms | p95 ms |\n|---|---|---|")
    for name, values in seconds.items():
        cut = statistics.quantiles(values, n=20)
        print(f"| {name} | {cut[9] * 1000:.1f} | {cut[18] * 1000:.1f} |")
    share = 1 / ratio(seconds, "encoding the query ten times", "search")
    print(f"\nA search takes {share:.2f} of the time (wanted: below 1).")


if __name__ == "__main__":
    main()
