"""Count the requests and bytes of our Qdrant searches, and of the bare client's one request.

    python -m benchmarks.qdrant_requests

Against the tests' stand-ins, by REST and by gRPC, uncompressed: 100 hits of 800 characters each.
The bare client lets the server fuse (RRF), or compare tokens (MaxSim), over both rankings'
prefetches in a single call that brings the payload.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from benchmarks.machine import describe
from benchmarks.qdrant_overhead import QUERY, TOP_K, Fixed, documents, lexical, wordings
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import QdrantConnector
from tests.connectors.qdrant import grpc_stub
from tests.connectors.qdrant.stub import Stub, serving
from tests.outages import Relay, relaying

DENSE_ALONE = Fusion(weights={"bm25": 0})


def main() -> None:
    """Print a row for each kind of search."""
    print(describe("qdrant-client"))
    print(f"{TOP_K} hits; kB there / back\n")
    print("| | requests, ours | kB, ours | requests, bare client | kB, bare client |")
    print("|---|---|---|---|---|")
    stub = Stub()
    with QdrantConnector.create(
        "qdrant+local:///docs", encoder=Fixed(), client=stub.client
    ) as made:
        made.index(documents(1000))
    service = grpc_stub.Service(stub.client)
    with (
        serving(stub),
        relaying(urlsplit(stub.url).port or 0) as rest,
        grpc_stub.serving(service),
        relaying(service.port) as grpc,
    ):
        asked = wordings(lexical(stub.client))
        rows("REST", rest, stub.seen, asked)
        rows("gRPC", grpc, service.seen, asked, grpc_port=grpc.port)


def rows(
    name: str, relay: Relay, seen: list[Any], asked: dict[str, models.QueryRequest], **grpc: Any
) -> None:
    """Print the rows of one protocol."""
    url = f"http://127.0.0.1:{relay.port}"
    bare = QdrantClient(url, check_compatibility=False, prefer_grpc=bool(grpc), **grpc)
    calls = {
        kind: partial(bare.query_batch_points, "docs", [wording]) for kind, wording in asked.items()
    }
    options: dict[str, Any] = {"encoder": Fixed(), "grpc": bool(grpc), **grpc}
    address = f"qdrant://127.0.0.1:{relay.port}/docs"
    with (
        QdrantConnector.connect(address, fusion=DENSE_ALONE, **options) as dense,
        QdrantConnector.connect(address, **options) as hybrid,
    ):
        searches: dict[str, Callable[[], Any]] = {
            "dense": lambda: dense.search(QUERY, top_k=TOP_K),
            "hybrid": lambda: hybrid.search(QUERY, top_k=TOP_K),
            "hybrid + MaxSim": lambda: hybrid.search_max_sim(QUERY, top_k=TOP_K),
        }
        for kind, search in searches.items():
            cells = [cell for each in (search, calls[kind]) for cell in counted(each, relay, seen)]
            print(f"| {kind}, {name} | {' | '.join(cells)} |")
    bare.close()


def counted(call: Callable[[], Any], relay: Relay, seen: list[Any]) -> tuple[str, str]:
    """Return how many requests a call takes, and its bytes there and back."""
    call()  # connections and their settings are no part of it
    before = len(seen), relay.bytes_there, relay.bytes_back
    call()
    there, back = relay.bytes_there - before[1], relay.bytes_back - before[2]
    return str(len(seen) - before[0]), f"{there / 1000:.1f} / {back / 1000:.1f}"


if __name__ == "__main__":
    main()
