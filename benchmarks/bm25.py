"""Measure the embedded index's BM25 alone against the figures beside each collection.

    python benchmarks/bm25.py ../shared/data scifact stard

Each collection is a BEIR folder with a `bm25.json`: nDCG@10 of another BM25 at two settings.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from retrieve_rerank import Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.evaluation.files import read_folder

NAMES = [
    *("scifact", "cranfield", "covidqa", "csfcube", "stackfaq", "policyqa", "wikiqa"),
    *("liveqa-med", "stard"),
]


def main() -> None:
    """Index, search and measure each collection; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder that holds the collections")
    parser.add_argument("names", nargs="*", default=NAMES, help="which of them")
    arguments = parser.parse_args()
    print(
        "| collection | language | passages | queries | nDCG@10 | .9/.4 elsewhere | "
        "1.2/.75 elsewhere | passages/s | ms/query |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name in arguments.names:
        folder = arguments.data / name
        queries, qrels = read_folder(folder, split="test")
        with (
            tempfile.TemporaryDirectory() as index,
            EmbeddedConnector.create(index, encoder=None) as connector,
        ):
            started = time.perf_counter()
            passages = connector.index(Corpus([str(folder)])).indexed
            rate = passages / (time.perf_counter() - started)
            result = evaluate(Retriever(connector), queries, qrels, measures=["nDCG@10"], top_k=10)
            language = connector.schema().language
        elsewhere = json.loads((folder / "bm25.json").read_text())
        figures = [elsewhere[key]["ndcg10"] for key in ("k1=0.9,b=0.4", "k1=1.2,b=0.75")]
        [stage] = result.stages
        milliseconds = sum(stage.ms) / len(stage.ms)
        print(
            f"| {name} | {language} | {passages} | {len(result.queries)} | "
            f"{stage.means['nDCG@10']:.4f} | {figures[0]:.4f} | {figures[1]:.4f} | "
            f"{rate:.0f} | {milliseconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
