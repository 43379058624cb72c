"""What Elasticsearch and its client say when something fails, as our errors.

The one place that reads their texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from elastic_transport import (
    ApiError,
    ConnectionError,
    ConnectionTimeout,
    SerializationError,
    TlsError,
    TransportError,
)
from elasticsearch import UnsupportedProductError

from retrieve_rerank.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    ConnectorError,
    DeadlineExceededError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    InputError,
    LicenseError,
    LimitExceededError,
    PermissionDeniedError,
    RateLimitedError,
    RetrieveRerankError,
    SchemaError,
    StorageFullError,
    UnsupportedServerError,
)
from retrieve_rerank.network.answers import TooLargeError, UnreadableError, pause_s, said
from retrieve_rerank.network.shapes import WrongShapeError

_NOT_OURS = (
    "is not Elasticsearch, or what stands before it hides that it is (the header "
    "X-Elastic-Product is missing). OpenSearch is not supported; let a proxy pass all headers on"
)
_LOOK = "does a proxy or a login page stand before the server?"


class PointInTimeLostError(ConnectorError):
    """The view of the index that a scan was walking through is gone."""


class UnavailableError(ConnectionFailedError):
    """Some of an index's shards have no node that serves them at the moment."""


class TooManyWordsError(LimitExceededError):
    """A query, or a filter, has more parts than the server takes."""


_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure")
"""What TLS says of an answer in plain HTTP."""

_HUNG_UP = ("Remote end closed connection", "Server disconnected", "Connection reset", "aborted")
"""What a client says of a server that hangs up, as those do which expect TLS."""

_BY_TEXT: tuple[tuple[str, type[RetrieveRerankError]], ...] = (
    ("search_timeout_exception", DeadlineExceededError),  # its status is 429
    ("license is non-compliant", LicenseError),
    ("search_context_missing_exception", PointInTimeLostError),
    ("search_context_missing_nodes_exception", PointInTimeLostError),
    ("index_not_found_exception", IndexNotFoundError),
    ("resource_already_exists_exception", IndexExistsError),
    ("already exists as alias", IndexExistsError),
    ("invalid_index_name_exception", ConfigError),
    ("flood-stage", StorageFullError),
    ("different number of dimensions", IndexMismatchError),
    ("different dimension", IndexMismatchError),
    ("queries are only supported on [dense_vector] fields", SchemaError),
    ("its mapping must have [index] set to [true]", SchemaError),
    ("media_type_header_exception", UnsupportedServerError),
    ("unknown retriever", UnsupportedServerError),
    ("unknown query", UnsupportedServerError),
    ("script_lang not supported", UnsupportedServerError),
    ("no_shard_available_action_exception", UnavailableError),
    ("unavailable_shards_exception", UnavailableError),
    ("Result window is too large", LimitExceededError),
    ("cannot exceed [10000]", LimitExceededError),
    ("too_many_nested_clauses", TooManyWordsError),
    ("too_many_clauses", TooManyWordsError),
    ("Limit of total fields", LimitExceededError),
    ("content_too_long", LimitExceededError),
    ("failed to parse date field", InputError),
    ("failed to create query", InputError),
)
"""What an answer says -> what it means; the first that fits."""

