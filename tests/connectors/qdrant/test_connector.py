"""An own index, and tensors beside others' documents, in the client's local mode."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Document
from retrieve_rerank.base import TensorSettings, TokenTensor
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import QdrantConnector, points
from retrieve_rerank.errors import (
    ConfigError,
    IndexExistsError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
)
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_status
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import ENCODER, IDS, TEXTS, haystack, langchain

SETTINGS = TensorSettings("hashing", ENCODER.fingerprint, 32, "float32", 1)
DOCUMENTS = [Document(name, text, {"year": 1950}) for name, text in TEXTS.items()]


def connect(client: QdrantClient, **options: Any) -> QdrantConnector:
    return QdrantConnector.connect("qdrant+local:///docs", client=client, **options)


@pytest.mark.filterwarnings(  # the client leaves its lock file open where it does not get the lock
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_an_index_in_a_folder_is_there_again_and_open_once(tmp_path: Path) -> None:
    url = f"qdrant+local://{tmp_path}/q/docs"
    with QdrantConnector.create(url, encoder=ENCODER) as connector:
        connector.index(DOCUMENTS)
        with pytest.raises(IndexLockedError, match="already accessed"):
            QdrantConnector.connect(url)
    with pytest.raises(IndexExistsError):
        QdrantConnector.create(url, encoder=ENCODER)
    with pytest.raises(IndexNotFoundError, match=r"no index 'other' at .* the server has: 'docs'"):
        QdrantConnector.connect(f"qdrant+local://{tmp_path}/q/other")
    with QdrantConnector.connect(url, encoder=ENCODER) as connector:
        assert connector.schema().location == url
        assert connector.search("wing", top_k=1)[0].document == DOCUMENTS[0]
        assert connector.index(DOCUMENTS).unchanged == 3


def test_another_encoder_than_the_recorded_one_is_refused() -> None:
    client = QdrantClient(":memory:")
    QdrantConnector.create("qdrant+local:///docs", encoder=ENCODER, client=client)
    with pytest.raises(IndexMismatchError, match="was made with hashing"):
        connect(client, encoder=HashingEncoder(16))


def test_an_index_without_an_encoder_takes_none() -> None:
    client = QdrantClient(":memory:")
    QdrantConnector.create("qdrant+local:///docs", encoder=None, client=client)
    with pytest.raises(IndexMismatchError, match="for BM25 alone"):
        connect(client, encoder=ENCODER)


def test_weights_that_leave_no_ranking_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave no ranking; there are: dense"):
        connect(langchain(), encoder=ENCODER, fusion=Fusion(weights={"dense": 0}))


def test_the_same_documents_rank_as_in_the_embedded_index(tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(60)]
    randomly = random.Random(3)
    documents = [
        Document(f"d{i}", " ".join(randomly.choices(words, k=randomly.randint(4, 20))))
        for i in range(300)
    ]
    queries = [" ".join(randomly.sample(words, 3)) for _ in range(20)]
    client = QdrantClient(":memory:")
    with (
        EmbeddedConnector.create(tmp_path / "e", encoder=ENCODER) as embedded,
        QdrantConnector.create("qdrant+local:///docs", encoder=ENCODER, client=client) as qdrant,
    ):
        embedded.index(documents)
        qdrant.index(documents)
        for query in queries:
            ours = embedded.search_max_sim(query, top_k=100)
            theirs = qdrant.search_max_sim(query, top_k=100)
            for name in ("dense", "bm25"):
                one = {h.document.id: h.sources[name] for h in ours.hits if name in h.sources}
                other = {h.document.id: h.sources[name] for h in theirs.hits if name in h.sources}
                both = one.keys() & other.keys()
                assert len(both) >= 0.95 * len(one)
                assert [one[i].score for i in both] == pytest.approx(
                    [other[i].score for i in both], abs=1e-4
                )
            assert [h.document for h in theirs.hits[:10]] == [h.document for h in ours.hits[:10]]
            assert [theirs.scores[h.document.id] for h in ours.hits[:10]] == pytest.approx(
                [ours.scores[h.document.id] for h in ours.hits[:10]], abs=0.01
            )  # there, numbers of tensors are kept in 8 bits


def test_max_sim_agrees_with_the_same_computed_in_float64() -> None:
    client = QdrantClient(":memory:")
    with QdrantConnector.create(
        "qdrant+local:///docs", encoder=ENCODER, client=client
    ) as connector:
        connector.index(DOCUMENTS)
        [asked] = ENCODER.encode_queries(["a thin wing in a pipe"])
        expected = {}
        for document in DOCUMENTS:
            [encoding] = ENCODER.encode_documents([document.text])
            rows = pool_tokens(encoding.tokens, 2).astype(np.float64)
            expected[document.id] = float((asked.tokens.astype(np.float64) @ rows.T).max(1).mean())
        found = connector.search_max_sim("a thin wing in a pipe", top_k=9)
        assert found.scores == pytest.approx(expected, abs=1e-6)
        asked_for = connector.max_sim("a thin wing in a pipe", ["heat", "nobody"])
        assert asked_for == pytest.approx({"heat": expected["heat"]}, abs=1e-6)


@pytest.mark.parametrize("make", [langchain, haystack])
def test_tensors_are_added_to_others_documents_and_taken_away(make: Any) -> None:
    client = make()
    before = client.scroll("docs", with_vectors=True)[0]
    with connect(client, encoder=ENCODER) as connector:
        assert connector.tensor_settings() is None
        assert connector.search_max_sim("wing", top_k=9).scores == {}
        report = add_tensors(connector, ENCODER, SETTINGS)
        assert (report.documents, report.added) == (3, 3)
        assert add_tensors(connector, ENCODER, SETTINGS).added == 0
        status = tensor_status(connector)
        assert (status.present, status.missing, status.stale, status.orphaned) == (3, 0, 0, 0)
        assert status.settings == SETTINGS
        assert connector.schema().token_tensors
        writer, fields = connector.schema().details["writer"], connector.schema().fields
    with connect(client, encoder=ENCODER) as connector:  # found again, without being told
        assert connector.schema().details["writer"] == writer
        assert connector.schema().fields == fields
        found = connector.search_max_sim("the lift of a thin wing", top_k=9)
        assert len(found.scores) == 3
        best = max(found.scores, key=lambda id_: found.scores[id_])
        document = connector.get([best])[0]
        assert document.text == TEXTS["lift"]
        assert "_rr_tensor_hash" not in document.metadata
        with pytest.raises(IndexMismatchError, match="rr tensors drop"):
            connector.create_tensors(TensorSettings("other", "x", 8, "float16"))
        connector.drop_tensors()
        connector.drop_tensors()
        assert connector.tensor_settings() is None
    assert client.scroll("docs", with_vectors=True)[0] == before


def test_changed_and_deleted_documents_are_noticed() -> None:
    client = langchain()
    with connect(client, encoder=ENCODER) as connector:
        add_tensors(connector, ENCODER, SETTINGS)
        client.set_payload("docs", {"page_content": "something else"}, [IDS[0]])
        client.delete("docs", models.PointIdsList(points=[IDS[1]]))
        status = tensor_status(connector)
        assert (status.documents, status.present, status.stale) == (2, 1, 1)
        report = add_tensors(connector, ENCODER, SETTINGS)
        assert (report.replaced, report.added, report.deleted) == (1, 0, 1)
        row = ENCODER.encode_queries(["x"])[0].tokens
        connector.write_tensors([TokenTensor(IDS[1], "h", row)])  # of a document that is gone
        assert set(connector.tensor_ids()) == {IDS[0], IDS[2]}
        connector.delete_tensors([IDS[0], IDS[1]])
        assert list(connector.tensor_ids()) == [IDS[2]]
        assert connector.max_sim("wing", IDS).keys() == {IDS[2]}


def test_a_tensor_too_large_for_qdrant_is_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert points.fit_tensor(np.ones((2048, 512), dtype=np.float32)).shape == (1024, 512)
    assert points.fit_tensor(np.ones((2047, 512), dtype=np.float32)).shape == (2047, 512)
    monkeypatch.setattr(points, "MAX_FLOATS", 64)
    client = langchain()
    with connect(client, encoder=ENCODER) as connector:
        connector.create_tensors(SETTINGS, companion=False)
        rows = ENCODER.encode_queries(["one two three"])[0].tokens
        connector.write_tensors([TokenTensor(IDS[0], "h", rows)])
        stored = client.retrieve("docs", [IDS[0]], with_vectors=["_rr_tokens"])[0].vector
        assert isinstance(stored, dict)
        assert np.asarray(stored["_rr_tokens"]).shape == (1, 32)


def test_changed_documents_of_an_own_index_get_new_tensors() -> None:
    client = QdrantClient(":memory:")
    with QdrantConnector.create(
        "qdrant+local:///docs", encoder=ENCODER, client=client
    ) as connector:
        connector.index(DOCUMENTS)
        settings = connector.tensor_settings()
        assert settings is not None
        assert tensor_status(connector).present == 3
        connector.index([Document("lift", "a propeller")])
        assert tensor_status(connector).present == 3
        [asked] = ENCODER.encode_queries(["propeller"])
        [encoding] = ENCODER.encode_documents(["a propeller"])
        expected = max_sim(asked.tokens, [pool_tokens(encoding.tokens, 2)])[0]
        assert connector.max_sim("propeller", ["lift"])["lift"] == pytest.approx(expected, abs=1e-6)


def test_local_mode_is_exact_and_has_nothing_to_tune() -> None:
    with connect(langchain(), encoder=ENCODER) as connector:
        assert connector.knobs(top_k=10) == []
        vectors = connector.query_vectors(["wing", "pipe"])
        exact = connector.nearest_exact(vectors, top_k=2)
        for row, expected in zip(vectors, exact, strict=True):
            found = connector.nearest(row, top_k=2)
            assert [id_ for id_, _ in found] == [id_ for id_, _ in expected]
            assert [s for _, s in found] == pytest.approx([s for _, s in expected])


def test_two_that_begin_one_collection_weigh_words_alike() -> None:
    client = QdrantClient(":memory:")
    first = QdrantConnector.create("qdrant+local:///docs", encoder=None, client=client)
    second = connect(client)
    first.index([Document("e", "What the lift of the wing is in the tunnel.")])
    second.index([Document("d", "Was der Auftrieb im Kanal nicht ist, " * 9)])
    assert first.schema().language == second.schema().language
    assert [hit.document.id for hit in second.search("lift", top_k=1)] == ["e"]
    assert [hit.document.id for hit in first.search("Auftrieb", top_k=1)] == ["d"]
