"""Time answers that come compressed against the same ones as they are, where nothing else differs.

    python -m benchmarks.compression http://127.0.0.1:9200

From Elasticsearch: 100 hits with their texts, and 100 documents' token tensors (base64). From a
stand-in for a service of models, a process of its own: vectors of 32 texts as JSON, and scores of
100. What the network takes is added by calculation: seconds for each megabit that is saved.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import multiprocessing
import random
import statistics
import zlib
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

import httpx
import numpy as np

from benchmarks.machine import describe, side_by_side

INDEX = "rr-benchmark-compression"
WORDS = [f"word{i}" for i in range(300)]
LEVEL = 6  # gzip's own, and nginx's and uvicorn's neighbours; Elasticsearch has one of its own


def bodies() -> dict[str, bytes]:
    """Make what a service of models answers."""
    rows = np.random.default_rng(1).normal(size=(32, 1024)).astype(np.float32)
    vectors = {"data": [{"index": i, "embedding": row.tolist()} for i, row in enumerate(rows)]}
    scores = [{"index": i, "relevance_score": float(each)} for i, each in enumerate(rows[0, :100])]
    return {
        "/vectors": json.dumps(vectors).encode(),
        "/scores": json.dumps({"results": scores}).encode(),
    }


def serve(connection: Connection) -> None:
    """Answer from a process of its own, compressed where that is asked for."""
    answers = bodies()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = answers[self.path]
            packed = "gzip" in self.headers.get("accept-encoding", "")
            content = gzip.compress(content, LEVEL) if packed else content
            encoding = "Content-Encoding: gzip\r\n" if packed else ""
            head = f"HTTP/1.1 200 OK\r\n{encoding}Content-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content)  # at once, as servers do

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    connection.send(server.server_address[1])
    server.serve_forever()


def fill(client: httpx.Client, url: str) -> None:
    """Make an index of 100 documents with texts and tensors."""
    randomly = random.Random(1)
    numbers = np.random.default_rng(2)
    client.delete(f"{url}/{INDEX}")
    mapping = {"properties": {"tensor": {"type": "binary"}, "text": {"type": "text"}}}
    client.put(f"{url}/{INDEX}", json={"mappings": mapping}).raise_for_status()
    lines: list[dict[str, Any]] = []
    for i in range(100):
        tensor = numbers.integers(-128, 127, size=64 * 384, dtype=np.int8).tobytes()
        text = " ".join(randomly.choices(WORDS, k=100))
        lines += [{"index": {"_id": str(i)}}]
        lines += [{"text": text, "tensor": base64.b64encode(tensor).decode()}]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    sent = client.post(f"{url}/{INDEX}/_bulk?refresh=true", content=content, headers=headers)
    sent.raise_for_status()


def show(name: str, ask: Callable[[dict[str, str]], httpx.Response], rounds: int) -> None:
    """Print one row; reading the JSON is no part of it."""
    ways = {way: {"accept-encoding": way} for way in ("gzip", "identity")}
    sizes = {way: int(ask(header).num_bytes_downloaded) for way, header in ways.items()}
    contenders = {way: partial(ask, header) for way, header in ways.items()}
    seconds = side_by_side(contenders, rounds=rounds)
    packed, plain = (1000 * statistics.median(seconds[way]) for way in ways)
    saved = (sizes["identity"] - sizes["gzip"]) * 8 / 1e6
    even = f"{saved / (packed - plain) * 1000:.0f}" if packed > plain else "any"
    print(
        f"| {name} | {sizes['identity'] / 1000:.0f} | {sizes['gzip'] / 1000:.0f} | {plain:.1f} | "
        f"{packed:.1f} | {packed / plain:.2f} | {even} |"
    )


def main() -> None:
    """Print a row for each kind of answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="of an Elasticsearch")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    print(f"{describe('httpx')}, zlib {zlib.ZLIB_RUNTIME_VERSION}; {arguments.rounds} rounds\n")
    print("| | kB | kB, gzip | ms | ms, gzip | ratio | pays below, Mbit/s |")
    print("|---|---|---|---|---|---|---|")
    client = httpx.Client(timeout=60)
    if url := arguments.url:
        fill(client, url)
        search = f"{url}/{INDEX}/_search"
        found = {"size": 100, "query": {"match_all": {}}}
        for name, source in (("100 hits", ["text"]), ("100 token tensors", ["tensor"])):
            body = {**found, "_source": source}
            show(
                f"Elasticsearch, {name}",
                lambda header, body=body: client.post(search, json=body, headers=header),  # type: ignore[misc]  # bound here
                arguments.rounds,
            )
        client.delete(f"{url}/{INDEX}")
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    process.start()
    base = f"http://127.0.0.1:{here.recv()}"
    for name, path in (("32 vectors of 1,024 numbers", "/vectors"), ("100 scores", "/scores")):
        show(
            f"a service of models, {name}",
            lambda header, path=path: client.get(f"{base}{path}", headers=header),  # type: ignore[misc]  # bound here
            arguments.rounds,
        )
    process.terminate()


if __name__ == "__main__":
    main()
