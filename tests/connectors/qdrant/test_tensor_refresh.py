"""Where new token tensors are made in Qdrant, and what is left when it ends half-way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank.base import TensorSettings
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import (
    IndexExistsError,
    PermissionDeniedError,
    UnsupportedServerError,
)
from retrieve_rerank.indexing.tensor_filling import TensorReport
from retrieve_rerank.indexing.tensor_refresh import refresh_tensors
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_status
from tests.connectors.qdrant.collections import ENCODER, langchain, llama_index
from tests.connectors.qdrant.stub import Stub
from tests.connectors.qdrant.test_companions import (
    QUERY,
    collections,
    connect,
    everything,
    holding,
    vectors_of,
)

OLD, NEW = (TensorSettings("hashing", ENCODER.fingerprint, 32, "float16", n) for n in (1, 2))


def refresh(store: QdrantConnector, settings: TensorSettings = NEW) -> TensorReport:
    return refresh_tensors(store, ENCODER, settings, progress=quiet)


@contextmanager
def quiet(doing: str) -> Iterator[Callable[[int], None]]:
    yield lambda documents: None


def added(stub: Stub) -> set[str]:
    """Name what is added in the collection itself: vectors and keys."""
    points = stub.client.scroll("docs")[0]
    names = {*vectors_of(stub), *(key for each in points for key in each.payload or {})}
    return {name for name in names if name.startswith("_rr")}


def test_in_a_collection_the_record_says_which_serve(stub: Stub) -> None:
    holding(stub, llama_index())
    before = everything(stub)
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, OLD)
    with connect(stub) as reader, connect(stub) as connector:
        old = reader.search_max_sim(QUERY, top_k=3)
        stub.forbidden = ("DELETE /collections/docs/vectors",)
        with pytest.raises(PermissionDeniedError, match=r"complete.*cannot delete the old"):
            refresh(connector)
        assert connector.tensor_settings() == NEW, "from the change of the record on"
        assert connector.drafted() is None
        found = connector.search_max_sim(QUERY, top_k=3)
        assert [hit.document for hit in found.hits] == [hit.document for hit in old.hits]
        stub.forbidden = ()
        assert refresh(connector) == TensorReport(documents=3)
        assert added(stub) == {"_rr_tokens_2", "_rr_tensor_hash_2"}
        new = reader.search_max_sim(QUERY, top_k=3)
        assert new.scores.keys() == old.scores.keys()
        assert new.scores != old.scores
        assert connector.schema().details["tensors"]["field"] == "_rr_tokens_2"
        assert connector.schema().notes == reader.schema().notes
        refresh(connector, OLD)
        assert added(stub) == {"_rr_tokens", "_rr_tensor_hash"}
        assert tensor_status(connector).present == 3
        connector.drop_tensors()
    assert everything(stub) == before


def test_of_two_companions_the_complete_one_serves(stub: Stub) -> None:
    holding(stub, langchain())
    before = everything(stub)
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, OLD)
    with connect(stub) as reader, connect(stub) as connector:
        old = reader.search_max_sim(QUERY, top_k=3).scores
        stub.forbidden = ("DELETE /collections/docs.rr-tensors",)
        with pytest.raises(PermissionDeniedError):
            refresh(connector)
        assert reader.search_max_sim(QUERY, top_k=3).scores == pytest.approx(old)
        assert collections(stub) == {"docs", "docs.rr-tensors", "docs.rr-tensors-2"}
        stub.forbidden = ()
        assert refresh(connector) == TensorReport(documents=3)
        assert collections(stub) == {"docs", "docs.rr-tensors-2"}
        new = reader.search_max_sim(QUERY, top_k=3).scores
        assert new.keys() == old.keys()
        assert new != pytest.approx(old)
        stub.forbidden = ("DELETE /collections/docs.rr-tensors",)
        with pytest.raises(PermissionDeniedError):
            refresh(connector, OLD)
        assert connector.tensor_settings() == OLD, "from its being marked as complete on"
        stub.forbidden = ()
        refresh(connector, OLD)
        assert collections(stub) == {"docs", "docs.rr-tensors"}
        assert reader.search_max_sim(QUERY, top_k=3).scores == pytest.approx(old)
        connector.drop_tensors()
    assert (collections(stub), everything(stub)) == ({"docs"}, before)


@pytest.mark.parametrize("make", [langchain, llama_index])
def test_a_key_that_may_make_no_room_is_told_so_and_the_old_ones_serve(
    stub: Stub, make: Callable[[], QdrantClient]
) -> None:
    holding(stub, make())
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, OLD)
        stub.forbidden = ("PATCH /collections/docs", "PUT /collections/docs.rr-tensors-2")
        with pytest.raises(PermissionDeniedError, match=r"may manage\. The old ones serve"):
            refresh(connector)
        assert tensor_status(connector).present == 3
        assert connector.tensor_settings() == OLD


def test_another_collection_of_the_second_name_is_left_alone(stub: Stub) -> None:
    holding(stub, langchain())
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    stub.client.create_collection("docs.rr-tensors-2", params)
    with connect(stub) as connector:
        add_tensors(connector, ENCODER, OLD)
        with pytest.raises(IndexExistsError, match=r"docs\.rr-tensors-2.*not made for them"):
            refresh(connector)
        connector.drop_tensors()
    assert collections(stub) == {"docs", "docs.rr-tensors-2"}


def test_before_1_18_there_is_no_room_in_a_collection(stub: Stub) -> None:
    stub.version = "1.17.1"
    with QdrantConnector.create(stub.url, encoder=ENCODER) as connector:
        with pytest.raises(UnsupportedServerError, match="cannot add vectors to a collection"):
            refresh(connector, OLD)
        assert connector.drafted() is None
        assert connector.schema().token_tensors
