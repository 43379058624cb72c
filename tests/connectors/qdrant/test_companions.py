"""Where what is added to a collection is kept: in it, or in a companion of the same point ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank.base import TensorSettings
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import (
    IndexExistsError,
    IndexMismatchError,
    PermissionDeniedError,
    UnsupportedServerError,
)
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_status
from tests.connectors.qdrant.collections import (
    ENCODER,
    IDS,
    fastembed,
    haystack,
    langchain,
    llama_index,
)
from tests.connectors.qdrant.stub import Stub

SETTINGS = TensorSettings("hashing", ENCODER.fingerprint, 32, "float16")
QUERY = "the lift of a thin wing"
BATCH = "POST /collections/docs/points/query/batch"
BY_IDS = "POST /collections/docs/points"
MAX_SIM = "POST /collections/docs.rr-tensors/points/query/batch"


def connect(stub: Stub, name: str = "docs") -> QdrantConnector:
    url = stub.url.replace("/docs", f"/{name}")
    return QdrantConnector.connect(url, encoder=ENCODER)


def holding(stub: Stub, client: QdrantClient) -> Stub:
    stub.client.close()
    stub.client = client
    return stub


def vectors_of(stub: Stub) -> Any:
    return stub.client.get_collection("docs").config.params.vectors


def everything(stub: Stub) -> Any:
    info = stub.client.get_collection("docs")
    points = [each.model_dump() for each in stub.client.scroll("docs", with_vectors=True)[0]]
    params = {name: value for name, value in info.config.params.model_dump().items() if value}
    return params, dict(info.config.metadata or {}), rounded(points)


def rounded(value: Any) -> Any:
    """Round the last digits off, which local mode changes when it searches."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def collections(stub: Stub) -> set[str]:
    return {each.name for each in stub.client.get_collections().collections}


@pytest.mark.parametrize("make", [langchain, haystack])
def test_a_collection_whose_vector_has_no_name_stays_as_it_is(
    stub: Stub, make: Callable[[], QdrantClient]
) -> None:
    before = everything(holding(stub, make()))
    with connect(stub) as connector:
        assert add_tensors(connector, ENCODER, SETTINGS).added == 3
        assert collections(stub) == {"docs", "docs.rr-tensors"}
        assert everything(stub) == before
        assert set(connector.tensor_ids()) == {each.id for each in connector.scan()}
    with connect(stub) as connector:
        schema = connector.schema()
        assert schema.kept_in["tensors"] == "docs.rr-tensors"
        stub.seen.clear()
        found = connector.search_max_sim(QUERY, top_k=3)
        assert sorted(stub.calls) == sorted([BATCH, MAX_SIM, BY_IDS])
        assert max(found.scores, key=lambda id_: found.scores[id_]) == found.hits[0].document.id
        assert [hit.document for hit in found.hits] == connector.get(
            [h.document.id for h in found.hits]
        )
        assert asyncio.run(again(connector)) == found.scores
    with connect(stub) as connector:
        connector.drop_tensors()
        connector.drop_tensors()
        assert connector.search_max_sim(QUERY, top_k=3).scores == {}
    assert (collections(stub), everything(stub)) == ({"docs"}, before)


async def again(connector: QdrantConnector) -> dict[str, float]:
    found = await connector.asearch_max_sim(QUERY, top_k=3)
    await connector.aclose()
    return found.scores


@pytest.mark.parametrize("make", [llama_index, fastembed])
def test_named_vectors_get_others_beside_them_and_dropping_leaves_no_trace(
    stub: Stub, make: Callable[[], QdrantClient]
) -> None:
    before = everything(holding(stub, make()))
    with connect(stub) as connector:
        assert add_tensors(connector, ENCODER, SETTINGS).added == 3
        assert collections(stub) == {"docs"}
        assert connector.schema().kept_in["tensors"] == "docs"
        connector.drop_tensors()
    assert everything(stub) == before


def test_the_place_can_be_chosen_and_stays_until_they_are_dropped(stub: Stub) -> None:
    holding(stub, llama_index())
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, SETTINGS, companion=True)
        assert add_tensors(connector, ENCODER, SETTINGS).added == 0  # where they are
        with pytest.raises(IndexMismatchError, match=r"are kept in docs\.rr-tensors; drop them"):
            add_tensors(connector, ENCODER, SETTINGS, companion=False)
        connector.drop_tensors()
    holding(stub, langchain())
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, SETTINGS, companion=False)
    assert collections(stub) == {"docs"}
    assert vectors_of(stub).keys() == {"", "_rr_tokens"}
    with connect(stub) as connector:  # what was added in place goes on working
        assert connector.schema().kept_in["tensors"] == "docs"
        assert len(connector.search_max_sim(QUERY, top_k=3).scores) == 3
        assert tensor_status(connector).present == 3
        with pytest.raises(IndexMismatchError, match="are kept in docs; drop"):
            add_tensors(connector, ENCODER, SETTINGS, companion=True)


