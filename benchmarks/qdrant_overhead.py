"""Time our Qdrant searches against the bare client's one request for as many hits.

    python -m benchmarks.qdrant_overhead

Two ways: the client's local mode, and REST against processes that answer every request with the
same recorded bytes (100 hits, 800 characters each) and do no work of their own, which is the worst
case for whatever surrounds the calls. Queries are encoded beforehand.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from benchmarks.machine import describe, ratio, side_by_side
from retrieve_rerank import Document
from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import QdrantConnector

DIMENSION = 384
WORDS = [f"word{i}" for i in range(5000)]
QUERY = " ".join(WORDS[:8])
TOP_K = 100


class Fixed:
    """An encoder whose vectors are there already."""

    name = fingerprint = "fixed"
    dimension = DIMENSION

    def __init__(self) -> None:
        rows = np.random.default_rng(1).normal(size=(1000, DIMENSION)).astype(np.float32)
        self._rows: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_queries(self, texts: Any) -> Vectors:
        """Return the same vectors for any texts."""
        rows: Vectors = self._rows[: len(texts)]
        return rows

    embed_documents = embed_queries

    def encode_queries(self, texts: Any) -> list[Encoding]:
        """Return the same vectors for any texts, and some for tokens."""
        return [Encoding(row, self._rows[:16], truncated=False) for row in self._rows[: len(texts)]]

    encode_documents = encode_queries


def documents(count: int) -> list[Document]:
    """Make texts of about 800 characters."""
    randomly = random.Random(1)
    return [
        Document(f"d{i}", " ".join(randomly.choices(WORDS[:300], k=100)), {"year": i})
        for i in range(count)
    ]


def answers(connection: Connection, recorded: dict[str, bytes]) -> None:
    """Answer each path with its bytes, from a process of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = recorded[self.path.partition("?")[0]]
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content)  # at once, as servers do

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    connection.send(server.server_address[1])
    server.serve_forever()


def main() -> None:
    """Take turns: ours, the bare client's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    encoder = Fixed()
    client = QdrantClient(":memory:")
    url = "qdrant+local:///docs"
    with QdrantConnector.create(url, encoder=encoder, client=client) as connector:
        connector.index(documents(arguments.documents))
    print(describe("qdrant-client"))
    print(f"{arguments.documents} documents, {arguments.rounds} rounds in turn\n")
    print("| | ours, ms (median) | bare client, ms | ratio |\n|---|---|---|---|")
    terms = lexical(client)
    for name, fusion in (("dense", Fusion(weights={"bm25": 0})), ("hybrid", Fusion())):
        local = QdrantConnector.connect(url, encoder=encoder, client=client, fusion=fusion)
        found = record(client, fusion)
        wording = wordings(terms)[name]
        bare = partial(client.query_batch_points, "docs", [wording])
        show(f"{name}, local mode", local, bare, arguments.rounds)
        with (
            serving(client, found) as ours,
            serving(client, {"query_batch_points": bare()}) as theirs,
        ):
            remote = QdrantConnector.connect(
                f"qdrant://127.0.0.1:{ours}/docs", encoder=encoder, fusion=fusion
            )
            http = QdrantClient(f"http://127.0.0.1:{theirs}", check_compatibility=False)
            asked = partial(http.query_batch_points, "docs", [wording])
            show(f"{name}, REST", remote, asked, arguments.rounds)
            remote.close()
            http.close()


def lexical(client: QdrantClient) -> models.SparseVector:
    """Take the terms of the query as a search of ours words them."""
    [wording] = record(client, Fusion(weights={"dense": 0}))["requests"]
    terms: models.SparseVector = wording.query
    return terms


def wordings(terms: models.SparseVector) -> dict[str, models.QueryRequest]:
    """Word each kind of search as one request of the client, which has the server fuse."""
    [encoding] = Fixed().encode_queries([QUERY])
    dense = models.Prefetch(query=encoding.vector.tolist(), using="dense", limit=TOP_K)
    both = [dense, models.Prefetch(query=terms, using="bm25", limit=TOP_K)]
    common: dict[str, Any] = {"limit": TOP_K, "with_payload": True}
    fused = models.FusionQuery(fusion=models.Fusion.RRF)
    tokens = encoding.tokens.tolist()
    return {
        "dense": models.QueryRequest(query=dense.query, using="dense", **common),
        "hybrid": models.QueryRequest(prefetch=both, query=fused, **common),
        "hybrid + MaxSim": models.QueryRequest(
            prefetch=both, query=tokens, using="_rr_tokens", **common
        ),
    }


@contextmanager
def serving(client: QdrantClient, found: dict[str, Any]) -> Iterator[int]:
    """Answer with what was found, by the client's methods, from a process of its own."""
    results = {
        "/aliases": client.get_aliases(),
        "/collections/docs": client.get_collection("docs"),
        "/collections/docs/points/query/batch": found["query_batch_points"],
        "/collections/docs/points": found.get("retrieve"),
    }
    answered = {
        path: plain({"result": each, "status": "ok", "time": 0.0}) for path, each in results.items()
    }
    answered["/"] = plain({"title": "qdrant - vector search engine", "version": "1.20.0"})
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=answers, args=(there, answered), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def record(client: QdrantClient, fusion: Fusion) -> dict[str, Any]:
    """Take down what a search of ours asks of the client's methods, and what they answer."""
    found: dict[str, Any] = {}

    class Recording:
        def __getattr__(self, name: str) -> Any:
            method = getattr(client, name)

            def call(**arguments: Any) -> Any:
                found.update(arguments)
                found[name] = method(**arguments)
                return found[name]

            return call

    connector = QdrantConnector.connect(
        "qdrant+local:///docs",
        encoder=Fixed(),
        fusion=fusion,
        client=Recording(),  # type: ignore[arg-type]  # passes every call on
    )
    connector.search(QUERY, top_k=TOP_K)
    return found


def show(name: str, ours: QdrantConnector, bare: Callable[[], object], rounds: int) -> None:
    """Print one row."""
    names = ("ours", "bare client")
    seconds = side_by_side(
        dict(zip(names, (lambda: ours.search(QUERY, top_k=TOP_K), bare), strict=True)),
        rounds=rounds,
    )
    one, other = (1000 * statistics.median(seconds[each]) for each in names)
    print(f"| {name} | {one:.2f} | {other:.2f} | {ratio(seconds, *names):.2f} |")


def plain(value: Any) -> bytes:
    """Write an answer as a server does."""
    return json.dumps(value, default=lambda each: each.model_dump(mode="json")).encode()


if __name__ == "__main__":
    main()
