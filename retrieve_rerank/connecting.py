"""What `connect` and `rerank` are given, made into a retriever and a reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from os import PathLike, fspath
from typing import Any

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.settings.brought import address_of, embedder_of, read_store
from retrieve_rerank.settings.build import (
    ON_ANY_CLIENT,
    build_retriever,
    build_stage,
    locate,
    open_index,
    open_on_client,
    reranker_of,
)
from retrieve_rerank.settings.file import FOUND
from retrieve_rerank.settings.promoted import index_address, with_promoted
from retrieve_rerank.settings.sources import (
    ConnectionSettings,
    FieldSettings,
    IndexSettings,
    StageSettings,
    settings_of,
)
from retrieve_rerank.settings.stage_choice import choose_stage
from retrieve_rerank.types import Document, rank

_OF_STAGE = ("model", "prompt", "depth", "weight")
_WITH_CLIENT = {*FieldSettings.model_fields, *ON_ANY_CLIENT}
_MODELS_KEPT = 4


def open_retriever(
    index: str | PathLike[str] | object | None, given: Mapping[str, Any], *, caller: str
) -> Retriever:
    """Open `index` by what is `given`, see `connect`, which `caller` stands for in messages."""
    others = dict(given)
    config = others.pop("config", FOUND)
    rerank = others.pop("rerank", None)
    client, encoder = others.pop("client", None), others.pop("encoder", None)
    if index is not None and not isinstance(index, str | PathLike):
        store = read_store(index)
        if client is not None:
            raise InputError("a vector store brings its own client; leave client out")
        client, index = store.client, store.index
        encoder = store.encoder if encoder is None else encoder
        others = {**store.fields, **others}
    stage = {name: others.pop(name, None) for name in _OF_STAGE}
    named = None if encoder is None else embedder_of(encoder)
    given_encoder = None if isinstance(named, str) else named
    words = {**others, "encoder": named} if isinstance(named, str) else others
    settings = settings_of({**words, "index": _name(index)}, config=config, caller=caller)
    url = None if client is None else address_of(client, _on_client(index))
    if "stages" not in given:
        where = locate(settings) if url is None else IndexSettings(url=url)
        settings = with_promoted(settings, index_address(where))
    settings = choose_stage(settings, rerank, stage)
    if url is None:
        return build_retriever(settings, partial(open_index, encoder=given_encoder))
    if access := others.keys() & (ConnectionSettings.model_fields.keys() - _WITH_CLIENT):
        raise InputError(f"{min(access)} is the client's own; leave it out")
    return build_retriever(
        settings,
        lambda settings: open_on_client(settings, client, url, encoder=given_encoder),
    )


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
    return stage_for(model, reranker, options).reranker


def stage_for(model: str | None, reranker: str | None, options: Mapping[str, Any]) -> Stage:
    """Make the stage of such a reranker, for hits of any origin."""
    named = {"reranker": reranker or reranker_of(model), "model": model, **options}
    stage = {name: value for name, value in named.items() if value is not None}
    return build_stage(StageSettings.model_validate(stage), MemoryConnector())


@lru_cache(maxsize=_MODELS_KEPT)
def _kept(
    model: str | None, reranker: str | None, options: tuple[tuple[str, Any], ...]
) -> Reranker:
    return reranker_for(model, reranker, dict(options))


def _name(index: str | PathLike[str] | None) -> str | None:
    """Return the name, folder or URL that an index is given by."""
    if index is None or isinstance(index, str):
        return index
    path = str(fspath(index))
    return path if "/" in path or path.startswith((".", "~")) else f"./{path}"


def _on_client(index: str | PathLike[str] | None) -> str:
    if not isinstance(index, str) or not index.strip() or "://" in index:
        raise InputError("with a client, expected the index's name at its server")
    return index


def _document(place: int, text: str | Document) -> Document:
    if isinstance(text, Document):
        return text
    if isinstance(text, str):
        return Document(str(place), text)
    raise InputError(f"text {place}: expected a text or a Document; got {type(text).__name__}")