_BY_STATUS: Mapping[int, type[RetrieveRerankError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    413: LimitExceededError,
    429: RateLimitedError,
    502: ConnectionFailedError,
    503: UnavailableError,
    504: ConnectionFailedError,
}

_WHAT_TO_DO: Mapping[type[RetrieveRerankError], str] = {
    AuthenticationError: "check the user and password, or the API key: it may have expired",
    PermissionDeniedError: "ask for the privileges read and view_index_metadata on the index",
    LicenseError: "do without it, or use a licence that has it",
    InputError: "does the filter ask for what its field cannot hold?",
    TooManyWordsError: "shorten the query, or its filter",
    StorageFullError: "free disk space on the server",
}


def translated(
    exc: ApiError | TransportError | WrongShapeError, location: str
) -> RetrieveRerankError:
    """Turn what the client raised into the error that it means."""
    if isinstance(exc, UnsupportedProductError):
        return UnsupportedServerError(f"the server of {location} {_NOT_OURS}")
    if isinstance(exc, ApiError):
        return refusal(exc.meta.status, exc.body, location, exc.meta.headers.get("retry-after"))
    if isinstance(exc, ConnectionTimeout):
        return DeadlineExceededError(f"no answer from {location} within the time given")
    if isinstance(exc, WrongShapeError):
        return UnsupportedServerError(
            f"{location} answers otherwise than Elasticsearch: {said(exc)}; {_LOOK}"
        )
    reason = str(exc.message)  # of which str(exc) tells the kind alone
    if unreadable := _unreadable(exc):
        if isinstance(unreadable, TooLargeError):
            return LimitExceededError(f"{location}: {unreadable}; ask for fewer documents at once")
        return UnsupportedServerError(f"{location}: {unreadable}; {_LOOK}")
    if isinstance(exc, TlsError) and any(sign in reason for sign in _NOT_TLS):
        return ConnectionFailedError(
            f"{location} does not speak https there; expected elasticsearch://, without +https",
            lasting=True,
        )
    if isinstance(exc, TlsError):
        return ConnectionFailedError(
            f"no trust between here and {location}: {said(exc)}; check ca_certs or fingerprint, "
            "and the clocks if the certificate is said to be expired or not yet valid",
            lasting=True,
        )
    if isinstance(exc, ConnectionError):
        message = f"cannot reach {location}: {said(exc)}"
        if any(sign in reason for sign in _HUNG_UP) and "+https" not in location:
            message += "; if the server speaks https, expected elasticsearch+https://"
        return ConnectionFailedError(message)
    if isinstance(exc, SerializationError):
        return UnsupportedServerError(
            f"what {location} answers is not JSON: {said(reason)}; {_LOOK}"
        )
    return ConnectorError(f"{location} failed: {said(exc)}")


def _unreadable(exc: TransportError) -> UnreadableError | None:
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, UnreadableError):
        cause = cause.__cause__
    return cause


def refusal(
    status: int, body: Any, location: str, retry_after: str | None = None
) -> RetrieveRerankError:
    """Turn an answer with an error into the error that it means."""
    texts = list(dict.fromkeys(_texts(body.get("error", body) if isinstance(body, dict) else body)))
    words = "; ".join(texts)
    kind = next((error for text, error in _BY_TEXT if text in words), None)
    kind = kind or _BY_STATUS.get(status, ConnectorError)
    if kind is RateLimitedError:
        message = f"{location} has too much to do: {said(words) or 'HTTP status 429'}"
        return RateLimitedError(message, pause_s(retry_after))
    advice = f"; {_WHAT_TO_DO[kind]}" if kind in _WHAT_TO_DO else ""
    return kind(f"{location}: {said(words) or f'HTTP status {status}'}{advice}")


def refused_within(answer: Mapping[str, Any], location: str) -> RetrieveRerankError | None:
    """Return what went wrong with a part of an answer to _msearch or _mget, None if nothing did."""
    for part in (*answer.get("responses", ()), *answer.get("docs", ())):
        if "error" in part:
            return refusal(part.get("status", 400), part, location)
    return None


def _texts(error: Any, deep: int = 10) -> Iterator[str]:
    """List what an error says, of all its causes; the types where they say more."""
    if not deep:
        return
    if isinstance(error, str):
        yield error
    elif isinstance(error, dict):
        reason, kind = error.get("reason"), error.get("type")
        if isinstance(reason, str) and reason:
            yield f"{reason} ({kind})" if kind else reason
        elif isinstance(reason, dict):
            yield from _texts(reason, deep - 1)
        for name in ("root_cause", "caused_by", "failed_shards"):
            yield from _texts(error.get(name), deep - 1)
    elif isinstance(error, list):
        for each in error:
            yield from _texts(each, deep - 1)
