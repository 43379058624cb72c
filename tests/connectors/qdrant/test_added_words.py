"""A ranking by words that is added to a collection of others, in it or in a companion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Document
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import QdrantConnector, words_beside
from retrieve_rerank.errors import ConfigError, IndexMismatchError, InputError, SchemaError
from retrieve_rerank.indexing.lexical import add_lexical, lexical_status
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings
from tests.connectors.qdrant.collections import (
    DENSE,
    ENCODER,
    collection,
    haystack,
    langchain,
    llama_index,
    vector,
)
from tests.connectors.qdrant.stub import Stub
from tests.connectors.qdrant.test_companions import collections, everything, holding

CODE = "bracket XK-4711 of the rear spar"
QUERY = "the XK-4711 bracket"
WORDS_ALONE = Fusion(weights={"dense": 0})


def parts(count: int = 12, *, named: bool = False) -> QdrantClient:
    """Make a store's collection whose vectors know nothing of the code that one text has."""
    texts = [CODE, *(f"the lift of a thin wing, part {n}" for n in range(1, count))]
    payloads = [
        {"page_content": text, "metadata": {"year": 1950 + n % 2, "n": n}}
        for n, text in enumerate(texts)
    ]
    rows = [vector("drag polar"), *(vector(text) for text in texts[1:])]
    vectors: list[Any] = [{"dense": row} for row in rows] if named else rows
    dense = {"dense": DENSE} if named else DENSE
    return collection(payloads, vectors, ids=list(range(count)), dense=dense)


def connect(stub: Stub, **options: Any) -> QdrantConnector:
    return QdrantConnector.connect(stub.url, encoder=ENCODER, **options)


def words(connector: QdrantConnector, query: str, **options: Any) -> list[str]:
    return [hit.document.id for hit in connector.search(query, top_k=20, **options)]


@pytest.mark.parametrize("version", ["1.10.1", "1.15.5", "1.19.0"])
@pytest.mark.parametrize("named", [True, False])
def test_a_code_is_found_that_vectors_miss(stub: Stub, version: str, named: bool) -> None:
    before = everything(holding(stub, parts(named=named)))
    stub.version = version
    with connect(stub) as connector:
        assert connector.schema().rankings == ("dense",)
        [note] = [each for each in connector.schema().notes if "no lexical" in each]
        assert f"rr lexical add --index {stub.url} computes one" in note
        assert words(connector, QUERY)[-1] == "0"
        report = add_lexical(connector)
        assert (report.documents, report.added) == (12, 12)
        assert add_lexical(connector).added == 0
    in_place = named and version == "1.19.0"
    with connect(stub, fusion=Fusion("rrf")) as connector:
        schema = connector.schema()
        assert schema.rankings == ("dense", "bm25")
        where = "docs" if in_place else "docs.rr-bm25"
        assert schema.details["lexical"] == {"kind": "own", "field": "_rr_bm25"}
        assert schema.kept_in == {"lexical": where}
        assert not any("sparse" in each or "lexical" in each for each in schema.notes)
        hits = connector.search(QUERY, top_k=2)
        assert Document("0", CODE, {"year": 1950, "n": 0}) in [hit.document for hit in hits]
        assert asyncio.run(asearch(connector)) == [hit.document.id for hit in hits]
    assert in_place or everything(stub) == before
    with connect(stub, fusion=WORDS_ALONE) as connector:
        assert words(connector, "XK-4711") == ["0"]
    with connect(stub) as connector:
        connector.drop_lexical()
        connector.drop_lexical()
        assert connector.lexical_settings() is None
    assert (collections(stub), everything(stub)) == ({"docs"}, before)


async def asearch(connector: QdrantConnector) -> list[str]:
    hits = await connector.asearch(QUERY, top_k=2)
    await connector.aclose()
    return [hit.document.id for hit in hits]


@pytest.mark.parametrize("make", [langchain, llama_index, haystack])
@pytest.mark.parametrize("companion", [True, False])
def test_what_was_added_is_brought_up_to_date_in_local_mode(
    make: Callable[[], QdrantClient], companion: bool
) -> None:
    client = make()
    options: dict[str, Any] = {"client": client, "encoder": ENCODER}
    with QdrantConnector.connect("qdrant+local:///docs", **options) as connector:
        add_lexical(connector, companion=companion)
    options["fusion"] = WORDS_ALONE
    with QdrantConnector.connect("qdrant+local:///docs", **options) as connector:
        documents = list(connector.scan())
        [lift, drag, heat] = [
            next(each.id for each in documents if word in each.text)
            for word in ("lift", "drag", "heat")
        ]
        assert words(connector, "drags") == [drag]
        assert "_rr_bm25_hash" not in documents[0].metadata
        point = connector._collection.state.layout.point_id(drag)
        client.delete("docs", models.PointIdsList(points=[point or 0]))
        status = lexical_status(connector)
        assert (status.present, status.missing, status.stale) == (2, 0, 0)
        assert status.orphaned == int(companion)
        assert words(connector, "drag polar of a pipe") == [heat]  # nothing that is gone
        assert add_lexical(connector).deleted == int(companion)
        assert set(connector.lexical_ids()) == {lift, heat}
        connector.delete_lexical([heat])
        assert lexical_status(connector).missing == 1
        assert words(connector, "a pipe or a wing") == [lift]


