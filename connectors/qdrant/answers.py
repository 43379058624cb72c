"""What may come back from the client: checked here, for every call, before anything looks into it.

By REST the client has checked types, but of payloads and vectors; by gRPC protobuf has. That an
answer is to what was asked nobody has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import orjson
from qdrant_client import models

from retrieve_rerank.connectors.qdrant.key_order import ordered
from retrieve_rerank.errors import UnsupportedServerError
from retrieve_rerank.network.shapes import WrongShapeError, shallow

logger = logging.getLogger(__name__)

FLOAT32_MAX = 3.4028234663852886e38
"""Scores are of 32 bits: what is more, or no number, is of a vector that holds none."""

_NAMED, _WARNED_OF = 5, 1000  # points in a message, and in all messages

_NO_SCORE = b'"score":null'
"""What REST says in place of a score that is NaN or infinite."""


class Answers:
    """Reads the answers of one server."""

    def __init__(self, location: str, *, grpc: bool) -> None:
        self._location = location
        self._grpc = grpc
        self._warned_of: set[models.ExtendedPointId] = set()

    def read(self, method: str, arguments: Mapping[str, Any], answer: Any, notes: list[str]) -> Any:
        """Check an answer, and leave out of it what has no score, which `notes` is told of.

        Raises UnsupportedServerError where it is none to what was asked.
        """
        wrong = _CHECKS.get(method, _nothing)(arguments, answer) or _nested(method, answer)
        if wrong:
            raise UnsupportedServerError(
                f"{self._location} gave an answer that Qdrant would not give ({wrong}); does a "
                "proxy stand before it?"
            )
        if method == "query_batch_points" and (odd := _without_scores(answer)):
            named = ", ".join(map(str, odd[:_NAMED])) + (", …" if len(odd) > _NAMED else "")
            note = f"points whose vectors hold NaN or infinity are left out: {named}"
            notes.append(f"{note}; write them anew, or delete them")
            if not self._warned_of.issuperset(odd) and len(self._warned_of) < _WARNED_OF:
                logger.warning("%s: %s", self._location, notes[-1])
                self._warned_of.update(odd)
        return ordered(answer) if self._grpc else answer


def with_scores(response: httpx.Response) -> httpx.Response:
    """Put a number that is no score where REST has null, so that the client reads the others."""
    if _NO_SCORE not in response.content:
        return response
    try:
        answer = orjson.loads(response.content)
        points = [
            point
            for each in _listed(answer["result"])
            for point in _listed(each["points"])
            if point["score"] is None
        ]
    except (ValueError, KeyError, TypeError):  # another answer, or a payload that has a score
        return response
    for point in points:
        point["score"] = 10 * FLOAT32_MAX
    return httpx.Response(
        response.status_code, content=orjson.dumps(answer), request=response.request
    )


def _without_scores(answers: list[models.QueryResponse]) -> list[models.ExtendedPointId]:
    """Take the points without a score out of rankings; return their ids.

    A single vector with NaN or infinity in it, which gRPC lets in, would otherwise fail every
    search, or come first in it.
    """
    odd: dict[models.ExtendedPointId, None] = {}
    for answer in answers:
        points = answer.points
        if not all(abs(each.score) <= FLOAT32_MAX for each in points):  # NaN is not
            odd |= dict.fromkeys(p.id for p in points if not abs(p.score) <= FLOAT32_MAX)
            answer.points = [p for p in points if abs(p.score) <= FLOAT32_MAX]
    return list(odd)


def _nested(method: str, answer: Any) -> str | None:
    """Say where a payload is nested too deeply for code that calls itself."""
    points: list[Any] = []
    if method == "query_batch_points":
        points = [point for each in answer for point in each.points]
    elif method in ("retrieve", "scroll"):
        points = answer if method == "retrieve" else answer[0]
    try:
        shallow([point.payload for point in points])
    except WrongShapeError as exc:
        return f"a payload: {exc}"
    return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _rankings(arguments: Mapping[str, Any], answer: Any) -> str | None:
    asked = len(arguments["requests"])
    if len(answer) != asked:
        return f"{len(answer)} rankings, where {asked} were asked for"
    return None


def _records(arguments: Mapping[str, Any], answer: Any) -> str | None:
    asked = set(map(str, arguments["ids"]))
    strangers = [each.id for each in answer if str(each.id) not in asked]
    return f"point {strangers[0]!r:.50}, which was not asked for" if strangers else None


def _page(arguments: Mapping[str, Any], answer: Any) -> str | None:
    points, after = answer
    if after is not None and (not points or after == arguments.get("offset")):
        return "a page that is followed by itself"
    return None


def _number(arguments: Mapping[str, Any], answer: Any) -> str | None:
    return f"a count of {answer.count}" if answer.count < 0 else None


def _nothing(arguments: Mapping[str, Any], answer: Any) -> str | None:
    return None


_CHECKS: dict[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "query_batch_points": _rankings,
    "retrieve": _records,
    "scroll": _page,
    "count": _number,
}
