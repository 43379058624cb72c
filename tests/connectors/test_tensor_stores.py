"""What every store of token tensors must do, whatever its backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Document, Retriever
from retrieve_rerank.base import TensorDtype, TensorSettings, TensorStore
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import IndexMismatchError
from retrieve_rerank.indexing.tensor_filling import TensorReport
from retrieve_rerank.indexing.token_tensors import (
    add_tensors,
    tensor_settings,
    tensor_status,
)
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.testing import HashingEncoder
from retrieve_rerank.testing.connectors.writing import ODD_IDS
from tests.servers import NEWEST, OLDEST, delete_indexes, elasticsearch, fresh_index

ENCODER = HashingEncoder()


def at_elasticsearch(version: str) -> ElasticsearchConnector:
    server = elasticsearch(version)
    return ElasticsearchConnector.create(server.address(fresh_index(server)), encoder=ENCODER)


MAKERS: dict[str, Callable[[], TensorStore]] = {
    "memory": lambda: MemoryConnector(encoder=ENCODER),
    "qdrant+local": lambda: QdrantConnector.create(
        "qdrant+local:///docs", encoder=ENCODER, tensors=None, client=QdrantClient(":memory:")
    ),
    "elasticsearch 9": lambda: at_elasticsearch(NEWEST),
    "elasticsearch 8": lambda: at_elasticsearch(OLDEST),
}
TOLERANCES: dict[TensorDtype, float] = {"float32": 1e-6, "float16": 5e-4, "int8": 5e-3}
QUERY = "word3 word14 word159"


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest) -> Iterator[TensorStore]:
    with MAKERS[request.param]() as made:
        yield made
    delete_indexes()


def documents(count: int = 40) -> list[Document]:
    randomly = np.random.default_rng(11)
    return [
        Document(f"d{i}", " ".join(f"word{n}" for n in randomly.integers(200, size=i % 23 + 1)))
        for i in range(count)
    ]


def settings(dtype: TensorDtype = "int8", pooling_factor: int = 2) -> TensorSettings:
    return tensor_settings(ENCODER, dtype=dtype, pooling_factor=pooling_factor)


def add(store: TensorStore) -> TensorReport:
    return add_tensors(store, ENCODER, settings())


def test_documents_without_tensors_keep_their_places(store: TensorStore) -> None:
    corpus = documents()
    store.index(corpus)
    store.index([Document("new", QUERY)])  # which words and vector put first
    add(store)
    store.delete_tensors(["new"])
    retriever = Retriever(store, DatabaseMaxSim(store))
    result = retriever.search(QUERY, top_k=100)
    first, stage = result.stages
    was = {hit.document.id: hit.rank for hit in first.hits}
    assert was["new"] == 1
    assert result.hits[0].document.id == "new"
    assert [hit.rank for hit in result] == list(range(1, len(first.hits) + 1))
    assert [hit.score for hit in result] == sorted((h.score for h in result), reverse=True)
    assert result.hits[0].first_stage.score == first.hits[0].score
    assert stage.scored == stage.candidates - 1
    note = "there are hits without token tensors: they keep their places; rr tensors add makes them"
    assert result.notes == [f"max-sim: {note}"]
    add(store)
    assert retriever.search(QUERY).notes == []


@pytest.mark.parametrize("dtype", get_args(TensorDtype))
def test_scores_agree_with_float64_to_the_precision_of_the_stored_type(
    store: TensorStore, dtype: TensorDtype
) -> None:
    corpus = documents()
    store.index(corpus)
    assert add_tensors(store, ENCODER, settings(dtype)).added == len(corpus)
    query = ENCODER.encode_queries([QUERY])[0].tokens.astype(np.float64)
    exact = {
        document.id: (query @ pool_tokens(encoding.tokens, 2).astype(np.float64).T)
        .max(axis=1)
        .mean()
        for document, encoding in zip(
            corpus, ENCODER.encode_documents([each.text for each in corpus]), strict=True
        )
    }
    by_id = store.max_sim(QUERY, [each.id for each in corpus])
    assert by_id == pytest.approx(exact, abs=TOLERANCES[dtype])
    found = store.search_max_sim(QUERY, top_k=30)
    assert len(found.hits) == 30
    for hit in found.hits:
        assert found.scores[hit.document.id] == pytest.approx(
            exact[hit.document.id], abs=TOLERANCES[dtype]
        )


def test_tensors_are_added_once_and_brought_up_to_date(store: TensorStore) -> None:
    store.index(documents())
    assert not store.schema().token_tensors
    assert add(store) == TensorReport(documents=40, added=40)
    assert store.schema().token_tensors
    before = ENCODER.encoded
    assert add(store) == TensorReport(documents=40)
    assert ENCODER.encoded == before + 1  # the letter that tells the dimension

    store.index([Document("d3", "changed"), Document("new", "wing")])
    store.delete(["d7"])
    status = tensor_status(store)
    # Qdrant makes a changed document's tensor with its vector, others leave the old one.
    changed = 0 if isinstance(store, QdrantConnector) else 2
    assert (status.documents, status.missing + status.stale) == (40, changed)
    report = add(store)
    assert report.added + report.replaced == changed
    status = tensor_status(store)
    assert (status.present, status.missing, status.stale, status.orphaned) == (40, 0, 0, 0)
    assert set(store.tensor_ids()) == {each.id for each in store.scan()}
    assert store.max_sim("changed", ["d3", "d7", "nobody"]) == {"d3": pytest.approx(1, abs=5e-3)}


def test_ids_may_hold_any_characters(store: TensorStore) -> None:
    store.index([Document(id_, f"wing number {i}") for i, id_ in enumerate(ODD_IDS)])
    assert add(store).added == len(ODD_IDS)
    assert add(store) == TensorReport(documents=len(ODD_IDS))
    assert set(store.tensor_ids()) == set(ODD_IDS)
    assert store.max_sim("wing", ODD_IDS).keys() == set(ODD_IDS)
    store.delete_tensors(ODD_IDS[:3])
    assert set(store.tensor_ids()) == set(ODD_IDS[3:])


def test_dropping_leaves_the_documents(store: TensorStore) -> None:
    corpus = documents(5)
    store.index(corpus)
    add(store)
    assert store.tensor_settings() == settings()
    store.drop_tensors()
    assert store.tensor_settings() is None
    assert list(store.tensor_ids()) == []
    assert store.max_sim(QUERY, ["d1"]) == {}
    assert store.search_max_sim(QUERY, top_k=3).scores == {}
    assert {each.id for each in store.scan()} == {each.id for each in corpus}
    assert not store.schema().token_tensors
    assert add_tensors(store, ENCODER, settings("float16", 1)).added == 5
    assert store.tensor_settings() == settings("float16", 1)


def test_tensors_of_other_settings_are_refused(store: TensorStore) -> None:
    store.index(documents(5))
    add(store)
    with pytest.raises(IndexMismatchError, match="drop"):
        add_tensors(store, ENCODER, settings("float32"))
    assert tensor_status(store).present == 5


def test_without_tensors_nothing_is_scored(store: TensorStore) -> None:
    store.index(documents(5))
    assert store.tensor_settings() is None
    assert store.tensor_hashes(["d1"]) == {}
    assert store.max_sim(QUERY, ["d1"]) == {}
    assert tensor_status(store).missing == 5


async def test_async_answers_as_sync_does(store: TensorStore) -> None:
    store.index(documents())
    add(store)
    expected = store.search_max_sim(QUERY, top_k=10)
    found = await store.asearch_max_sim(QUERY, top_k=10)
    # to float32's last digits, in which Qdrant's local mode differs from one search to the next
    assert found.scores == pytest.approx(expected.scores, abs=1e-6)
    for hit, same in zip(found.hits, expected.hits, strict=True):
        assert (hit.document, hit.rank) == (same.document, same.rank)
        assert hit.score == pytest.approx(same.score, abs=1e-6)
    await store.aclose()