def test_filters_hold_for_words_in_a_companion(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(stub, parts(40))
    with connect(stub) as connector:
        add_lexical(connector)
    with connect(stub, fusion=WORDS_ALONE) as connector:
        for few in (words_beside.FEW, 3):  # by the filter's matches, or the ranking's
            monkeypatch.setattr(words_beside, "FEW", few)
            found = words(connector, "the wing of part 7", filter={"year": 1951})
            assert found[0] == "7"
            assert sorted(map(int, found)) == list(range(1, 40, 2))
            assert words(connector, "XK-4711", filter={"year": 1951}) == []
        stub.strict = {"max_query_limit": 7, "condition_max_size": 5, "search_max_batchsize": 2}
        connector.schema()
        assert words(connector, "the wing of part 7", filter={"year": 1951}) == found
        stub.strict = {}
        connector.schema()
        monkeypatch.setattr("retrieve_rerank.connectors.hybrid.DEPTH", 4)
        monkeypatch.setattr("retrieve_rerank.connectors.qdrant.searcher.DEPTH", 4)
        monkeypatch.setattr(words_beside, "MOST", 8)
        hits = connector.search("the wing of part 7", top_k=8, filter={"year": 1950})
        assert 0 < len(hits) < 8
        [note] = hits.notes  # type: ignore[attr-defined]  # of candidates
        assert note.startswith("of the first 8 hits by words ")


def test_a_point_deleted_since_takes_no_other_ones_place(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.connectors.hybrid.DEPTH", 12)
    monkeypatch.setattr("retrieve_rerank.connectors.qdrant.searcher.DEPTH", 12)
    holding(stub, parts(30))
    with connect(stub) as connector:
        add_lexical(connector)
    with connect(stub, fusion=WORDS_ALONE) as connector:
        gone = [int(each) for each in words(connector, "wing part")[:10]]
        stub.client.delete("docs", models.PointIdsList(points=[*gone]))
        for limits in ({}, {"max_query_limit": 7}):
            stub.strict = limits
            connector.schema()
            found = [int(each) for each in words(connector, "wing part")]
            assert sorted(found) == sorted({*range(1, 30)} - {*gone})  # each once


def test_words_and_tensors_are_kept_in_the_same_place(stub: Stub) -> None:
    holding(stub, llama_index())
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, tensor_settings(ENCODER), companion=True)
        add_lexical(connector)
        assert collections(stub) == {"docs", "docs.rr-tensors", "docs.rr-bm25"}
        found = connector.search_max_sim("the lift of a wing", top_k=3)
        assert len(found.hits) == len(found.scores) == 3
        assert set(found.hits[0].sources) == {"dense", "bm25"}


def test_what_cannot_be_is_said(stub: Stub) -> None:
    holding(stub, parts())
    with connect(stub) as connector:
        add_lexical(connector, language="german")
        assert connector.schema().language == "german"
        with pytest.raises(IndexMismatchError, match=r"weighed for german; got language 'french'"):
            add_lexical(connector, language="french")
    with (
        connect(stub, fusion=Fusion("server-rrf")) as connector,
        pytest.raises(ConfigError, match=r"weights are in docs\.rr-bm25: leave out fusion\.method"),
    ):
        connector.search("wing", top_k=1)
    own = stub.url.replace("/docs", "/own")
    with QdrantConnector.create(own, encoder=None) as connector:
        connector.index([Document("a", "a wing")])
        with pytest.raises(SchemaError, match="ranks by BM25 already"):
            add_lexical(connector)
        connector.drop_lexical()
        assert words(connector, "wing") == ["a"]
    stub.client.create_collection("empty", vectors_config={"": DENSE})
    with (
        QdrantConnector.connect(stub.url.replace("/docs", "/empty")) as connector,
        pytest.raises(InputError, match="no documents to tell language"),
    ):
        add_lexical(connector)
