"""What callers bring of their own: a client, a LangChain vector store, LangChain's Embeddings.

They are known by what they offer, so that none of their packages need be here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from retrieve_rerank.base import Embedder
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.encoders.langchain_embedder import LangChainEmbedder
from retrieve_rerank.network.addresses import Host, Url

_CLIENTS = "an Elasticsearch or a QdrantClient"
_STORES = "an ElasticsearchStore or a QdrantVectorStore of LangChain"


@dataclass(frozen=True, slots=True)
class Brought:
    """An index on a client that is open already."""

    client: Any
    index: str
    encoder: object = None
    """What it was searched by so far."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Settings of the fields that a store was told to use in place of its usual ones."""


def read_store(store: Any) -> Brought:
    """Read what a vector store knows of its index; raise InputError for what is none."""
    kind = type(store).__name__
    if kind == "QdrantVectorStore":
        fields = {"text_field": store.content_payload_key, "vector_field": store.vector_name}
        usual = {"text_field": "page_content", "vector_field": ""}
        index = store.collection_name
    elif kind == "ElasticsearchStore" and hasattr(store, "query_field"):
        fields = {"text_field": store.query_field, "vector_field": store.vector_query_field}
        usual = {"text_field": "text", "vector_field": "vector"}
        index = store._store.index  # it has no public name
    else:
        raise InputError(f"expected an index's name, folder or URL, or {_STORES}; got {kind}")
    if store.embeddings is None:  # as its rankings are lexical or sparse
        fields.pop("vector_field")
    own = {name: value for name, value in fields.items() if value and value != usual[name]}
    return Brought(store.client, index, store.embeddings, own)


def address_of(client: Any, index: str) -> str:
    """Write the URL of an index on a client, free of secrets; raise InputError for another."""
    packages = {each.__module__.partition(".")[0] for each in type(client).__mro__}
    asynchronous = type(client).__name__.startswith("Async")
    if asynchronous or not packages & {"elasticsearch", "qdrant_client"}:
        also = ": async searches use it in threads" if asynchronous else ""
        raise InputError(f"client: expected {_CLIENTS}{also}; got {type(client).__name__}")
    return (
        _on_elasticsearch(client, index)
        if "elasticsearch" in packages
        else _on_qdrant(client.init_options, index)
    )


def embedder_of(given: object) -> str | Embedder:
    """Return a model's name, or an encoder given as an object; raise InputError for another."""
    if isinstance(given, str):
        return given
    if hasattr(given, "embed_queries") and hasattr(given, "fingerprint"):
        encoder: Embedder = given  # type: ignore[assignment]  # by what it offers
        return encoder
    if hasattr(given, "embed_query") and hasattr(given, "embed_documents"):
        return LangChainEmbedder(given)
    raise InputError(
        "encoder: expected the name of a model, an Embedder, or Embeddings of LangChain; got "
        f"{type(given).__name__}"
    )


def _on_elasticsearch(client: Any, index: str) -> str:
    nodes = [urlsplit(node.base_url) for node in client.transport.node_pool.all()]
    hosts = tuple(Host(node.hostname or "", node.port) for node in nodes)
    secure = "+https" if nodes[0].scheme == "https" else ""
    prefix = tuple(filter(None, nodes[0].path.split("/")))
    return str(Url(f"elasticsearch{secure}", hosts, (*prefix, index)))


def _on_qdrant(options: Mapping[str, Any], index: str) -> str:
    location = options["location"]
    if location == ":memory:" or options["path"] is not None:
        folder = os.path.abspath(options["path"]) if options["path"] else "/:memory:"
        return f"qdrant+local://{folder}/{index}"
    given = options["url"] or location or options["host"] or "localhost"
    server = urlsplit(given if "://" in given else f"//{given}")
    by_key = options["api_key"] is not None if options["https"] is None else options["https"]
    secure = server.scheme == "https" or (not server.scheme and by_key)
    host = Host(server.hostname or "", server.port or options["port"])
    prefix = filter(None, f"{server.path}/{options['prefix'] or ''}".split("/"))
    return str(Url("qdrant+https" if secure else "qdrant", (host,), (*prefix, index)))
