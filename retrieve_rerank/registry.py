"""Names of backends and rerankers, and where their code is.

Holds strings only: a module is imported when its name is first asked for. Other packages add
their own under the entry points `retrieve_rerank.connectors` and `retrieve_rerank.rerankers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import NamedTuple, TypeVar

from retrieve_rerank.base import Connector, Reranker
from retrieve_rerank.errors import ConfigError, MissingExtraError

T = TypeVar("T")


class Entry(NamedTuple):
    """Where a class lives, and the extra whose packages it needs beyond the base install."""

    target: str
    """module:Class"""
    extra: str | None = None


CONNECTORS: Mapping[str, Entry] = {
    "embedded": Entry("retrieve_rerank.connectors.embedded:EmbeddedConnector"),
    "elasticsearch": Entry("retrieve_rerank.connectors.elasticsearch:ElasticsearchConnector"),
    "elasticsearch+https": Entry("retrieve_rerank.connectors.elasticsearch:ElasticsearchConnector"),
    "memory": Entry("retrieve_rerank.connectors.memory:MemoryConnector"),
    "qdrant": Entry("retrieve_rerank.connectors.qdrant:QdrantConnector"),
    "qdrant+https": Entry("retrieve_rerank.connectors.qdrant:QdrantConnector"),
    "qdrant+local": Entry("retrieve_rerank.connectors.qdrant:QdrantConnector"),
}
"""URL scheme -> connector."""

RERANKERS: Mapping[str, Entry] = {
    "max-sim": Entry("retrieve_rerank.rerankers.max_sim:MaxSim"),
    "cross-encoder": Entry("retrieve_rerank.rerankers.cross_encoder:CrossEncoder"),
    "collapse": Entry("retrieve_rerank.rerankers.collapse:Collapse"),
    "diversify": Entry("retrieve_rerank.rerankers.diversify:Diversify"),
    "llm-listwise": Entry("retrieve_rerank.rerankers.llm.listwise:Listwise"),
    "llm-pairwise": Entry("retrieve_rerank.rerankers.llm.pairwise:Pairwise"),
    "llm-query-likelihood": Entry("retrieve_rerank.rerankers.llm.query_likelihood:QueryLikelihood"),
    "llm-scalar-head": Entry("retrieve_rerank.rerankers.llm.scalar_head:ScalarHead", "torch"),
    "llm-setwise": Entry("retrieve_rerank.rerankers.llm.setwise:Setwise"),
    "llm-yes-no": Entry("retrieve_rerank.rerankers.llm.yes_no:YesNo"),
    "popularity": Entry("retrieve_rerank.rerankers.metadata:Popularity"),
    "recency": Entry("retrieve_rerank.rerankers.metadata:Recency"),
    "remote": Entry("retrieve_rerank.rerankers.remote:Remote"),
}


def connector_class(scheme: str) -> type[Connector]:
    """Return the connector registered for a URL scheme; raise ConfigError for an unknown one."""
    return _load("connector", scheme, CONNECTORS, Connector)  # type: ignore[type-abstract]  # only its subclasses are returned


def reranker_class(name: str) -> type[Reranker]:
    """Return the reranker registered under a name; raise ConfigError for an unknown one."""
    return _load("reranker", name, RERANKERS, Reranker)  # type: ignore[type-abstract]  # only its subclasses are returned


def _load(kind: str, name: str, builtin: Mapping[str, Entry], base: type[T]) -> type[T]:
    entry = builtin.get(name)
    if entry is None:
        plugins = {point.name: point for point in entry_points(group=f"retrieve_rerank.{kind}s")}
        if name not in plugins:
            known = ", ".join(sorted({*builtin, *plugins}))
            raise ConfigError(f"unknown {kind} {name!r}; known: {known}")
        found = plugins[name].load()
    else:
        module, _, attribute = entry.target.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as exc:
            if entry.extra is None or (exc.name or "").startswith("retrieve_rerank"):
                raise
            raise MissingExtraError(f"{kind} {name!r}", entry.extra) from exc
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{kind} {name!r} is {found!r}; expected a subclass of {base.__name__}")
    return found
