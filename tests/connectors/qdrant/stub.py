"""A stand-in for a Qdrant server, by REST: the client's local mode behind a real socket.

It answers in the server's words as recorded from a real 1.18.2: versions, strict mode, refusals,
limits. What passes here has still not met a server.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

from tests.connectors.qdrant.payload_indexes import payload_schema, unindexed
from tests.connectors.qdrant.sharding import CustomShards


def cast(client: QdrantClient, name: str, searches: list[models.QueryRequest]) -> None:
    """Make bytes of queries for vectors of bytes, as a server does: by cutting off."""
    found = client.get_collection(name).config.params.vectors
    for each in searches:
        params = found.get(each.using or "") if isinstance(found, dict) else found
        if params and params.datatype == models.Datatype.UINT8 and isinstance(each.query, list):
            query: Any = each.query
            each.query = [float(min(255, max(0, int(number)))) for number in query]


MAX_BODY = 32 << 20


class Fault(NamedTuple):
    """An answer given instead of the right one."""

    status: int
    error: str | None = None
    """Text in Qdrant's own form."""
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Stub:
    """One server; `seen` are the requests, `faults` the answers to the next ones."""

    def __init__(self) -> None:
        self.version = "1.20.0"
        self.title = "qdrant - vector search engine"
        self.api_key: str | None = None
        self.strict: dict[str, Any] = {}
        self.quantization: dict[str, Any] | None = None
        self.described: dict[str, Any] = {}
        """What a collection's description says otherwise: status, vectors in the graph, …"""
        self.shards = 1
        """Each answers every prefetch; the limit of the query over them is one for all."""
        self.custom = CustomShards()
        self.forbidden: tuple[str, ...] = ()
        """Beginnings of the calls that the key may not make."""
        self.seen: list[tuple[str, str, Any]] = []
        self.encodings: list[str] = []
        """What each request says that its answer may be compressed by."""
        self.faults: list[Fault] = []
        self.delay_s = 0.0
        self.stored: dict[Any, list[float]] = {}
        """Vectors as a server keeps them where local mode does otherwise: bytes as they are."""
        self.indexes: dict[str, Any] = {}
        """Path -> type, or parameters with their type among them."""
        self.created: dict[str, str] = {}
        """When each collection was made, as servers tell since 1.20."""
        self.client = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.url = ""

    @property
    def calls(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.seen]

    def handle(self, method: str, path: str, body: Any) -> Any:
        if path == "/":
            return None
        if f"{method} {path}".startswith(self.forbidden or ("-",)):
            raise Refused(403, "Forbidden: Global manage access is required")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == ["collections"]:
            return self.client.get_collections()
        if parts[0] == "aliases":
            return self.client.get_aliases()
        if parts == ["collections", "aliases"]:
            actions = models.ChangeAliasesOperation(**body).actions
            return self.client.update_collection_aliases(actions)
        name, rest = parts[1], "/".join(parts[2:])
        try:
            return self._collection(method, name, rest, body)
        except ValidationError as exc:
            raise Refused(422, f"Validation error in JSON body: {exc.error_count()}") from exc
        except KeyError as exc:
            raise Refused(404, f"Not found: No point with id {exc} found") from exc
        except ValueError as exc:
            missing = re.fullmatch(r"Collection (.*) not found", str(exc))
            if missing:
                raise Refused(404, f"Not found: Collection `{name}` doesn't exist!") from exc
            if "already exists" in str(exc):
                raise Refused(409, f"Wrong input: {exc}!") from exc
            raise Refused(400, f"Wrong input: {exc}") from exc

    def check_timeout(self, path: str, query: dict[str, list[str]]) -> None:
        """Refuse a request that may take longer than strict mode allows, made with its own time."""
        most = self.strict.get("max_timeout", 1e9)
        own = int(query.get("timeout", ["0"])[0])
        if own > most and path.startswith("/collections/") and path.count("/") > 2:
            text = f'Limit exceeded {own} > {most} for "timeout"'
            raise Refused(400, f'Bad request: {text}. Help: Reduce the "timeout" parameter.')

    def _collection(self, method: str, name: str, rest: str, body: Any) -> Any:
        client = self.client
        if problem := self.custom.problem(name, method, rest, body):
            raise Refused(404 if "Not found" in problem else 400, problem)
        match method, *rest.split("/"):
            case "GET", "":
                return self._info(name)
            case "PUT", "":
                made = models.CreateCollection(**body)
                return client.create_collection(
                    name, made.vectors, made.sparse_vectors, metadata=made.metadata
                )
            case "PATCH", "":
                diff = models.UpdateCollection(**body)
                done = client.update_collection(
                    name, vectors_config=diff.vectors, metadata=diff.metadata
                )
                metadata = self._local(name).config.metadata or {}
                for key in [key for key, value in metadata.items() if value is None]:
                    del metadata[key]
                return done
            case "DELETE", "":
                return client.delete_collection(name)
            case "POST", "points", "query", "batch":
                searches = models.QueryRequestBatch(**body).searches
                if len(searches) > self.strict.get("search_max_batchsize", 1e9):
                    raise Refused(400, "Bad request: Search batch size exceeded. Help: Reduce it.")
                cast(client, name, searches)
                return client.query_batch_points(name, [self._query(each) for each in searches])
            case "POST", "points", "query":
                [answer] = client.query_batch_points(
                    name, [self._query(models.QueryRequest(**body))]
                )
                return answer
            case "POST", "points", "scroll":
                scroll = models.ScrollRequest(**body)
                self._limit(scroll.limit)
                self._indexed(scroll.filter)
                points, offset = client.scroll(
                    name,
                    scroll.filter,
                    scroll.limit or 10,
                    offset=scroll.offset,
                    with_payload=scroll.with_payload if scroll.with_payload is not None else True,
                    with_vectors=scroll.with_vector or False,
                )
                self.custom.tell(name, points)
                for each in points if scroll.with_vector else []:
                    each.vector = self.stored.get(each.id, each.vector)
                return {"points": points, "next_page_offset": offset}
            case "POST", "points", "count":
                self._exact(models.CountRequest(**body).exact)
                return client.count(name)
            case "POST", "points":
                wanted = models.PointRequest(**body)
                payload = wanted.with_payload
                return client.retrieve(
                    name, wanted.ids, True if payload is None else payload, bool(wanted.with_vector)
                )
            case "PUT", "points":
                new = models.PointsList(**body).points
                if len(new) > self.strict.get("upsert_max_batchsize", 1e9):
                    raise Refused(400, "Bad request: Upsert batch size exceeded. Help: Reduce it.")
                self._rate(len(new))
                return client.upsert(name, new)
            case "POST", "points", "delete":
                self._rate(len(body["points"]))
                return client.delete(name, models.PointIdsList(**body))
            case "POST", "points", "batch":
                operations = models.UpdateOperations(**body).operations
                self._rate(len(operations))
                return client.batch_update_points(name, operations)[0:1]
            case "POST", "points", "payload", "delete":
                keys = models.DeletePayload(**body)
                self._rate(client.count(name).count if keys.points is None else len(keys.points))
                selector: Any = keys.points or models.FilterSelector(
                    filter=keys.filter or models.Filter()
                )
                return client.delete_payload(name, keys.keys, selector)
            case "POST", "points", "vectors", "delete":
                vectors = models.DeleteVectors(**body)
                return client.delete_vectors(name, vectors.vector, vectors.points or [])
            case "PUT", "index":
                self.indexes[body["field_name"]] = body["field_schema"]
                return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
            case "DELETE", "index", field:
                self.indexes.pop(field, None)
                return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
            case "PUT", "vectors", vector:
                kind: Any = models.DenseVectorNameConfig
                config = (kind if "dense" in body else models.SparseVectorNameConfig)(**body)
                local = self._local(name).config
                if isinstance(local.vectors, models.VectorParams):  # which it gets a name by
                    local.vectors = {"": local.vectors}
                return client.create_vector_name(name, vector, config)
            case "DELETE", "vectors", vector:
                return client.delete_vector_name(name, vector)
        raise Refused(404, f"no route {method} {rest}")

    def _local(self, name: str) -> Any:
        local: Any = self.client._client
        return local._get_collection(name)

    def _info(self, name: str) -> Any:
        info = self.client.get_collection(name).model_dump(mode="json", exclude_none=True)
        if name in self.created:
            info["created_at"] = self.created[name]
        if self.strict:
            info["config"]["strict_mode_config"] = {"enabled": True, **self.strict}
        if self.quantization:
            info["config"]["quantization_config"] = self.quantization
        if name in self.custom.of:
            info["config"]["params"]["sharding_method"] = "custom"
        if self.version < "1.16":
            info["config"].pop("metadata", None)
        info |= self.described
        info["payload_schema"] = payload_schema(self.indexes)
        return info

    def _query(self, query: Any, *, top: bool = True) -> Any:
        self._limit(query.limit)
        self._indexed(query.filter)
        for each in (query.filter and query.filter.must) or []:
            ids = each.has_id if isinstance(each, models.HasIdCondition) else []
            if len(ids) > self.strict.get("condition_max_size", 1e9):
                raise Refused(400, "Bad request: Condition size exceeded. Help: Reduce it.")
        exact = self.strict.get("search_allow_exact", True)
        if query.using == "_rr_tokens" and not query.prefetch and not exact:
            text = "Request is forbidden on '_rr_tokens' because global vector HNSW is disabled."
            raise Refused(400, f"Bad request: {text} Help: Enable it.")
        if not top and self.shards > 1 and query.limit:
            query.limit *= self.shards
        if query.params is not None:
            self._exact(query.params.exact)
            if (query.params.hnsw_ef or 0) > self.strict.get("search_max_hnsw_ef", 1e9):
                raise Refused(400, "Bad request: Limit exceeded for hnsw_ef. Help: Reduce it.")
        query.params = None  # which local mode would warn of
        for each in query.prefetch if isinstance(query.prefetch, list) else []:
            self._query(each, top=False)
        return query

    def _exact(self, exact: bool | None) -> None:
        if exact and not self.strict.get("search_allow_exact", True):
            raise Refused(400, "Bad request: Exact search disabled. Help: Set exact=false.")

    def _rate(self, points: int) -> None:
        """Refuse what is more than a minute's writes; the pace of smaller ones is not looked at."""
        if points > self.strict.get("write_rate_limit", 1e9):
            text = "request larger than rate limiter capacity, please try to split your request"
            raise Refused(429, f"Rate limiting exceeded: Write rate limit exceeded, {text}")

    def _limit(self, limit: int | None) -> None:
        most = self.strict.get("max_query_limit", 1e9)
        if (limit or 10) > most:
            text = (
                f'Limit exceeded {limit} > {most} for "limit". Help: Reduce the "limit" parameter.'
            )
            raise Refused(400, f"Bad request: {text}")

    def _indexed(self, filter: models.Filter | None) -> None:
        if filter is None or self.strict.get("unindexed_filtering_retrieve", True):
            return
        refused = unindexed(filter, self.indexes)
        if refused is not None:
            key, kinds = refused
            raise Refused(
                400,
                f'Bad request: Index required but not found for "{key}" of one of the following '
                f"types: [{', '.join(kinds)}]. Help: Create an index for this key or use a "
                "different filter.",
            )


