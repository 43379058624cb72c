"""The shapes that clients of rerank services speak, as data: one `Shape` for each.

A shape says which fields a request has, how scores are answered, and how errors are. What is done
with a request does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from retrieve_rerank.server.refusals import INVALID

MOST_CHARACTERS = 1_000_000
"""Of one query or document; models read a few thousand of them."""

MOST_FIELDS = 20
"""Of an object that the model is to read."""

Text = Annotated[StrictStr, Field(max_length=MOST_CHARACTERS)]
Top = Annotated[StrictInt, Field(ge=1)]

UNNAMED = ("", "default/not-specified")
"""What clients send as a model where their user has named none."""


class RerankRequest(BaseModel):
    """What all shapes have in common; an alias is the name that a vendor gives a field.

    Fields that no shape knows are left alone: clients send options of their vendor's models.
    """

    model_config = ConfigDict(extra="ignore")

    model: StrictStr | None = None
    query: Annotated[Text, Field(min_length=1)]
    texts: list[Text] | list[Text | dict[str, Any]]
    top: Top | None = None
    returned: StrictBool = False
    """Whether the answer has the texts too."""
    raw: StrictBool = Field(default=False, alias="raw_scores")
    """Whether the answer has the model's own scores, not between 0 and 1."""
    truncate: StrictBool | None = None
    """Where false, a text that the model cannot read whole is an error."""
    rank_fields: Annotated[list[StrictStr], Field(max_length=MOST_FIELDS)] = ["text"]

    @field_validator("query")
    @classmethod
    def _not_blank(cls, query: str) -> str:
        if not query.strip():
            raise ValueError("expected a text to rerank for; got white space")
        return query

    @property
    def contents(self) -> list[str]:
        """What the model reads of each text: of an object the `rank_fields`."""
        return [
            text if isinstance(text, str) else " ".join(text[f] for f in self.rank_fields)
            for text in self.texts
        ]

    @model_validator(mode="after")
    def _have_texts(self) -> Self:
        for place, text in enumerate(self.texts):
            if isinstance(text, dict):
                length = 0
                for name in self.rank_fields:
                    value = text.get(name)
                    if not isinstance(value, str):
                        raise ValueError(f"document {place} has no text in its field {name:.40}")
                    length += len(value)
                if length > MOST_CHARACTERS:
                    most = f"{MOST_CHARACTERS:,} characters"
                    raise ValueError(f"document {place} has more than {most} in its rank_fields")
        return self


Documents = Annotated[list[Text | dict[str, Any]], Field(min_length=1)]


class DocumentsRequest(RerankRequest):
    """As Cohere has it, https://docs.cohere.com/v1/reference/rerank."""

    texts: Documents = Field(alias="documents")
    top: Top | None = Field(default=None, alias="top_n")
    returned: StrictBool = Field(default=False, alias="return_documents")


class JinaRequest(DocumentsRequest):
    """As https://api.jina.ai/redoc has it: texts are returned unless told otherwise."""

    returned: StrictBool = Field(default=True, alias="return_documents")


class VoyageRequest(RerankRequest):
    """As https://docs.voyageai.com/reference/reranker-api has it."""

    texts: Annotated[list[Text], Field(min_length=1)] = Field(alias="documents")
    top: Top | None = Field(default=None, alias="top_k")
    returned: StrictBool = Field(default=False, alias="return_documents")
    truncate: StrictBool | None = Field(default=None, alias="truncation")


class TextsRequest(RerankRequest):
    """As text-embeddings-inference has it; Elasticsearch's hugging_face service adds top_n."""

    texts: Annotated[list[Text], Field(min_length=1)]
    top: Top | None = Field(default=None, alias="top_n")
    returned: StrictBool = Field(default=False, alias="return_text")


@dataclass(frozen=True, slots=True)
class Ranked:
    """What is answered, best first."""

    request_id: str
    model: str
    rows: Sequence[tuple[int, float]]
    """(index among the texts, score)"""
    texts: Sequence[str] | None
    """All the texts, where the answer is to have them."""
    tokens: int
    """What the model read, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How one vendor's clients ask, and what they understand."""

    name: str
    request: type[RerankRequest]
    answer: Callable[[Ranked], Any]
    error: Callable[[int, str, str], Mapping[str, Any]]
    """(status, message, request's id) -> the body."""
    texts: str = "documents"
    """The field that holds the texts."""
    invalid: int = INVALID
    """Status for a body that is JSON and yet cannot be used."""


