"""Token tensors made in an index beside the one that serves, whose place they take in one step.

A draft bears the name of the sidecar that it is of, and of the settings, so that a run which was
killed finds it again. To serve, it gets the sidecar's name as an alias, by the same change of the
cluster's state that deletes the index which served.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

from retrieve_rerank.base import TensorDraft, TensorSettings
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S
from retrieve_rerank.connectors import tensors
from retrieve_rerank.connectors.elasticsearch.client import Request, Steps
from retrieve_rerank.connectors.elasticsearch.names import draft_prefix
from retrieve_rerank.connectors.elasticsearch.requests import quoted
from retrieve_rerank.connectors.elasticsearch.tensor_documents import (
    is_draft_of,
    recorded_settings,
)
from retrieve_rerank.connectors.elasticsearch.tensors import Sidecar
from retrieve_rerank.errors import IndexMismatchError, IndexNotFoundError, PermissionDeniedError


class Draft(Sidecar, TensorDraft):
    """A sidecar that does not serve yet."""

    def __init__(self, serving: Sidecar, settings: TensorSettings) -> None:
        of = f"{serving.name} {tensors.settings_hash(settings)}"
        digest = hashlib.blake2b(of.encode(), digest_size=8).hexdigest()
        name = f"{draft_prefix(serving.name)}{digest}"
        super().__init__(serving.cluster, name, draft_of=serving.name)
        self._serving = serving

    def take_over(self) -> None:
        """Serve under the sidecar's name; raise PermissionDeniedError, IndexMismatchError."""
        self.cluster.run(self._take_over(), patience_s=LONG_PATIENCE_S)
        self._serving.forget()

    def _take_over(self) -> Steps[None]:
        served, mappings = yield from self._serving.find()
        if served == self.name:  # another process was faster
            return
        if mappings is None or (yield from self.find())[1] is None:
            raise IndexMismatchError(
                f"the tensors in {self._serving.name} were dropped meanwhile; rr tensors add makes "
                "them"
            )
        actions = [
            {"remove_index": {"index": served}},
            {"add": {"index": self.name, "alias": self._serving.name}},
        ]
        try:
            yield Request("POST", "/_aliases", {"actions": actions}, safe=False)
        except PermissionDeniedError as exc:
            raise PermissionDeniedError(
                f"{exc}. The new tensors are complete, and the old ones serve: for the change the "
                f"key needs the privilege `manage` on {self._serving.name} and {self.name}; the "
                "same command, run with one that has it, goes on from there"
            ) from exc


def drafts(serving: Sidecar) -> Steps[dict[str, TensorSettings]]:
    """Find what was begun to take a sidecar's place and does not serve: index -> settings."""
    pattern = f"/{draft_prefix(serving.name)}*"
    wanted = {"filter_path": "*.aliases,*.mappings._meta"}
    answer = yield Request("GET", pattern, params=wanted)
    return {
        index: recorded_settings(each["mappings"])
        for index, each in answer.items()
        if is_draft_of(serving.name, each.get("mappings", {}))
        and serving.name not in each.get("aliases", {})
    }


def discard(serving: Sidecar, *, but: str | None = None) -> Steps[None]:
    """Delete what was begun to take a sidecar's place, except for one index."""
    for index in (yield from drafts(serving)):
        if index != but:
            with suppress(IndexNotFoundError):  # another process was faster
                yield Request("DELETE", f"/{quoted(index)}")
