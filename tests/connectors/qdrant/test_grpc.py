"""Talking to a server by gRPC, as far as a stand-in can tell: not run on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient
from qdrant_client import grpc as wire
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from retrieve_rerank import Document, Filter, Range
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import (
    ConnectionFailedError,
    IndexMismatchError,
    IndexNotFoundError,
    RateLimitedError,
)
from retrieve_rerank.testing import HashingEncoder

ENCODER = HashingEncoder()
DOCUMENTS = [
    Document("lift", "the lift of a thin wing", {"year": 1950, "tags": ["a", 1.5]}),
    Document("drag", "drag polar of a slender body", {"year": 1960}),
    Document("heat", "heat transfer in a pipe", {"year": 1970, "open": True}),
]


class Service(wire.QdrantServicer, wire.CollectionsServicer, wire.PointsServicer):
    """Local mode behind the client's own conversions."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        self.url = ""
        self.seen: list[str] = []
        self.faults: list[tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]] = []

    def begin(self, name: str, context: Any) -> None:
        self.seen.append(name)
        if self.faults:
            code, details, metadata = self.faults.pop(0)
            context.set_trailing_metadata(metadata)
            context.abort(code, details)

    def HealthCheck(self, request: Any, context: Any) -> Any:
        self.begin("HealthCheck", context)
        return wire.HealthCheckReply(title="qdrant - vector search engine", version="1.20.0")

    def Get(self, request: Any, context: Any) -> Any:
        self.begin("Get", context)
        if isinstance(request, wire.GetCollectionInfoRequest):
            if not self.client.collection_exists(request.collection_name):
                context.abort(grpc.StatusCode.NOT_FOUND, "Not found: Collection doesn't exist!")
            info = self.client.get_collection(request.collection_name)
            return wire.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))
        ids = [GrpcToRest.convert_point_id(each) for each in request.ids]
        payload = GrpcToRest.convert_with_payload_interface(request.with_payload)
        records = self.client.retrieve(request.collection_name, ids, payload)
        return wire.GetResponse(result=[RestToGrpc.convert_record(each) for each in records])

    def QueryBatch(self, request: Any, context: Any) -> Any:
        self.begin("QueryBatch", context)
        queries = [GrpcToRest.convert_query_points(each) for each in request.query_points]
        for query in queries:
            query.params = None  # which local mode would warn of
            prefetches: list[Any] = list(query.prefetch or [])
            for each in prefetches:
                each.params = None
        answers = self.client.query_batch_points(request.collection_name, queries)
        results = [
            wire.BatchResult(result=[RestToGrpc.convert_scored_point(p) for p in each.points])
            for each in answers
        ]
        return wire.QueryBatchResponse(result=results)

    def Scroll(self, request: Any, context: Any) -> Any:
        self.begin("Scroll", context)
        offset = GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None
        payload = GrpcToRest.convert_with_payload_interface(request.with_payload)
        records, after = self.client.scroll(
            request.collection_name,
            GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None,
            limit=request.limit,
            offset=offset,
            with_payload=payload,
        )
        result = [RestToGrpc.convert_record(each) for each in records]
        following = RestToGrpc.convert_extended_point_id(after) if after is not None else None
        return wire.ScrollResponse(result=result, next_page_offset=following)

    def Count(self, request: Any, context: Any) -> Any:
        self.begin("Count", context)
        count = self.client.count(request.collection_name).count
        return wire.CountResponse(result=wire.CountResult(count=count))

    def Upsert(self, request: Any, context: Any) -> Any:
        self.begin("Upsert", context)
        points = [GrpcToRest.convert_point_struct(each) for each in request.points]
        return self.done(self.client.upsert(request.collection_name, points))

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        self.begin("CreateFieldIndex", context)
        return self.done()

    def Update(self, request: Any, context: Any) -> Any:
        self.begin("Update", context)
        metadata = GrpcToRest.convert_payload(request.metadata)
        self.client.update_collection(request.collection_name, metadata=metadata)
        return wire.CollectionOperationResponse(result=True)

    def done(self, _: Any = None) -> Any:
        status = wire.UpdateStatus.Completed
        return wire.PointsOperationResponse(result=wire.UpdateResult(operation_id=0, status=status))


