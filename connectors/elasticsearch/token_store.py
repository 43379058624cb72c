"""The part of a connector that reranks by token tensors, and that they are added by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieve_rerank.base import (
    Filter,
    TensorSearch,
    TensorSettings,
    TensorStore,
    TokenTensor,
)
from retrieve_rerank.connectors.elasticsearch import schema
from retrieve_rerank.connectors.elasticsearch.max_sim import MaxSimSearcher
from retrieve_rerank.connectors.elasticsearch.names import sidecar_name
from retrieve_rerank.connectors.elasticsearch.searcher import Searcher
from retrieve_rerank.connectors.elasticsearch.target import Target
from retrieve_rerank.connectors.elasticsearch.tensors import Sidecar
from retrieve_rerank.errors import ConfigError


class ElasticsearchTensorStore(TensorStore):
    """Keeps token tensors in an index beside the documents', see `Sidecar`."""

    def __init__(self, target: Target, searcher: Searcher) -> None:
        self._target = target
        self._cluster = target.cluster
        opened = target.opened
        self._last_sidecar = Sidecar(self._cluster, sidecar_name(opened.name, opened.indexes))
        self._max_sim = MaxSimSearcher(target, searcher, lambda: self._sidecar)

    def search_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Search, and score the hits by MaxSim; two requests to the server."""
        steps = self._max_sim.search(query, top_k=top_k, filter=filter, timeout_s=timeout_s)
        return self._cluster.run(steps, timeout_s=timeout_s)

    async def asearch_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Async twin of `search_max_sim`."""
        steps = self._max_sim.search(query, top_k=top_k, filter=filter, timeout_s=timeout_s)
        return await self._cluster.arun(steps, timeout_s=timeout_s)

    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        """Score these documents; those without token tensors are absent from the answer."""
        return self._cluster.run(self._max_sim.score(query, ids))

    def tensor_settings(self) -> TensorSettings | None:
        """Tell how the tensors that are there were made; None where there are none."""
        return self._sidecar.settings()

    def create_tensors(self, settings: TensorSettings, *, companion: bool | None = None) -> None:
        """Make room for tensors, in an index beside this one.

        Raises IndexMismatchError where tensors of other settings are, and ConfigError where they
        are wanted in this one.
        """
        if companion is False:
            raise ConfigError("at Elasticsearch token tensors are kept beside an index, not in it")
        self._sidecar.create(settings)

    def tensor_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a tensor."""
        keys = {id_: schema.key(id_) for id_ in ids}
        hashes = self._sidecar.hashes(list(keys.values())) if self.tensor_settings() else {}
        return {id_: hashes[key] for id_, key in keys.items() if key in hashes}

    def write_tensors(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents."""
        self._sidecar.write([(schema.key(each.id), each) for each in tensors])

    def tensor_ids(self) -> Iterator[str]:
        """Iterate over the ids that have a tensor, those of deleted documents among them."""
        return self._sidecar.ids()

    def delete_tensors(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""
        self._sidecar.delete(map(schema.key, ids))

    def drop_tensors(self) -> None:
        """Delete the index with the tensors; the documents stay as they are."""
        self._sidecar.drop()

    @property
    def _sidecar(self) -> Sidecar:
        """That of what is open now: what an address stands for may have become several."""
        opened = self._target.opened
        name = sidecar_name(opened.name, opened.indexes)
        if self._last_sidecar.name != name:
            self._last_sidecar = Sidecar(self._cluster, name)
        return self._last_sidecar
