"""Every error of the client arrives as one of ours."""

from __future__ import annotations

import errno
import inspect
import json
import sqlite3
from typing import Any

import grpc
import httpx
import pytest
import qdrant_client.common.client_exceptions as client_exceptions
import qdrant_client.http.exceptions as http_exceptions
from pydantic import TypeAdapter, ValidationError

from retrieve_rerank import errors
from retrieve_rerank.concurrency.retrying import may_pass
from retrieve_rerank.connectors.qdrant.errors import translated

WHERE = "qdrant://host:6333/docs"
REQUEST = httpx.Request("GET", "http://host:6333")


def response(status: int, error: str | bytes = "no") -> http_exceptions.UnexpectedResponse:
    body = error if isinstance(error, bytes) else json.dumps({"status": {"error": error}}).encode()
    return http_exceptions.UnexpectedResponse(status, "", body, httpx.Headers())


def transport(source: Exception) -> http_exceptions.ResponseHandlingException:
    return http_exceptions.ResponseHandlingException(source)


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    return caught.value


class Rpc(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    def __init__(self, code: grpc.StatusCode, details: str = "no") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


STRICT = (
    'Bad request: Index required but not found for "x" of one of the following types: [keyword]. '
    "Help: Create an index for this key or use a different filter."
)
CASES: list[tuple[Exception, type[Exception]]] = [
    (client_exceptions.ResourceExhaustedResponse("slow", 3), errors.RateLimitedError),
    (client_exceptions.QdrantException("Retry-After is a date"), errors.RateLimitedError),
    (
        response(400, "Wrong input: Vector dimension error: expected dim: 64, got 2"),
        errors.IndexMismatchError,
    ),
    (response(400, "Wrong input: Not existing vector name error: zz"), errors.UnknownFieldError),
    (response(400, STRICT), errors.LimitExceededError),
    (
        response(400, b"Payload error: JSON payload (33554433 bytes) is larger than allowed"),
        errors.LimitExceededError,
    ),
    (response(400, "Wrong input: something"), errors.ConnectorError),
    (
        response(401, b"Must provide an API key or an Authorization bearer token"),
        errors.AuthenticationError,
    ),
    (response(403, "Forbidden: Global manage access is required"), errors.PermissionDeniedError),
    (response(403, b"Invalid api-key"), errors.AuthenticationError),
    (response(404, "Not found: Collection `x` doesn't exist!"), errors.IndexNotFoundError),
    (response(404, b"<html>"), errors.UnsupportedServerError),
    (response(307, b""), errors.UnsupportedServerError),
    (response(405, b""), errors.UnsupportedServerError),
    (response(408, "Timeout"), errors.DeadlineExceededError),
    (response(409, "Wrong input: Collection `x` already exists!"), errors.IndexExistsError),
    (response(413, b"too large"), errors.LimitExceededError),
    (
        response(
            422, "Validation error: Total size of all vectors (1048592) must be less than 1048576"
        ),
        errors.LimitExceededError,
    ),
    (response(422, "Validation error in JSON body"), errors.ConnectorError),
    (response(429, "later"), errors.RateLimitedError),
    (response(500, "Service internal error: No space left on device"), errors.StorageFullError),
    (response(500, "Service internal error"), errors.ConnectorError),
    (response(502, b""), errors.ConnectionFailedError),
    (response(503, "shard unavailable"), errors.ConnectionFailedError),
    (response(504, b""), errors.ConnectionFailedError),
    (response(507, "full"), errors.StorageFullError),
    (transport(httpx.ConnectError("refused", request=REQUEST)), errors.ConnectionFailedError),
    (transport(httpx.ConnectTimeout("t", request=REQUEST)), errors.ConnectionFailedError),
    (transport(httpx.ReadTimeout("t", request=REQUEST)), errors.DeadlineExceededError),
    (transport(httpx.WriteTimeout("t", request=REQUEST)), errors.DeadlineExceededError),
    (transport(httpx.PoolTimeout("t", request=REQUEST)), errors.DeadlineExceededError),
    (transport(httpx.RemoteProtocolError("t", request=REQUEST)), errors.ConnectionFailedError),
    (transport(invalid()), errors.UnsupportedServerError),
    (transport(RuntimeError("the client has been closed")), errors.ConnectorError),
    (json.JSONDecodeError("x", "<html>", 0), errors.UnsupportedServerError),
    (grpc.RpcError(), errors.ConnectorError),
    (Rpc(grpc.StatusCode.INVALID_ARGUMENT, STRICT), errors.LimitExceededError),
    (ValueError("Collection zz not found"), errors.IndexNotFoundError),
    (ValueError("Collection docs already exists"), errors.IndexExistsError),
    (ValueError("Dense vector zz is not found in the collection"), errors.UnknownFieldError),
    (
        ValueError("shapes (7,2) and (3,) not aligned: 2 (dim 1) != 3 (dim 0)"),
        errors.IndexMismatchError,
    ),
    (ValueError("something"), errors.ConnectorError),
    (KeyError(99), errors.ConnectorError),
    (NotImplementedError("snapshots"), errors.UnsupportedServerError),
    (
        RuntimeError("Storage folder x is already accessed by another instance"),
        errors.IndexLockedError,
    ),
    (OSError(errno.ENOSPC, "No space left on device"), errors.StorageFullError),
    (PermissionError(errno.EACCES, "denied"), errors.ConnectorError),
    (sqlite3.OperationalError("database or disk full"), errors.StorageFullError),
    (sqlite3.DatabaseError("file is not a database"), errors.IndexCorruptError),
]


@pytest.mark.parametrize(("raised", "expected"), CASES)
def test_each_failure_has_its_error(raised: Exception, expected: type[Exception]) -> None:
    error = translated(raised, WHERE)
    assert type(error) is expected
    assert WHERE in str(error)


def test_every_exception_class_of_the_client_is_among_them() -> None:
    known = {
        cls
        for module in (http_exceptions, client_exceptions)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, Exception) and cls.__module__ == module.__name__
    }
    bases = {http_exceptions.ApiException}  # never raised itself
    assert known - bases == {type(raised) for raised, _ in CASES} & known


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_status_of_grpc_has_an_error(code: grpc.StatusCode) -> None:
    expected: dict[Any, type[Exception]] = {
        grpc.StatusCode.UNAUTHENTICATED: errors.AuthenticationError,
        grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
        grpc.StatusCode.NOT_FOUND: errors.IndexNotFoundError,
        grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
        grpc.StatusCode.ALREADY_EXISTS: errors.IndexExistsError,
        grpc.StatusCode.RESOURCE_EXHAUSTED: errors.RateLimitedError,
        grpc.StatusCode.UNAVAILABLE: errors.ConnectionFailedError,
        grpc.StatusCode.CANCELLED: errors.ConnectionFailedError,
        grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedServerError,
    }
    assert type(translated(Rpc(code), WHERE)) is expected.get(code, errors.ConnectorError)


def test_an_error_in_our_own_code_is_not_hidden() -> None:
    assert translated(TypeError("unexpected argument"), WHERE) is None
    assert translated(AttributeError("x"), WHERE) is None


def test_an_untrusted_certificate_says_what_to_do() -> None:
    source = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] not yet valid", request=REQUEST)
    error = translated(transport(source), WHERE)
    assert "ca_certs" in str(error)
    assert "clock" in str(error)
    assert error is not None
    assert not may_pass(error)


def test_only_what_may_pass_is_transient() -> None:
    passing = (errors.ConnectionFailedError, errors.RateLimitedError)
    for raised, expected in CASES:
        error = translated(raised, WHERE)
        assert error is None or may_pass(error) is (expected in passing)
