"""The part of a connector that reranks by token tensors, and that they are added by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieve_rerank.base import (
    Filter,
    TensorReplacing,
    TensorSearch,
    TensorSettings,
    TokenTensor,
)
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S
from retrieve_rerank.connectors.elasticsearch.max_sim import MaxSimSearcher
from retrieve_rerank.connectors.elasticsearch.names import sidecar_name
from retrieve_rerank.connectors.elasticsearch.searcher import Searcher
from retrieve_rerank.connectors.elasticsearch.target import Target
from retrieve_rerank.connectors.elasticsearch.tensor_draft import Draft, discard, drafts
from retrieve_rerank.connectors.elasticsearch.tensors import Sidecar
from retrieve_rerank.errors import ConfigError


class ElasticsearchTensorStore(TensorReplacing):
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
        return self._sidecar.hashes(ids)

    def write_tensors(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents."""
        self._sidecar.write(tensors)

    def tensor_ids(self) -> Iterator[str]:
        """Iterate over the ids that have a tensor, those of deleted documents among them."""
        return self._sidecar.ids()

    def delete_tensors(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""
        self._sidecar.delete(ids)

    def drop_tensors(self) -> None:
        """Delete the index with the tensors, and what was begun to take its place."""
        self.discard_draft()
        self._sidecar.drop()

    def draft_tensors(self, settings: TensorSettings) -> Draft:
        """Make room for tensors in an index beside the one that serves, or find what was begun.

        What was begun with other settings is deleted. Raises PermissionDeniedError.
        """
        draft = Draft(self._sidecar, settings)
        self._cluster.run(discard(self._sidecar, but=draft.name), patience_s=LONG_PATIENCE_S)
        draft.create(settings)
        return draft

    def drafted(self) -> TensorSettings | None:
        """Tell how the tensors are made that were begun and do not serve; None where none were."""
        begun = self._cluster.run(drafts(self._sidecar), patience_s=LONG_PATIENCE_S)
        return next(iter(begun.values()), None)

    def discard_draft(self) -> None:
        """Delete what was begun and does not serve."""
        self._cluster.run(discard(self._sidecar), patience_s=LONG_PATIENCE_S)

    @property
    def _sidecar(self) -> Sidecar:
        """That of what is open now: what an address stands for may have become several."""
        opened = self._target.opened
        name = sidecar_name(opened.name, opened.indexes)
        if self._last_sidecar.name != name:
            self._last_sidecar = Sidecar(self._cluster, name)
        return self._last_sidecar
