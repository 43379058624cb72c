"""What our connector adds to Elasticsearch's own client: searches, and a scan of 100,000 documents.

    python benchmarks/elasticsearch_overhead.py http://127.0.0.1:9200

Makes and deletes an index there. The client sends the very requests that the connector does and
reads no more than `hits`; the scans read the same fields.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from benchmarks.machine import describe, ratio, side_by_side
from retrieve_rerank import Document
from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.hybrid import Fusion

INDEX = "rr-benchmark-overhead"
DIMENSION = 384
WORDS = [f"word{i}" for i in range(20_000)]


class RandomEncoder:
    """Vectors drawn at random: nothing here depends on what they mean."""

    name = fingerprint = "random"
    dimension = DIMENSION

    def embed_queries(self, texts: Any) -> Vectors:
        """Draw a vector for each text."""
        rows = np.random.default_rng(len(texts[0])).normal(size=(len(texts), DIMENSION))
        return rows.astype(np.float32)

    embed_documents = embed_queries

    def encode_documents(self, texts: Any) -> list[Encoding]:
        """Draw a vector for each text; no tokens."""
        none = np.empty((0, DIMENSION), np.float32)
        return [Encoding(row, none, False) for row in self.embed_queries(texts)]

    encode_queries = encode_documents


def documents(count: int) -> Iterator[Document]:
    """Make documents of about 600 characters."""
    randomly = random.Random(7)
    for number in range(count):
        text = " ".join(randomly.choices(WORDS, k=70))
        yield Document(f"d{number}", text, {"number": number, "title": f"Document {number}"})


def main() -> None:
    """Fill, search in turn, scan in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="http://host:port of a server without passwords")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    address = f"{arguments.url.replace('http', 'elasticsearch', 1)}/{INDEX}"
    encoder = RandomEncoder()
    # Tens of thousands of vectors are enough to search in, and take minutes to index.
    dense = arguments.documents // 10
    with Elasticsearch(arguments.url, request_timeout=60) as client:
        client.indices.delete(index=[INDEX, f"{INDEX}-dense"], ignore_unavailable=True)
        print(describe("elasticsearch", "numpy"), "\n")
        with ElasticsearchConnector.create(f"{address}-dense", encoder=encoder) as connector:
            connector.index(documents(dense))
        for name, fusion in (("dense", Fusion(weights={"bm25": 0})), ("hybrid", Fusion())):
            with ElasticsearchConnector.connect(
                f"{address}-dense", encoder=encoder, fusion=fusion
            ) as connector:
                compare_searches(name, connector, client, encoder, arguments.rounds)
        with ElasticsearchConnector.create(address, encoder=None) as connector:
            connector.index(documents(arguments.documents))
            compare_scans(connector, client)
        client.indices.delete(index=[INDEX, f"{INDEX}-dense"])


def compare_searches(
    name: str,
    connector: ElasticsearchConnector,
    client: Elasticsearch,
    encoder: RandomEncoder,
    rounds: int,
) -> None:
    """Time the same request through both."""
    randomly = random.Random(8)
    queries = [" ".join(randomly.choices(WORDS, k=5)) for _ in range(rounds + 1)]
    ours, theirs = iter(queries), iter(queries)
    source = {"includes": ["id", "text", "metadata"]}
    common: dict[str, Any] = {"size": 100, "_source": source, "track_total_hits": False}

    def bare() -> object:
        query = next(theirs)
        vector = [float(each) for each in encoder.embed_queries([query])[0]]
        knn = {"field": "vector", "query_vector": vector, "k": 100, "num_candidates": 200}
        if name == "dense":
            body = {"knn": knn, **common}
            return client.search(index=f"{INDEX}-dense", body=body)["hits"]["hits"]
        words = {"combined_fields": {"query": query, "fields": ["text", "title"]}}
        searches: list[Any] = [{}, {"knn": knn, **common}, {}, {"query": words, **common}]
        return client.msearch(index=f"{INDEX}-dense", searches=searches)["responses"]

    seconds = side_by_side(
        {"connector": lambda: connector.search(next(ours), top_k=100), "client": bare},
        rounds=rounds,
    )
    print(f"{name} search of {connector.count()} documents, top 100 with texts, {rounds} rounds")
    for who, values in seconds.items():
        print(f"  {who}: p50 {statistics.median(values) * 1000:.2f} ms")
    print(f"  connector / client: {ratio(seconds, 'connector', 'client'):.3f}\n")


def compare_scans(connector: ElasticsearchConnector, client: Elasticsearch) -> None:
    """Time whole scans, three each in turn; then look at the memory of one of ours."""

    def theirs() -> Iterable[object]:
        query = {"_source": {"includes": ["id", "text", "metadata"]}}
        return scan(client, index=INDEX, query=query)

    ways: dict[str, Callable[[], Iterable[object]]] = {
        "connector": connector.scan,
        "helper": theirs,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for name, way in ways.items():
            began = time.perf_counter()
            read = sum(1 for _ in way())
            rates[name].append(read / (time.perf_counter() - began))
    print(f"scan of {connector.count()} documents, best of three")
    for name, values in rates.items():
        print(f"  {name}: {max(values):,.0f} documents a second")
    print(f"  connector / helper: {max(rates['connector']) / max(rates['helper']):.3f}")
    tracemalloc.start()
    peaks = []
    for number, _ in enumerate(connector.scan()):
        if number % 20_000 == 19_999:
            peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
            tracemalloc.reset_peak()
    print("  peak memory of each 20,000:", ", ".join(f"{peak:.1f} MiB" for peak in peaks))


if __name__ == "__main__":
    main()
