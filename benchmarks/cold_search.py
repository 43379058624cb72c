"""Time a search from a new process: `rr search` against sentence-transformers and local mode.

    python benchmarks/cold_search.py ../shared/data/scifact .cache/cold-search

Both hold the same 5,000 passages with dense vectors and the same token vectors; the peer's are
ours, read out of the encoder, so that only its search is timed. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
from pathlib import Path

from qdrant_client import QdrantClient, models

from benchmarks.machine import describe, ratio, side_by_side
from retrieve_rerank import Document, Template
from retrieve_rerank.connectors.embedded import EmbeddedConnector, EmbeddedSettings
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.models.loading import load_encoder

QUERY = "vitamin D deficiency is a risk factor for heart disease"
PEER = Path(__file__).parent / "peers" / "local_mode_search.py"


def main() -> None:
    """Build both stores where they are missing, then time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("work", type=Path, help="a folder to keep both stores in")
    parser.add_argument("--passages", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    documents = list(itertools.islice(Corpus([str(arguments.data)]), arguments.passages))
    ours, theirs = arguments.work / "ours", arguments.work / "theirs"
    if not ours.exists():
        build_ours(ours, documents)
    if not theirs.exists():
        build_theirs(theirs, documents)

    rr = Path(sys.executable).parent / "rr"
    commands = {
        "rr search": [str(rr), "search", QUERY, "--index", str(ours)],
        "sentence-transformers + local mode": [sys.executable, str(PEER), str(theirs), QUERY],
    }
    seconds = side_by_side(
        {name: lambda command=command: run(command) for name, command in commands.items()},  # type: ignore[misc]  # binds the loop's value
        rounds=arguments.rounds,
    )
    print(describe("openvino", "qdrant-edge-py", "sentence-transformers", "qdrant-client"))
    print(f"{len(documents)} passages, a new process for each search, {arguments.rounds} rounds\n")
    print("| search | median s | min s | max s |\n|---|---|---|---|")
    for name, runs in seconds.items():
        print(f"| {name} | {statistics.median(runs):.2f} | {min(runs):.2f} | {max(runs):.2f} |")
    times = ratio(seconds, "sentence-transformers + local mode", "rr search")
    print(f"\n`rr search` is {times:.1f} times faster (wanted: at least 10).")


def run(command: list[str]) -> None:
    """Run a search, and fail if it does."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def build_ours(folder: Path, documents: list[Document]) -> None:
    """Index as `rr index` does."""
    with EmbeddedConnector.create(folder, encoder=load_encoder()) as connector:
        connector.index(documents)
        connector.optimize()


def build_theirs(folder: Path, documents: list[Document]) -> None:
    """Store dense and pooled token vectors in local mode."""
    encoder, template = load_encoder(), Template()
    factor = EmbeddedSettings().pooling_factor
    client = QdrantClient(path=str(folder))
    vector = models.VectorParams(size=encoder.dimension, distance=models.Distance.COSINE)
    tokens = vector.model_copy(
        update={
            "multivector_config": models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            )
        }
    )
    client.create_collection("docs", vectors_config={"dense": vector, "tokens": tokens})
    for start in range(0, len(documents), 256):
        batch = documents[start : start + 256]
        encodings = encoder.encode_documents([template.render(document) for document in batch])
        client.upsert(
            "docs",
            [
                models.PointStruct(
                    id=start + place,
                    vector={
                        "dense": encoding.vector.tolist(),
                        "tokens": pool_tokens(encoding.tokens, factor).tolist(),
                    },
                    payload={"text": document.text},
                )
                for place, (document, encoding) in enumerate(zip(batch, encodings, strict=True))
            ],
        )
    client.close()


if __name__ == "__main__":
    main()
