"""Vectors that hold no numbers, and such as hold integers."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Retriever
from retrieve_rerank.base import TensorSettings, TokenTensor, Vectors
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import IndexMismatchError
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import DENSE, ENCODER, IDS, collection, haystack, vector
from tests.connectors.qdrant.grpc_stub import Service
from tests.connectors.qdrant.grpc_stub import serving as serving_grpc
from tests.connectors.qdrant.stub import Stub

# Of NumPy, in local mode, which the stand-ins are made of.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

TEXTS = ["the lift of a thin wing", "drag of a wing", "heat transfer of a wing"]


def filled(odd: float, distance: models.Distance = models.Distance.COSINE) -> QdrantClient:
    """Make a collection of which the first point's vector holds `odd`."""
    vectors = [[odd, *vector(TEXTS[0])[1:]], *map(vector, TEXTS[1:])]
    params = models.VectorParams(size=ENCODER.dimension, distance=distance)
    return collection([{"content": text} for text in TEXTS], vectors, dense=params)


@pytest.mark.parametrize("distance", [models.Distance.COSINE, models.Distance.DOT])
@pytest.mark.parametrize("way", ["local", "rest", "grpc"])
def test_a_point_without_score_is_left_out_and_named(
    way: str, distance: models.Distance, stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    client = filled(math.inf, distance)

    def look(url: str, **options: Any) -> None:
        with QdrantConnector.connect(url, encoder=ENCODER, **options) as connector:
            for _ in range(2):
                result = Retriever(connector).search("wing", top_k=9)
                assert sorted(hit.document.text for hit in result.hits) == sorted(TEXTS[1:])
                [note] = result.notes
                assert IDS[0] in note and "NaN or infinity" in note
            if way != "local":
                hits = asyncio.run(connector.asearch("wing", top_k=9))
                assert len(hits) == 2
            vectors = connector.query_vectors(["wing"])
            assert len(connector.nearest_exact(vectors, top_k=9)[0]) == 2

    if way == "local":
        look("qdrant+local:///docs", client=client)
    elif way == "rest":
        stub.client = client
        look(stub.url)
        stub.strict = {"search_allow_exact": False}  # neighbours by reading the vectors
        look(stub.url)
    else:
        service = Service(client)
        with serving_grpc(service):
            look(service.url, grpc=True)
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == (2 if way == "rest" else 1)  # one for each that was connected


def test_tokens_without_score_count_as_none(stub: Stub) -> None:
    payloads = [{"content": text} for text in TEXTS]
    vectors = [{"emb": vector(text)} for text in TEXTS]
    stub.client = collection(payloads, vectors, dense={"emb": DENSE})
    settings = TensorSettings("hashing", ENCODER.fingerprint, 32, "float32", 1)
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        connector.create_tensors(settings)
        tokens = [each.tokens for each in ENCODER.encode_documents(TEXTS)]
        pairs = zip(IDS, tokens, strict=True)
        connector.write_tensors([TokenTensor(id_, "h", each) for id_, each in pairs])
        odd = [[math.inf, *tokens[1][0, 1:].tolist()]]  # as others may write it, by gRPC
        stub.client.update_vectors(
            "docs", [models.PointVectors(id=IDS[1], vector={"_rr_tokens": odd})]
        )
        found = connector.search_max_sim("wing", top_k=9)
        assert len(found.hits) == 3
        assert found.scores.keys() == {IDS[0], IDS[2]}
        assert connector.max_sim("wing", IDS).keys() == {IDS[0], IDS[2]}


def test_a_score_that_is_of_the_payload_is_left_alone(stub: Stub) -> None:
    stub.client = haystack()
    for id_ in stub.client.scroll("docs")[0]:
        stub.client.set_payload("docs", {"meta": {"score": None}}, [id_.id])
    with QdrantConnector.connect(stub.url, encoder=HashingEncoder()) as connector:
        hits = connector.search("wing", top_k=9)
        assert len(hits) == 3
        assert all(hit.document.metadata["score"] is None for hit in hits)


ENGLISH = [
    f"{first} {second} of a {third} wing in {fourth}"
    for first in ("lift", "drag", "heat", "flow")
    for second in ("polar", "transfer", "theory")
    for third in ("thin", "swept")
    for fourth in ("air", "water")
]


def as_bytes(made: Vectors, *, way: str) -> Vectors:
    """Make bytes of vectors, as people do."""
    low, high = made.min(axis=0), made.max(axis=0)
    scaled = {
        "all alike": 127.5 * (made + 1),
        "times a factor": 255 * made,
        "each dimension by its range": (made - low) / np.maximum(high - low, 1e-6) * 255,
    }[way]
    found: Vectors = np.clip(scaled, 0, 255).astype(np.uint8).astype(np.float32)
    return found


def of_bytes(stub: Stub, stored: Vectors, distance: models.Distance, name: str) -> None:
    params = models.VectorParams(
        size=stored.shape[1], distance=distance, datatype=models.Datatype.UINT8
    )
    rows: list[Any] = [{name: row} if name else row for row in stored.tolist()]
    ids = list(range(1, len(rows) + 1))
    dense = {name: params} if name else params
    stub.client = collection([{"content": t} for t in ENGLISH], rows, ids=ids, dense=dense)
    stub.stored = dict(zip(ids, rows, strict=True))


@pytest.mark.parametrize("distance", [models.Distance.COSINE, models.Distance.DOT])
@pytest.mark.parametrize(
    ("way", "name"),
    [("all alike", ""), ("times a factor", "emb"), ("each dimension by its range", "emb")],
)
def test_queries_for_vectors_of_bytes_are_scaled_as_these_were(
    stub: Stub, way: str, name: str, distance: models.Distance
) -> None:
    made = ENCODER.embed_documents(ENGLISH)
    stored = as_bytes(made, way=way)
    of_bytes(stub, stored, distance, name)
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        [field] = connector.schema().details["vector_fields"]
        assert field["element_type"] == "uint8"
        for query in ("drag polar of a swept wing in water", "heat theory"):
            hits = connector.search(query, top_k=5)
            asked = connector.query_vectors([query])
            rows = stored / np.linalg.norm(stored, axis=1)[:, None]
            scores = asked[0] @ (rows if distance == models.Distance.COSINE else stored).T
            assert [int(hit.document.id) - 1 for hit in hits] == np.argsort(-scores)[:5].tolist()
            assert len({hit.score for hit in hits}) > 1
        if distance == models.Distance.COSINE:  # a dot product is not kept by a shift
            assert connector.search(ENGLISH[7], top_k=1)[0].document.text == ENGLISH[7]
        stub.seen.clear()
        connector.search("heat", top_k=5)
        assert len(stub.seen) == 1  # what was told once is known


def test_bytes_that_another_encoder_made_are_refused(stub: Stub) -> None:
    rows = np.random.default_rng(7).integers(0, 256, (len(ENGLISH), 32)).astype(np.float32)
    of_bytes(stub, rows, models.Distance.COSINE, "")
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        with pytest.raises(IndexMismatchError, match=r"kept as uint8.*hashing.*keep them as float"):
            connector.search("heat", top_k=3)
        with pytest.raises(IndexMismatchError, match="kept as uint8"):
            connector.query_vectors(["heat"])
