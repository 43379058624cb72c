"""Time our Qdrant searches against the bare client's call with the very same request.

    python benchmarks/qdrant_overhead.py

Two ways: the client's local mode, and REST against a process that answers every search with the
same recorded bytes (100 hits a ranking, 800 characters each) and does no work of its own, which
is the worst case for whatever surrounds the call. Queries are encoded beforehand.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
from collections.abc import Callable
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
WANTED = 1.15


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
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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
    info = client.get_collection("docs")
    print(describe("qdrant-client"))
    print(f"{arguments.documents} documents, {arguments.rounds} rounds in turn\n")
    print(
        "| | ours, ms (median) | bare client, ms | ratio (wanted: below 1.15) |\n|---|---|---|---|"
    )
    hybrid = record(client)
    for name, fusion in (("dense", Fusion(weights={"bm25": 0})), ("hybrid", Fusion())):
        local = QdrantConnector.connect(url, encoder=encoder, client=client, fusion=fusion)
        requests = [request for request in hybrid if name == "hybrid" or request.using == "dense"]
        bare = client.query_batch_points
        show(f"{name}, local mode", local, partial(bare, "docs", requests), arguments.rounds)
        found = {"result": bare("docs", requests), "status": "ok", "time": 0.0}
        recorded = {
            "/": {"title": "qdrant - vector search engine", "version": "1.20.0"},
            "/collections/docs": {"result": info, "status": "ok", "time": 0.0},
            "/collections/docs/points/query/batch": found,
        }
        served = {path: plain(each) for path, each in recorded.items()}
        here, there = multiprocessing.Pipe()
        process = multiprocessing.Process(target=answers, args=(there, served), daemon=True)
        process.start()
        port = here.recv()
        remote = QdrantConnector.connect(
            f"qdrant://127.0.0.1:{port}/docs", encoder=encoder, fusion=fusion
        )
        http = QdrantClient(f"http://127.0.0.1:{port}", check_compatibility=False)
        show(
            f"{name}, REST",
            remote,
            partial(http.query_batch_points, "docs", requests),
            arguments.rounds,
        )
        remote.close()
        http.close()
        process.terminate()
        process.join()


def record(client: QdrantClient) -> list[models.QueryRequest]:
    """Take down what a hybrid search sends."""
    sent: list[models.QueryRequest] = []

    class Recording:
        def __getattr__(self, name: str) -> Any:
            method = getattr(client, name)

            def call(**arguments: Any) -> Any:
                sent.extend(arguments.get("requests", ()))
                return method(**arguments)

            return call

    connector = QdrantConnector.connect(
        "qdrant+local:///docs",
        encoder=Fixed(),
        client=Recording(),  # type: ignore[arg-type]  # passes every call on
    )
    connector.search(QUERY, top_k=100)
    return sent


def show(name: str, ours: QdrantConnector, bare: Callable[[], object], rounds: int) -> None:
    """Print one row."""
    names = ("ours", "bare client")
    seconds = side_by_side(
        dict(zip(names, (lambda: ours.search(QUERY, top_k=100), bare), strict=True)), rounds=rounds
    )
    one, other = (1000 * statistics.median(seconds[each]) for each in names)
    print(f"| {name} | {one:.2f} | {other:.2f} | {ratio(seconds, *names):.2f} |")


def plain(value: Any) -> bytes:
    """Write an answer as a server does."""
    return json.dumps(value, default=lambda each: each.model_dump(mode="json")).encode()


if __name__ == "__main__":
    main()
