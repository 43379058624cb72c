"""Use an index of our own by whichever client is installed: python -m tests.stores.use_connector.

Takes the address of an index that is not there yet; writes what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import elasticsearch

from retrieve_rerank.base import Range
from retrieve_rerank.connectors.elasticsearch.connector import ElasticsearchConnector
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.types import Document, Hit
from tests.stores.documents import DOCUMENTS, ENCODER, QUERY


def use(address: str) -> dict[str, Any]:
    """Create, fill, search, read, change and misuse an index."""
    documents = [
        Document(str(number), each.text, {"title": each.title, "year": each.year})
        for number, each in enumerate(DOCUMENTS)
    ]
    with ElasticsearchConnector.create(address, encoder=ENCODER) as connector:
        report = connector.index(documents)
        again = connector.index(documents)
        vector = ENCODER.embed_queries([QUERY])[0]
        return {
            "client": elasticsearch.__version__[0],
            "indexed": [report.indexed, again.indexed, again.unchanged],
            "hits": _seen(connector.search(QUERY, top_k=3)),
            "filtered": _seen(connector.search(QUERY, top_k=3, filter={"year": Range(gt=2023)})),
            "nearest": [id_ for id_, _ in connector.nearest(vector, top_k=3)],
            "scanned": sorted(document.id for document in connector.scan()),
            "got": [document.id for document in connector.get(["2", "9", "0"])],
            "deleted": [connector.delete(["1", "9"]), connector.count()],
            "missing": _refusal(f"{address}-missing"),
            "async": _seen(asyncio.run(_asearch(connector))),  # last, as it closes the connector
        }


async def _asearch(connector: ElasticsearchConnector) -> list[Hit]:
    hits = await connector.asearch(QUERY, top_k=3)
    await connector.aclose()
    return hits


def _seen(hits: Sequence[Hit]) -> list[Any]:
    return [[hit.document.id, round(hit.score, 4), sorted(hit.sources)] for hit in hits]


def _refusal(address: str) -> str:
    try:
        ElasticsearchConnector.connect(address).close()
    except RetrieveRerankError as exc:
        return type(exc).__name__
    return "none"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(use(sys.argv[1])))
