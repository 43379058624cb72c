"""A stand-in for a Qdrant server, by gRPC: local mode behind the client's own conversions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from qdrant_client import QdrantClient
from qdrant_client import grpc as wire
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc


class Service(wire.QdrantServicer, wire.CollectionsServicer, wire.PointsServicer):
    """One server; `seen` are the requests, `faults` the answers to the next ones."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        self.url = ""
        self.port = 0
        """Of gRPC; the URL has the one before it, as REST's."""
        self.stalls_s: dict[str, float] = {}
        """Request -> seconds that it waits for its answer."""
        self.seen: list[str] = []
        self.faults: list[tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]] = []

    def begin(self, name: str, context: Any) -> None:
        self.seen.append(name)
        time.sleep(self.stalls_s.get(name, 0.0))
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


@contextmanager
def serving(service: Service) -> Iterator[None]:
    """Serve, at a free port of this machine or at the one that it had before."""
    server = grpc.server(ThreadPoolExecutor(2))
    generated: Any = wire  # without types
    generated.add_QdrantServicer_to_server(service, server)
    generated.add_CollectionsServicer_to_server(service, server)
    generated.add_PointsServicer_to_server(service, server)
    service.port = server.add_insecure_port(f"127.0.0.1:{service.port}")
    service.url = f"qdrant://127.0.0.1:{service.port - 1}/docs"
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()