@contextmanager
def serving(stub: Stub, *, tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            _, _, path, query, _ = urlsplit(self.path)
            time.sleep(stub.delay_s)
            with stub.lock:
                status, content, headers = self.result(path, body, query)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

        def result(self, path: str, body: bytes, query: str) -> tuple[int, bytes, dict[str, str]]:
            stub.seen.append((self.command, path, json.loads(body) if body else None))
            stub.encodings.append(self.headers.get("accept-encoding", ""))
            if stub.api_key is not None and self.headers.get("api-key") != stub.api_key:
                return 401, b"Must provide an API key or an Authorization bearer token", {}
            if stub.faults:
                fault = stub.faults.pop(0)
                error = {"status": {"error": fault.error}, "time": 0.0}
                content = json.dumps(error).encode() if fault.error else fault.body
                return fault.status, content, fault.headers
            if len(body) > MAX_BODY:
                text = f"Payload error: JSON payload ({len(body)} bytes) is larger than allowed"
                return 400, f"{text} (limit: {MAX_BODY} bytes).".encode(), {}
            if path == "/":
                return 200, json.dumps({"title": stub.title, "version": stub.version}).encode(), {}
            try:
                stub.check_timeout(path, parse_qs(query))
                result = stub.handle(self.command, path, stub.seen[-1][2])
            except Refused as exc:
                error = {"status": {"error": str(exc)}, "time": 0.0}
                return exc.status, json.dumps(error).encode(), {}
            answer = {"result": result, "status": "ok", "time": 0.0}
            return 200, orjson.dumps(answer, default=_plain), {}  # NaN is null there, as in Rust

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "qdrant" if tls is None else "qdrant+https"
    stub.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/docs"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        stub.client.close()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
