"""What the client raises, as our errors: the one place that knows its exceptions and texts."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from retrieve_rerank.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectorError,
    DeadlineExceededError,
    IndexCorruptError,
    IndexExistsError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    LimitExceededError,
    PermissionDeniedError,
    RateLimitedError,
    RetrieveRerankError,
    StorageFullError,
    UnknownFieldError,
    UnsupportedServerError,
)
from retrieve_rerank.network.answers import TooLargeError, pause_s, said

_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_IF_HTTPS = "if the server speaks https, expected qdrant+https://"

_BY_STATUS: dict[int, type[RetrieveRerankError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: IndexNotFoundError,
    408: DeadlineExceededError,
    409: IndexExistsError,
    413: LimitExceededError,
    429: RateLimitedError,
    502: ConnectionFailedError,
    503: ConnectionFailedError,
    504: ConnectionFailedError,
    507: StorageFullError,
}
_BY_CODE: dict[grpc.StatusCode, type[RetrieveRerankError]] = {
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: IndexNotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.ALREADY_EXISTS: IndexExistsError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimitedError,
    grpc.StatusCode.UNAVAILABLE: ConnectionFailedError,
    grpc.StatusCode.CANCELLED: ConnectionFailedError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedServerError,
}
# Searched in order, in lower case: the status alone tells too little.
_BY_TEXT: tuple[tuple[str, type[RetrieveRerankError]], ...] = (
    ("no space left", StorageFullError),
    ("disk full", StorageFullError),
    ("already accessed by another instance", IndexLockedError),
    ("api-key", AuthenticationError),
    ("api key", AuthenticationError),
    ("vector dimension error", IndexMismatchError),
    ("not aligned", IndexMismatchError),  # NumPy's words, in local mode
    ("not existing vector name", UnknownFieldError),
    ("is not found in the collection", UnknownFieldError),
    ("already exists", IndexExistsError),
    ("total size of all vectors", LimitExceededError),
    ("larger than allowed", LimitExceededError),
    ("larger than max", LimitExceededError),
    ("larger than rate limiter capacity", LimitExceededError),
    (". help: ", LimitExceededError),  # how each refusal of strict mode ends
)


def translated(
    exc: Exception, location: str, *, grpc_port: int | None = None
) -> RetrieveRerankError | None:
    """Turn what the client raised into the error that it means; None for an error in our code.

    `grpc_port` is where gRPC was tried, which the location does not say.
    """
    if isinstance(exc, ResourceExhaustedResponse):
        text = str(exc.message)  # or whatever the answer had in its place
        return _worded(text, location) or RateLimitedError(
            f"{location}: {said(text)}", pause_s(str(exc.retry_after_s))
        )
    if isinstance(exc, QdrantException):  # a Retry-After that is not a number of seconds
        wished = str(exc).partition("integer: ")[2]
        return RateLimitedError(f"{location}: too many requests", pause_s(wished))
    if isinstance(exc, ResponseHandlingException):
        return _of_transport(exc.source, location)
    if isinstance(exc, UnexpectedResponse):
        return _of_response(exc, location)
    if isinstance(exc, grpc.RpcError):
        code, text = _code(exc), str(_attribute(exc, "details") or "")
        if code is grpc.StatusCode.UNAVAILABLE:
            return _unavailable(said(text), location, grpc_port)
        return _worded(text, location) or _error(_BY_CODE.get(code, ConnectorError))(
            f"{location}: {said(text) or code.name}"
        )
    # What the client does not expect of an answer: no JSON, nested too deeply, no result in it.
    if isinstance(exc, json.JSONDecodeError | RecursionError | AssertionError):
        return UnsupportedServerError(_not_qdrant(location))
    return _of_local_mode(exc, location)


def _of_transport(source: Exception, location: str) -> RetrieveRerankError:
    if isinstance(source, httpx.ConnectTimeout):
        return ConnectionFailedError(f"{location} cannot be reached: no answer in time")
    if isinstance(source, httpx.TimeoutException):
        return DeadlineExceededError(f"{location} gave no answer in time")
    if isinstance(source, ValidationError | ValueError | RecursionError):
        return UnsupportedServerError(_not_qdrant(location))
    text = said(source) or type(source).__name__
    if isinstance(source.__cause__, TooLargeError):
        return LimitExceededError(f"{location}: {text}; ask for fewer documents")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ConnectionFailedError(
            f"{location}: its certificate is not trusted ({text}); name its authority with "
            "ca_certs, and see whether the clock of this machine is right",
            lasting=True,
        )
    if any(sign in text for sign in _NOT_TLS):
        return _no_https(text, location)
    if isinstance(source, httpx.TransportError):
        words = f"{location} cannot be reached, or broke off: {text}"
        if text.startswith("illegal"):  # what h11 says of HTTP/2
            return ConnectionFailedError(
                f"{words}. Is that gRPC's port? Expected REST's, 6333 where nothing else is set; "
                "for gRPC set grpc = true, and grpc_port unless it is the one after REST's"
            )
        hung_up = isinstance(source, httpx.RemoteProtocolError | httpx.ReadError)
        if hung_up and "+https" not in location:
            words += f"; {_IF_HTTPS}"
        return ConnectionFailedError(words)
    return ConnectorError(f"{location}: {text}")


def _unavailable(text: str, location: str, grpc_port: int | None) -> RetrieveRerankError:
    """Tell what keeps gRPC from being spoken."""
    port = f" by gRPC at port {grpc_port}" if grpc_port else ""
    if any(sign in text for sign in _NOT_TLS):
        return _no_https(text, f"{location}{port}")
    words = f"{location} cannot be reached{port}, or broke off: {text}"
    if any(sign in text for sign in ("Failed to connect", "Failed parsing HTTP/2", "http1.x")):
        words += (
            ". Expected REST's port in the URL (6333), and gRPC's after it (6334); grpc_port names "
            "another"
        )
    if "Socket closed" in text and "+https" not in location:
        words += f". {_IF_HTTPS}"
    return ConnectionFailedError(words)


def _no_https(text: str, location: str) -> RetrieveRerankError:
    return ConnectionFailedError(
        f"{location} does not speak https there ({text}); expected qdrant://, without +https",
        lasting=True,
    )


def _of_response(exc: UnexpectedResponse, location: str) -> RetrieveRerankError:
    status = exc.status_code or 0
    try:
        text = str(exc.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # Qdrant words its errors so; bodies that are too large are refused before it looks.
        text = exc.content.decode(errors="replace")
        if status in (301, 302, 307, 308, 404, 405):
            return UnsupportedServerError(_not_qdrant(location))
    if found := _worded(text, location):
        return found
    kind = _error(_BY_STATUS.get(status, ConnectorError))
    return kind(f"{location}: {said(text) or f'status {status}'}")


def _of_local_mode(exc: Exception, location: str) -> RetrieveRerankError | None:
    text = said(exc)
    if isinstance(exc, OSError):
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        return (StorageFullError if full else ConnectorError)(f"{location}: {text}")
    if isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError):
        return IndexCorruptError(f"{location} cannot be read: {text}")
    if isinstance(exc, NotImplementedError):
        return UnsupportedServerError(f"{location}: local mode cannot do that: {text}")
    if isinstance(exc, ValueError | KeyError | RuntimeError | sqlite3.Error):
        missing = text.startswith("Collection ") and text.endswith(" not found")
        return (
            IndexNotFoundError(f"{location}: {text}") if missing else _worded(text, location)
        ) or ConnectorError(f"{location}: {text}")
    return None


def _worded(text: str, location: str) -> RetrieveRerankError | None:
    lower = text.lower()
    for sign, kind in _BY_TEXT:
        if sign in lower:
            return kind(f"{location}: {said(text)}")
    return None


def _code(exc: grpc.RpcError) -> grpc.StatusCode:
    code = _attribute(exc, "code")
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _attribute(exc: grpc.RpcError, name: str) -> object:
    """Ask what a gRPC error knows; a bare RpcError has no methods."""
    method: Callable[[], object] | None = getattr(exc, name, None)
    return method() if method else None


def _error(kind: type[RetrieveRerankError]) -> Callable[[str], RetrieveRerankError]:
    return kind


def _not_qdrant(location: str) -> str:
    return (
        f"what answers at {location} is not Qdrant, or a proxy stands before it; see host, port "
        "(6333 by default) and whether it speaks https"
    )
