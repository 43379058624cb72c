"""Answers as reranking services document them: best document first, each with its index."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from tests.models.embedding_server import Reply, ok


def score(query: str, text: str) -> float:
    """The server's score of a text."""
    return round(zlib.crc32(f"{query}|{text}".encode()) / 2**32, 6)


def documented(path: str, body: Any) -> Reply:
    """Answer a request to one of the services."""
    if path == "/info":
        return ok({"model_id": "BAAI/bge-reranker-base", "model_sha": "abc", "version": "1.8"})
    if path in ("/v1/rerank", "/v2/rerank") and "truncation" in body:
        rows = _sorted(body["query"], body["documents"], "relevance_score")
        usage = {"total_tokens": 26}
        return ok({"object": "list", "data": rows, "model": body["model"], "usage": usage})
    if path in ("/v1/rerank", "/v2/rerank"):
        rows = _sorted(body["query"], body["documents"], "relevance_score")
        return ok({"id": "07734bd2", "results": rows, "meta": {"api_version": {"version": "2"}}})
    if path == "/rerank" and "texts" in body:
        if len(body["texts"]) > 32:
            message = f"batch size {len(body['texts'])} > maximum allowed batch size 32"
            return 422, {}, b'{"error": "%s", "error_type": "Validation"}' % message.encode()
        return ok(_sorted(body["query"], body["texts"], "score"))
    if path == "/rerank":
        rows = _sorted(body["query"], body["documents"], "relevance_score")
        for row in rows:
            row["document"] = {"text": body["documents"][row["index"]]}
        return ok({"id": "rerank-fae", "model": "m", "usage": {}, "results": rows})
    if path == "/score":
        rows = [
            {"index": index, "object": "score", "score": score(body["text_1"], text)}
            for index, text in enumerate(body["text_2"])
        ]
        return ok({"id": "score-1", "object": "list", "created": 1, "model": "m", "data": rows})
    if path == "/":
        inputs = body["inputs"]
        return ok({"scores": _sorted(inputs["query"], inputs["texts"], "score")})
    return 404, {}, b"404 page not found"


def _sorted(query: str, texts: Sequence[str], key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"index": index, key: score(query, text)} for index, text in enumerate(texts)
    ]
    return sorted(rows, key=lambda row: -row[key])
