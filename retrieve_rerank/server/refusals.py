"""What a request is refused for, as an HTTP status and a sentence for its sender."""

from __future__ import annotations

import math

from retrieve_rerank.errors import (
    ConfigError,
    ConnectionFailedError,
    ConnectorError,
    DeadlineExceededError,
    InputError,
    LimitExceededError,
    ModelError,
    OutOfMemoryError,
    RateLimitedError,
    RequestError,
    UnknownFieldError,
)

INVALID = 422
"""What cannot be used, though it is JSON; some vendors say 400."""

_LATER_S = 1.0


class Refusal(Exception):
    """An answer other than 200; the vendor's shape is put around it later."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after_s: float | None = None,
        close: bool = False,
    ) -> None:
        """`close` where what is left of the request is not to be read."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.close = close

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the answer has beside its body."""
        headers = {"Connection": "close"} if self.close else {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def refusal_for(error: Exception) -> Refusal:
    """Turn an error into what its sender is told: of what is not theirs to mend, little."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InputError | UnknownFieldError):
        return Refusal(INVALID, str(error))
    if isinstance(error, DeadlineExceededError):
        return Refusal(504, "no answer within the deadline")  # the error may say where the index is
    if isinstance(error, RateLimitedError):
        return Refusal(429, "the index has too many requests", retry_after_s=error.retry_after_s)
    if isinstance(error, LimitExceededError):
        return Refusal(INVALID, str(error))
    if isinstance(error, ConnectionFailedError):
        return Refusal(503, "the index cannot be reached", retry_after_s=_LATER_S)
    if isinstance(error, ConnectorError):
        return Refusal(503, "the index cannot be searched", retry_after_s=_LATER_S)
    if isinstance(error, OutOfMemoryError):
        return Refusal(503, "not enough memory for these documents", retry_after_s=_LATER_S)
    if isinstance(error, RequestError):
        return Refusal(502, "the model's service refused the request")
    if isinstance(error, ModelError | ConfigError):
        return Refusal(503, "the model cannot be run", retry_after_s=_LATER_S)
    return Refusal(500, "something went wrong; the server's log says what, under the request's id")