def test_a_companion_is_brought_up_to_date(stub: Stub) -> None:
    holding(stub, langchain())
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, SETTINGS)
        stub.client.set_payload("docs", {"page_content": "a propeller"}, [IDS[0]])
        stub.client.delete("docs", models.PointIdsList(points=[IDS[1]]))
        new = models.PointStruct(id=7, vector=[0.1] * 32, payload={"page_content": "a jet engine"})
        stub.client.upsert("docs", [new])
        status = tensor_status(connector)
        assert (status.present, status.missing, status.stale, status.orphaned) == (1, 1, 1, 1)
        found = connector.search_max_sim(QUERY, top_k=9)
        assert len(found.hits) == 3
        assert found.scores.keys() == {IDS[0], IDS[2]}
        report = add_tensors(connector, ENCODER, SETTINGS)
        assert (report.added, report.replaced, report.deleted) == (1, 1, 1)
        assert set(connector.tensor_ids()) == {IDS[0], IDS[2], "7"}
        connector.delete_tensors(["7"])
        assert tensor_status(connector).missing == 1


def test_a_key_that_may_not_change_the_collection_may_make_another(stub: Stub) -> None:
    holding(stub, llama_index())
    before = everything(stub)
    stub.forbidden = ("PATCH /collections/docs", "PUT /collections/docs/")
    with connect(stub) as connector:
        assert add_tensors(connector, ENCODER, SETTINGS).added == 3
        assert len(connector.search_max_sim(QUERY, top_k=3).scores) == 3
        connector.drop_tensors()
        with pytest.raises(PermissionDeniedError, match=r"Global manage access is required$"):
            add_tensors(connector, ENCODER, SETTINGS, companion=False)
    stub.forbidden += ("PUT /collections/docs.rr-tensors",)
    with (
        connect(stub) as connector,
        pytest.raises(PermissionDeniedError, match=r"docs\.rr-tensors: run rr tensors add once"),
    ):
        add_tensors(connector, ENCODER, SETTINGS)
    assert (collections(stub), everything(stub)) == ({"docs"}, before)


@pytest.mark.parametrize("version", ["1.15.5", "1.17.1"])
def test_before_1_18_a_companion_is_made(stub: Stub, version: str) -> None:
    stub.version = version
    before = everything(holding(stub, fastembed()))
    with connect(stub) as connector:
        with pytest.raises(UnsupportedServerError, match=r"cannot add vectors.*--companion"):
            add_tensors(connector, ENCODER, SETTINGS, companion=False)
        connector.take_alias("alias")
    with connect(stub, "alias") as connector:
        assert add_tensors(connector, ENCODER, SETTINGS).added == 3
    with connect(stub) as connector:  # it is of the collection, whatever that is called
        assert len(connector.search_max_sim(QUERY, top_k=3).scores) == 3
        connector.drop_tensors()
    assert (collections(stub), everything(stub)) == ({"docs"}, before)


def shard(stub: Stub) -> None:
    stub.custom.of["docs"] = dict(zip(map(str, IDS), ("eu", "us", "eu"), strict=True))


def test_points_of_custom_shards_are_written_by_their_keys(stub: Stub) -> None:
    before = everything(holding(stub, llama_index()))
    shard(stub)
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, SETTINGS, companion=False)
        assert len(connector.search_max_sim(QUERY, top_k=3).scores) == 3
        assert tensor_status(connector).present == 3
        connector.delete_tensors([IDS[1]])
        assert set(connector.tensor_ids()) == {IDS[0], IDS[2]}
        connector.drop_tensors()
        assert everything(stub) == before
        add_tensors(connector, ENCODER, SETTINGS)
        assert collections(stub) == {"docs", "docs.rr-tensors"}
        assert len(connector.search_max_sim(QUERY, top_k=3).scores) == 3
    assert everything(stub) == before


@pytest.mark.parametrize("companion", [True, False])
def test_an_add_whose_first_write_fails_leaves_nothing_behind(stub: Stub, companion: bool) -> None:
    before = everything(holding(stub, llama_index()))
    stub.forbidden = (f"{BY_IDS}/batch", "PUT /collections/docs.rr-tensors/points")
    with connect(stub) as connector, pytest.raises(PermissionDeniedError):
        add_tensors(connector, ENCODER, SETTINGS, companion=companion)
    assert (collections(stub), everything(stub)) == ({"docs"}, before)


def test_another_collection_of_the_companions_name_is_left_alone(stub: Stub) -> None:
    holding(stub, langchain())
    stub.client.create_collection(
        "docs.rr-tensors", models.VectorParams(size=2, distance=models.Distance.DOT)
    )
    with (
        connect(stub) as connector,
        pytest.raises(IndexExistsError, match=r"rr-tensors after its name.*not made for them"),
    ):
        add_tensors(connector, ENCODER, SETTINGS)
    assert stub.client.get_collection("docs.rr-tensors").config.params.vectors.size == 2  # type: ignore[union-attr]  # it has one