@pytest.fixture
def service() -> Iterator[Service]:
    client = QdrantClient(":memory:")
    QdrantConnector.create("qdrant+local:///docs", encoder=ENCODER, client=client)
    service = Service(client)
    server = grpc.server(ThreadPoolExecutor(1))
    generated: Any = wire  # without types
    generated.add_QdrantServicer_to_server(service, server)
    generated.add_CollectionsServicer_to_server(service, server)
    generated.add_PointsServicer_to_server(service, server)
    service.url = f"qdrant://127.0.0.1:{server.add_insecure_port('127.0.0.1:0') - 1}/docs"
    server.start()
    yield service
    server.stop(None).wait()
    client.close()


def connect(service: Service) -> QdrantConnector:
    return QdrantConnector.connect(service.url, grpc=True, encoder=ENCODER)


def test_documents_go_there_and_back(service: Service) -> None:
    with connect(service) as connector:
        assert connector.index(DOCUMENTS).indexed == 3
        assert connector.index(DOCUMENTS).unchanged == 3
        assert connector.get(["heat", "lift"]) == [DOCUMENTS[2], DOCUMENTS[0]]
        assert sorted(document.id for document in connector.scan()) == ["drag", "heat", "lift"]
        parts = [document.id for i in range(2) for document in connector.scan(part=i, parts=2)]
        assert sorted(parts) == ["drag", "heat", "lift"]
        assert connector.count() == 3
        assert connector.schema().rankings == ("dense", "bm25")


async def test_sync_and_async_answer_alike(service: Service) -> None:
    connector = connect(service)
    await asyncio.to_thread(connector.index, DOCUMENTS)
    service.seen.clear()
    filter: Filter = {"year": Range(lt=1965), "tags": "a"}
    hits = await asyncio.to_thread(connector.search, "wing", top_k=3, filter=filter)
    assert [hit.document for hit in hits] == DOCUMENTS[:1]
    again = await connector.asearch("wing", top_k=3, filter=filter)
    assert [(hit.document, hit.sources.keys()) for hit in again] == [
        (hit.document, hit.sources.keys()) for hit in hits
    ]
    found = await connector.asearch_max_sim("wing", top_k=3)
    assert len(found.scores) == 3
    assert sorted(service.seen) == ["Get"] * 2 + ["QueryBatch"] * 4
    await connector.aclose()


def test_what_grpc_says_arrives_as_our_errors(service: Service) -> None:
    with connect(service) as connector:
        connector.index(DOCUMENTS)
        for code, details, expected in (
            (grpc.StatusCode.NOT_FOUND, "Not found: Collection", IndexNotFoundError),
            (
                grpc.StatusCode.INVALID_ARGUMENT,
                "Wrong input: Vector dimension error: expected dim: 64, got 2",
                IndexMismatchError,
            ),
        ):
            service.faults = [(code, details, ())]
            with pytest.raises(expected, match=details):
                connector.search("wing", top_k=1)
        service.faults = [(grpc.StatusCode.UNAVAILABLE, "restarting", ())]
        assert connector.search("wing", top_k=1)
        later = (("retry-after", "3600"),)
        service.faults = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", later)]
        with pytest.raises(RateLimitedError, match="slow down") as caught:
            connector.search("wing", top_k=1)
        assert caught.value.retry_after_s == 3600


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(ConnectionFailedError, match=r"qdrant://127\.0\.0\.1:8/docs"):
        QdrantConnector.connect("qdrant://127.0.0.1:8/docs", grpc=True)


def test_a_port_of_its_own_is_taken(service: Service) -> None:
    port = int(service.url.rsplit(":")[-1].split("/")[0]) + 1
    with QdrantConnector.connect(
        "qdrant://127.0.0.1:9/docs", grpc=True, grpc_port=port, encoder=ENCODER
    ) as connector:
        assert connector.count() == 0
