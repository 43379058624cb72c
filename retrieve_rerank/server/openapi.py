"""What /openapi.json says of the endpoints: bodies, answers, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from retrieve_rerank.server.gate import OPEN
from retrieve_rerank.server.search import SearchRequest
from retrieve_rerank.server.shapes import PATHS, Shape
from retrieve_rerank.server.work import DEADLINE

_QUERY = "what is a panda?"
_TEXTS = ["hi", "The giant panda is a bear endemic to China.", "Paris is in France."]
_OBJECT: Mapping[str, Any] = {"type": "object"}
_SCORES: Mapping[str, Mapping[str, Any]] = {
    "tei": {"type": "array", "items": {"type": "object", "required": ["index", "score"]}},
    "voyage": {"type": "object", "required": ["object", "data", "model", "usage"]},
}

SUMMARIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "/v1/models": ("List the models that are served.", _OBJECT),
    "/tei/info": ("Describe a model, as text-embeddings-inference does.", _OBJECT),
    "/health": ("Tell that the process is alive.", _OBJECT),
    "/tei/health": ("Tell that the process is alive.", _OBJECT),
    "/ready": ("Tell whether to send requests: not while it warms up or drains.", _OBJECT),
    "/metrics": ("Show counters for Prometheus.", {"type": "string"}),
}

_REFUSALS = {
    400: "No JSON, or not as this vendor has it.",
    401: "No valid key.",
    403: "Without keys: a page of another host asks.",
    404: "No such model or index.",
    408: "The body came too slowly, or no answer within the request's own deadline.",
    413: "Too large.",
    415: "No JSON, or compressed.",
    422: "JSON that cannot be used.",
    429: "Too much is under way, or the key's quota is used up; Retry-After says when to come.",
    502: "A service behind this one refused.",
    503: "An index or a model is away.",
    504: "No answer within the server's deadline.",
}


_KEY = {"type": "http", "scheme": "bearer", "description": "A key of the server's."}

_DEADLINE: Mapping[str, Any] = {
    "name": DEADLINE,
    "in": "header",
    "description": "Seconds that the request may take.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_MODEL: Mapping[str, Any] = {
    "name": "model",
    "in": "query",
    "description": "A model that is served, in place of the body's.",
    "schema": {"type": "string"},
}


def describe(app: FastAPI, *, root_path: str, keys_needed: bool) -> None:
    """Say what the app is, where it is, and whether requests must bring a key."""
    app.title = "retrieve-rerank"
    app.version = version("retrieve-rerank")
    app.description = "Search an index and rerank what it finds; rerank texts."
    app.root_path = root_path
    if not keys_needed:
        return
    plain = app.openapi

    def with_keys() -> dict[str, Any]:
        described = plain()
        described.setdefault("components", {})["securitySchemes"] = {"key": _KEY}
        for path, operations in described["paths"].items():
            for its in operations.values():
                its["security"] = [] if path in OPEN else [{"key": []}]
        return described

    app.openapi = with_keys  # type: ignore[method-assign]  # as FastAPI's documentation has it


def operation(path: str) -> dict[str, Any]:
    """Return what FastAPI is told of the route at a path."""
    if path == "/search":
        summary = "Search an index and rerank what it finds."
        return _operation(summary, _OBJECT, [_schema(SearchRequest)], [_DEADLINE])
    if path in PATHS:
        shapes = PATHS[path]
        bodies = [{**_schema(shape.request), "examples": [_example(shape)]} for shape in shapes]
        answers = [_SCORES.get(shape.name, _OBJECT) for shape in shapes]
        names = " or ".join(shape.name for shape in shapes)
        content = answers[0] if len(answers) == 1 else {"anyOf": answers}
        summary = f"Rerank texts, in the shape of {names}."
        return _operation(summary, content, bodies, [_DEADLINE, _MODEL])
    summary, content = SUMMARIES[path]
    return _operation(summary, content, [], [_MODEL] if path == "/tei/info" else [])


def _operation(
    summary: str,
    content: Mapping[str, Any],
    bodies: Sequence[Mapping[str, Any]],
    parameters: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    kind = "text/plain" if content.get("type") == "string" else "application/json"
    statuses = _REFUSALS if bodies else {s: _REFUSALS[s] for s in (401, 403, 404, 429, 503)}
    refusals = {
        status: {"description": what, "content": {"application/json": {"schema": _OBJECT}}}
        for status, what in statuses.items()
    }
    found = {"description": "Successful Response", "content": {kind: {"schema": content}}}
    extra: dict[str, Any] = {"parameters": list(parameters)} if parameters else {}
    if bodies:
        schema = bodies[0] if len(bodies) == 1 else {"anyOf": list(bodies)}
        media = {"application/json": {"schema": schema}}
        extra["requestBody"] = {"required": True, "content": media}
    return {
        "summary": summary,
        "responses": {200: found, **refusals},
        "openapi_extra": extra,
    }


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _example(shape: Shape) -> Mapping[str, Any]:
    top = shape.request.model_fields["top"].alias or "top"
    return {"query": _QUERY, shape.texts: _TEXTS, top: 2}
