"""What `connect` and `rerank` are given, made into a retriever and a reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from os import PathLike, fspath
from typing import Any

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.config import build_retriever, build_stage, reranker_of
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline import Retriever
from retrieve_rerank.settings import StageSettings
from retrieve_rerank.settings_file import FOUND
from retrieve_rerank.settings_sources import settings_of
from retrieve_rerank.stage_choice import choose_stage
from retrieve_rerank.types import Document, rank

_OF_STAGE = ("model", "prompt", "depth", "weight")
_MODELS_KEPT = 4


def open_retriever(index: object, given: Mapping[str, Any], *, caller: str) -> Retriever:
    """Open `index` by what is `given`, see `connect`, which `caller` stands for in messages."""
    others = dict(given)
    config = others.pop("config", FOUND)
    rerank = others.pop("rerank", None)
    stage = {name: others.pop(name, None) for name in _OF_STAGE}
    settings = settings_of({**others, "index": _name(index)}, config=config, caller=caller)
    return build_retriever(choose_stage(settings, rerank, stage))


def rerank_texts(
    query: str,
    texts: Sequence[str | Document],
    *,
    model: str | None,
    reranker: str | None,
    top_k: int | None,
    options: Mapping[str, Any],
) -> RerankResult:
    """Rerank texts by a reranker that is kept, see `rerank`."""
    if not query.strip():
        raise InputError("the query is empty; expected text to rerank for")
    if isinstance(texts, str):
        raise InputError(f"expected a list of texts; got the one text {texts!r:.60}")
    documents = [_document(place, text) for place, text in enumerate(texts)]
    chosen = _kept(model, reranker, tuple(options.items()))
    return chosen.rerank(query, rank((document, 0.0) for document in documents), top_k=top_k)


def reranker_for(model: str | None, reranker: str | None, options: Mapping[str, Any]) -> Reranker:
    """Make the reranker that runs a model, or the one named; options that are None are left out."""
    named = {"reranker": reranker or reranker_of(model), "model": model, **options}
    stage = {name: value for name, value in named.items() if value is not None}
    return build_stage(StageSettings.model_validate(stage), MemoryConnector()).reranker


@lru_cache(maxsize=_MODELS_KEPT)
def _kept(
    model: str | None, reranker: str | None, options: tuple[tuple[str, Any], ...]
) -> Reranker:
    return reranker_for(model, reranker, dict(options))


def _name(index: object) -> str | None:
    """Return the name, folder or URL that an index is given by."""
    if index is None or isinstance(index, str):
        return index
    if isinstance(index, PathLike):
        path = fspath(index)
        return path if "/" in path or path.startswith((".", "~")) else f"./{path}"
    raise InputError(f"expected an index's name, folder or URL; got {type(index).__name__}")


def _document(place: int, text: str | Document) -> Document:
    if isinstance(text, Document):
        return text
    if isinstance(text, str):
        return Document(str(place), text)
    raise InputError(f"text {place}: expected a text or a Document; got {type(text).__name__}")
