"""Our Elasticsearch connector does the same with the client of 8.19 as with the newest."""

from __future__ import annotations

import json

import pytest

from tests.servers import VERSIONS, elasticsearch, fresh_index
from tests.stores.environment import run
from tests.stores.use_connector import use


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_both_clients_see_the_same(version: str) -> None:
    server = elasticsearch(version)
    newer = use(server.address(fresh_index(server)))
    older = json.loads(run("tests.stores.use_connector", server.address(fresh_index(server))))

    assert (newer.pop("client"), older.pop("client")) == (9, 8)
    # The server rounds vectors by what a segment holds, and documents fall into segments by chance.
    hits, same = newer.pop("hits"), older.pop("hits")
    assert [hit[1] for hit in same] == pytest.approx([hit[1] for hit in hits], abs=0.1)
    assert [(hit[0], hit[2]) for hit in same] == [(hit[0], hit[2]) for hit in hits]
    assert older == newer
    assert hits[0][0] == "1"
    assert hits[0][2] == ["bm25", "dense"]
    assert newer["indexed"] == [3, 0, 3]
    assert [hit[0] for hit in newer["filtered"]] == ["2"]
    assert newer["scanned"] == ["0", "1", "2"]
    assert newer["got"] == ["2", "0"]
    assert newer["deleted"] == [1, 2]
    assert [hit[0] for hit in newer["async"]] == ["2", "0"]
    assert newer["missing"] == "IndexNotFoundError"
