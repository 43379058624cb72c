"""Vectors that hold no numbers, and such as hold integers."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Retriever
from retrieve_rerank.base import TensorSettings, TokenTensor
from retrieve_rerank.connectors.qdrant import QdrantConnector
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
