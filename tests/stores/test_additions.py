"""Stores go on reading and writing a collection that tensors and a ranking by words were given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.indexing.lexical import add_lexical, lexical_status
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings, tensor_status
from tests.stores.documents import DOCUMENTS, ENCODER, QUERY
from tests.stores.environment import run
from tests.stores.go_on import NEW


@pytest.mark.slow
@pytest.mark.parametrize("store", ["langchain-qdrant", "haystack-qdrant"])
def test_a_store_goes_on_with_what_was_added_to(tmp_path: Path, store: str) -> None:
    run("tests.stores.write", str(tmp_path), f"{store}=docs")
    address = f"qdrant+local://{tmp_path}/{store}/docs"
    with QdrantConnector.connect(address, encoder=ENCODER) as connector:
        add_tensors(connector, ENCODER, tensor_settings(ENCODER))
        add_lexical(connector)
        assert connector.schema().rankings == ("dense", "bm25")
        assert len(connector.search_max_sim(QUERY, top_k=3).scores) == 3
    before, after = json.loads(run("tests.stores.go_on", str(tmp_path), f"{store}=docs"))
    assert sorted(before) == sorted(each.text for each in DOCUMENTS)
    assert sorted(after) == sorted([*before, NEW])
    with QdrantConnector.connect(address, encoder=ENCODER) as connector:
        assert (tensor_status(connector).missing, lexical_status(connector).missing) == (1, 1)
        assert add_lexical(connector).added == 1
