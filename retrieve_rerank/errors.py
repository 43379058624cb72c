"""Every error that this library raises.

RetrieveRerankError
├── ConfigError              a setting, name or URL that cannot be used
├── InputError               an argument, record or file that cannot be used (a ValueError too)
├── NotPicklableError        what belongs to the process that opened it (a TypeError too)
├── MissingExtraError        an optional package is not installed (an ImportError too)
├── ModelError               a model that cannot be loaded or run
│   ├── ModelNotFoundError
│   │   └── NotPromotedError     no version of a model that was trained here is promoted
│   ├── OutOfMemoryError     even one text alone takes more memory than there is
│   ├── RequestError         a server of models cannot serve one request; it may serve others
│   └── FidelityError        an exported model strays too far from the original
├── ConnectorError           a search backend failed
│   ├── ConnectionFailedError    it cannot be reached, or broke off
│   ├── AuthenticationError      it does not know these credentials
│   ├── PermissionDeniedError    it knows them, and refuses
│   ├── LicenseError             its licence lacks a feature
│   ├── LimitExceededError       a request beyond its limits
│   ├── RateLimitedError         too many requests; try later
│   ├── UnsupportedServerError   it is something else, or too old
│   ├── SchemaError              what its fields are for cannot be told
│   ├── PartialWriteError        some documents were refused
│   ├── IndexNotFoundError
│   ├── IndexExistsError
│   ├── IndexLockedError     another process holds the index
│   ├── IndexMismatchError   the index was built with another model or other settings
│   ├── IndexCorruptError
│   ├── UnknownFieldError    a field that the index does not have
│   └── StorageFullError
├── CostLimitError           asking a model would cost more than was allowed
├── ProcessLostError         another process of the same training has ended
├── ScoreError               a reranker returned NaN or the wrong number of scores
└── DeadlineExceededError    no answer within the time given (a TimeoutError too)
"""

from __future__ import annotations

from collections.abc import Mapping


class RetrieveRerankError(Exception):
    """Base of every error raised by this library."""


class ConfigError(RetrieveRerankError):
    """A setting, a name or a URL cannot be used."""


class InputError(RetrieveRerankError, ValueError):
    """An argument, a record or a file cannot be used."""


class NotPicklableError(RetrieveRerankError, TypeError):
    """An object that belongs to the process that opened it was to be pickled or copied."""

    def __init__(self, it: object) -> None:
        super().__init__(
            f"a {type(it).__name__} cannot be pickled or copied: it holds open files, connections "
            "or loaded models. Pass on what it is made of, such as the index's name, and make it "
            "anew in the process that uses it"
        )


class MissingExtraError(RetrieveRerankError, ImportError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra '{extra}': pip install 'retrieve-rerank[{extra}]'"
        )
        self.feature = feature
        self.extra = extra


class ModelError(RetrieveRerankError):
    """A model cannot be loaded or run."""


class ModelNotFoundError(ModelError):
    """No model was found under the name given."""


class NotPromotedError(ModelNotFoundError):
    """A model that was trained here is named without a version, and none is promoted."""


class OutOfMemoryError(ModelError):
    """Even one text alone takes more memory than there is."""


class RequestError(ModelError):
    """A server of models refuses one request, or answers it with nonsense; others may go well."""


class FidelityError(ModelError):
    """An exported model's scores differ too much from the original's."""


class ConnectorError(RetrieveRerankError):
    """A search backend failed."""


class ConnectionFailedError(ConnectorError):
    """The server cannot be reached, or broke the connection off.

    `lasting` where trying again is of no use: it does not speak TLS, or is not trusted.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class AuthenticationError(ConnectorError):
    """The server does not know the credentials, or wants some."""


class PermissionDeniedError(ConnectorError):
    """The server knows the credentials, and refuses what was asked."""


class LicenseError(ConnectorError):
    """The server's licence does not include a feature."""


class LimitExceededError(ConnectorError):
    """A request is beyond what the server allows."""


class RateLimitedError(ConnectorError):
    """The server has too many requests; `retry_after_s` is when it says to come again."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnsupportedServerError(ConnectorError):
    """The server is not what its URL says, or too old."""


class SchemaError(ConnectorError):
    """What the fields of an index are for cannot be told, or not without being told."""


class PartialWriteError(ConnectorError):
    """The server refused some of the documents; the others are written."""

    def __init__(self, message: str, failures: Mapping[str, str]) -> None:
        super().__init__(message)
        self.failures = failures
        """Document id -> why it was refused."""


class IndexNotFoundError(ConnectorError):
    """No index exists under the name given."""


class IndexExistsError(ConnectorError):
    """An index exists already where a new one was to be made."""


class IndexLockedError(ConnectorError):
    """Another process holds the index."""


class IndexMismatchError(ConnectorError):
    """The index was built with another model, other dimensions or other settings."""


class IndexCorruptError(ConnectorError):
    """The files of an index cannot be read."""


class UnknownFieldError(ConnectorError):
    """A filter or a setting names a field that the index does not have."""


class StorageFullError(ConnectorError):
    """Too little disk space is left to go on writing."""


class CostLimitError(RetrieveRerankError):
    """Asking a model would cost more than was allowed; nothing was asked beyond that."""


class ProcessLostError(RetrieveRerankError):
    """Another of the processes that train together has ended, and so this one cannot go on."""


class ScoreError(RetrieveRerankError):
    """A reranker returned NaN, or not one score for each text."""


class DeadlineExceededError(RetrieveRerankError, TimeoutError):
    """No answer came within the time given."""


def shown(text: str, limit: int = 80) -> str:
    """Quote a text in a message: its beginning, where it is long."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}… ({len(text):,} characters)"
