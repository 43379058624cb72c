"""JSON in requests and answers: what comes is bounded, and what goes can always be written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from retrieve_rerank.server.refusals import INVALID, Refusal
from retrieve_rerank.server.visit import Visit

BODY_S = 30.0
"""Seconds in which a body must have come."""

AT_ONCE = 16
"""How many bodies of the largest size the server holds at once, read or worked on."""

_NAMED = 3  # mistakes in one message

M = TypeVar("M", bound=BaseModel)


class Bodies:
    """Read the bodies of requests, each bounded and all that are held together; for one event loop.

    A body is held until `release`.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most = most_bytes
        self.held = 0

    async def read(self, request: Request, visit: Visit) -> Any:
        """Read one; raise Refusal where it is too large, too slow or no JSON, or there is no room.

        The visit counts what is held of it.
        """

        def hold(count: int) -> None:
            visit.body_bytes += count
            self.held += count
            if self.held > AT_ONCE * self._most:
                message = "too many large requests are under way"
                raise Refusal(429, message, retry_after_s=1.0, close=True)

        return await _read_json(request, hold, most_bytes=self._most)

    def release(self, count: int) -> None:
        """Hold so many bytes no more."""
        self.held -= count


def check_count(content: Any, field: str, *, most: int) -> None:
    """Raise Refusal where a list is too long, before each of its items is looked at."""
    items = content.get(field) if isinstance(content, Mapping) else None
    if isinstance(items, list) and len(items) > most:
        raise Refusal(413, f"expected at most {most:,} {field}; got {len(items):,}")


async def _read_json(request: Request, hold: Callable[[int], None], *, most_bytes: int) -> Any:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise Refusal(415, f"expected Content-Type application/json; got {kind[:60]!r}", close=True)
    if "content-encoding" in request.headers:
        raise Refusal(415, "expected a body that is not compressed", close=True)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                hold(len(part))
                body += part
                if len(body) > most_bytes:
                    raise _too_large(most_bytes)
    except TimeoutError as exc:
        raise Refusal(408, f"the body did not come within {BODY_S:g} s", close=True) from exc
    except ClientDisconnect as exc:
        raise Refusal(400, "the connection broke off", close=True) from exc
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        if b"\\ud" in body.lower():  # half a surrogate pair, which some clients write
            return _without_halves(body)
        raise Refusal(400, f"the body is not JSON: {exc}") from exc


def checked(model: type[M], content: Any) -> M:
    """Read a body's JSON into a model; raise Refusal, saying what is wrong and where."""
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise Refusal(INVALID, f"expected a JSON object; got {kind}")
    try:
        return model.model_validate(content)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=False, include_context=False)
        told = [
            f"{'.'.join(map(str, error['loc'])) or 'body'}: "
            f"{error['msg'].replace('Input should be', 'expected').removeprefix('Value error, ')}"
            for error in errors[:_NAMED]
        ]
        more = [f"and {len(errors) - _NAMED} more"] if len(errors) > _NAMED else []
        raise Refusal(INVALID, "; ".join([*told, *more])[:500]) from None


def answer(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Write JSON; numbers that JSON lacks become null, halves of surrogate pairs "?"."""
    try:
        body = orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a text that is no UTF-8, or a whole number beyond 64 bits
        plain = json.loads(json.dumps(content, default=str), parse_constant=lambda _: None)
        body = json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, dict(headers or {}), media_type="application/json")


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(413, f"the body has more than {most_bytes:,} bytes", close=True)


def _without_halves(body: bytearray) -> Any:
    try:
        read = json.loads(body, parse_constant=_no_number)
        text = json.dumps(read, ensure_ascii=False, allow_nan=False)
        return orjson.loads(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, "the body is not JSON") from exc


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
