"""Everything that the client can raise, and what both releases of the server were seen to say."""

from __future__ import annotations

import inspect
from typing import Any

import elastic_transport
import elasticsearch
import elasticsearch.helpers
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, TransportError

from retrieve_rerank.concurrency.retrying import may_pass
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request
from retrieve_rerank.connectors.elasticsearch.errors import (
    PointInTimeLostError,
    UnavailableError,
    refusal,
    translated,
)
from retrieve_rerank.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectorError,
    DeadlineExceededError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    LicenseError,
    LimitExceededError,
    PermissionDeniedError,
    RateLimitedError,
    RetrieveRerankError,
    SchemaError,
    StorageFullError,
    UnsupportedServerError,
)

HERE = "elasticsearch://here:9200/docs"
OF_HELPERS = {elasticsearch.helpers.BulkIndexError, elasticsearch.helpers.ScanError}
"""Raised by the client's own bulk and scan, which are not used here."""


def answer(status: int) -> ApiResponseMeta:
    return ApiResponseMeta(status, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "here", 9200))


def raised_by_the_client() -> set[type[Exception]]:
    found = set()
    for module in (elasticsearch, elasticsearch.exceptions, elastic_transport):
        for _, each in inspect.getmembers(module, inspect.isclass):
            if issubclass(each, Exception) and not issubclass(each, Warning):
                found.add(each)
    return found - OF_HELPERS


def instance(kind: type[Exception], status: int = 400) -> Any:
    if issubclass(kind, elastic_transport.ApiError):
        return kind("said", meta=answer(status), body={"error": "said"})
    return kind("said")


EXPECTED: dict[type[Exception], type[RetrieveRerankError]] = {
    elastic_transport.ConnectionError: ConnectionFailedError,
    elastic_transport.TlsError: ConnectionFailedError,
    elastic_transport.ConnectionTimeout: DeadlineExceededError,
    elastic_transport.SerializationError: UnsupportedServerError,
    elasticsearch.UnsupportedProductError: UnsupportedServerError,
}


def test_every_exception_of_the_client_becomes_one_of_ours() -> None:
    kinds = raised_by_the_client()
    assert len(kinds) >= 14
    for kind in kinds:
        error = translated(instance(kind), HERE)
        assert type(error) is EXPECTED.get(kind, ConnectorError), kind
        assert str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, ConnectorError),
        (409, ConnectorError),
        (413, LimitExceededError),
        (429, RateLimitedError),
        (500, ConnectorError),
        (502, ConnectionFailedError),
        (503, UnavailableError),
        (504, ConnectionFailedError),
    ],
)
def test_a_status_alone_says_something(status: int, expected: type[RetrieveRerankError]) -> None:
    assert type(translated(instance(elastic_transport.ApiError, status), HERE)) is expected


def body(kind: str, reason: str, *, cause: tuple[str, str] | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {
        "type": kind,
        "reason": reason,
        "root_cause": [{"type": kind, "reason": reason}],
    }
    if cause is not None:
        error["caused_by"] = {"type": cause[0], "reason": cause[1]}
    return {"error": error}


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (
            403,
            body(
                "security_exception",
                "current license is non-compliant for [Reciprocal Rank Fusion (RRF)]",
            ),
            LicenseError,
        ),
        (403, body("security_exception", "action [x] is unauthorized"), PermissionDeniedError),
        (404, body("index_not_found_exception", "no such index [docs]"), IndexNotFoundError),
        (
            404,
            body("search_context_missing_exception", "No search context found for id [1]"),
            PointInTimeLostError,
        ),
        (
            404,
            body(
                "search_context_missing_nodes_exception",
                "Search context of type [pit] references nodes that have left the cluster: [x]",
            ),
            PointInTimeLostError,
        ),
        (400, body("resource_already_exists_exception", "index [x] exists"), IndexExistsError),
        (
            400,
            body(
                "search_phase_execution_exception",
                "all shards failed",
                cause=(
                    "query_shard_exception",
                    "failed to create query: The query vector has a different number of "
                    "dimensions [2] than the document vectors [32].",
                ),
            ),
            IndexMismatchError,
        ),
        (
            400,
            body("x", "[knn] queries are only supported on [dense_vector] fields"),
            SchemaError,
        ),
        (
            400,
            body(
                "media_type_header_exception",
                "Accept version must be either version 8 or 7, but found 9",
            ),
            UnsupportedServerError,
        ),
        (400, body("parsing_exception", "unknown retriever [rrf]"), UnsupportedServerError),
        (400, body("parsing_exception", "unknown query [dense_vector]"), UnsupportedServerError),
        (
            400,
            body("illegal_argument_exception", "script_lang not supported [painless]"),
            UnsupportedServerError,
        ),
        (
            400,
            body("illegal_argument_exception", "Result window is too large, from + size must be"),
            LimitExceededError,
        ),
        (
            429,
            body("cluster_block_exception", "disk usage exceeded flood-stage watermark"),
            StorageFullError,
        ),
        (
            429,
            body(
                "search_phase_execution_exception",
                "all shards failed",
                cause=("search_timeout_exception", "Time exceeded"),
            ),
            DeadlineExceededError,
        ),
        (429, body("es_rejected_execution_exception", "rejected execution"), RateLimitedError),
        (
            503,
            body("search_phase_execution_exception", "no_shard_available_action_exception"),
            UnavailableError,
        ),
    ],
)
def test_what_a_server_says_tells_the_error(
    status: int, said: dict[str, Any], expected: type[RetrieveRerankError]
) -> None:
    error = refusal(status, said, HERE)
    assert type(error) is expected
    assert said["error"]["reason"] in str(error)
    assert HERE in str(error)


def test_a_busy_server_may_say_when_to_come_again() -> None:
    error = refusal(429, {"error": "busy"}, HERE, retry_after="7")
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        (elastic_transport.ConnectionError, 0, True),
        (elastic_transport.TlsError, 0, False),
        (elastic_transport.ConnectionTimeout, 0, False),
        (elastic_transport.ApiError, 429, True),
        (elastic_transport.ApiError, 503, True),
        (elastic_transport.ApiError, 500, False),
        (elastic_transport.ApiError, 401, False),
    ],
)
def test_only_what_may_pass_is_tried_again(
    kind: type[TransportError], status: int, expected: bool
) -> None:
    assert may_pass(translated(instance(kind, status), HERE)) is expected


def test_a_server_that_is_not_there_is_an_error_that_says_so() -> None:
    cluster = Cluster({"hosts": ["http://127.0.0.1:1"]}, location=HERE)
    with pytest.raises(ConnectionFailedError, match="cannot reach elasticsearch://here"):
        cluster.send(Request("GET", "/"), patience_s=0.0)
    cluster.close()