def _rows(ranked: Ranked, *, score: str, text: Callable[[str], Mapping[str, Any]]) -> list[Any]:
    texts = ranked.texts
    return [
        {"index": index, score: value, **({} if texts is None else text(texts[index]))}
        for index, value in ranked.rows
    ]


def _as_object(text: str) -> Mapping[str, Any]:
    return {"document": {"text": text}}


def _results(ranked: Ranked) -> list[Any]:
    return _rows(ranked, score="relevance_score", text=_as_object)


def _usage(ranked: Ranked) -> Mapping[str, int]:
    return {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens}


def _meta(version: str) -> Mapping[str, Any]:
    return {"api_version": {"version": version}, "billed_units": {"search_units": 1}}


def _detail(status: int, message: str, request_id: str) -> Mapping[str, Any]:
    return {"detail": message}


def _cohere_error(status: int, message: str, request_id: str) -> Mapping[str, Any]:
    return {"id": request_id, "message": message}


_TEI_KINDS = {413: "Validation", INVALID: "Validation", 429: "Overloaded", 503: "Unhealthy"}


def _tei_error(status: int, message: str, request_id: str) -> Mapping[str, Any]:
    return {"error": message, "error_type": _TEI_KINDS.get(status, "Backend")}


def _any_error(status: int, message: str, request_id: str) -> Mapping[str, Any]:
    return {"id": request_id, "message": message, "detail": message, "error": message}


def _cohere(version: str) -> Shape:
    return Shape(
        f"cohere-v{version}",
        DocumentsRequest,
        lambda ranked: {
            "id": ranked.request_id,
            "results": _results(ranked),
            "meta": _meta(version),
        },
        _cohere_error,
        invalid=400,
    )


COHERE_V1, COHERE_V2 = _cohere("1"), _cohere("2")

JINA = Shape(
    "jina",
    JinaRequest,
    lambda ranked: {
        "model": ranked.model,
        "object": "list",
        "usage": {"total_tokens": ranked.tokens},
        "results": _results(ranked),
    },
    _detail,
)

VOYAGE = Shape(
    "voyage",
    VoyageRequest,
    lambda ranked: {
        "object": "list",
        "data": _rows(ranked, score="relevance_score", text=lambda text: {"document": text}),
        "model": ranked.model,
        "usage": {"total_tokens": ranked.tokens},
    },
    _detail,
    invalid=400,
)

TEI = Shape(
    "tei",
    TextsRequest,
    lambda ranked: _rows(ranked, score="score", text=lambda text: {"text": text}),
    _tei_error,
    texts="texts",
)

# What clients of Cohere v1, of Jina, of vLLM and of Infinity read, in one answer. `object` is
# Infinity's, whose client takes no other; Jina's do not look at it.
DOCUMENTS = Shape(
    "documents",
    DocumentsRequest,
    lambda ranked: {
        "id": ranked.request_id,
        "object": "rerank",
        "model": ranked.model,
        "usage": _usage(ranked),
        "results": _results(ranked),
        "meta": _meta("1"),
    },
    _any_error,
)

PATHS: Mapping[str, Sequence[Shape]] = {
    "/cohere/v1/rerank": [COHERE_V1],
    "/cohere/v2/rerank": [COHERE_V2],
    "/jina/v1/rerank": [JINA],
    "/voyage/v1/rerank": [VOYAGE],
    "/tei/rerank": [TEI],
    "/rerank": [DOCUMENTS, TEI],
    "/v1/rerank": [DOCUMENTS, TEI],
    "/v2/rerank": [COHERE_V2, TEI],
}
"""Path -> the shapes that are told apart there by the field that holds the texts."""


def shape_of(shapes: Sequence[Shape], content: Any) -> Shape:
    """Choose by the field in which the texts are; the first shape where there is none."""
    if isinstance(content, Mapping):
        for shape in shapes:
            if shape.texts in content:
                return shape
    return shapes[0]


def errors_at(path: str) -> Callable[[int, str, str], Mapping[str, Any]]:
    """Return how errors are told at a path."""
    if path in PATHS:
        return PATHS[path][0].error
    for shapes in PATHS.values():
        if path.startswith(f"/{shapes[0].name.partition('-')[0]}/"):
            return shapes[0].error
    return _our_error


def _our_error(status: int, message: str, request_id: str) -> Mapping[str, Any]:
    return {"error": {"status": status, "message": message}, "request_id": request_id}
