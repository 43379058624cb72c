"""Token tensors in an index of their own, beside the one with the documents.

The documents' index is never written to, and may be one that is only read. A tensor lies in its
document's source as base64, under the document's `_id`, and is scored here, unless the server has a
type for it, see `rank_vectors`. Beside it lies the hash of the settings that it was made with:
another process may make the tensors anew, of another model, while they are searched. That is also
looked for every CHECK_EVERY_S, and told by the index that an answer is of, since the server scores
without telling the hash.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from retrieve_rerank.base import TensorSettings, TokenTensor, Vectors
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S
from retrieve_rerank.connectors import tensors
from retrieve_rerank.connectors.elasticsearch import rank_vectors
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request, Steps
from retrieve_rerank.connectors.elasticsearch.errors import PointInTimeLostError
from retrieve_rerank.connectors.elasticsearch.identity import found
from retrieve_rerank.connectors.elasticsearch.reader import walk
from retrieve_rerank.connectors.elasticsearch.requests import quoted, search
from retrieve_rerank.connectors.elasticsearch.responses import hits_of
from retrieve_rerank.connectors.elasticsearch.schema import key
from retrieve_rerank.connectors.elasticsearch.tensor_documents import (
    HASH,
    ID,
    MADE,
    META,
    RECORDED,
    TENSOR,
    is_made,
    new_sidecar,
    recorded_settings,
    score_tensors,
    tensor_lines,
)
from retrieve_rerank.connectors.elasticsearch.writer import Operation, bulk, delete, refresh
from retrieve_rerank.connectors.moving import CHECK_EVERY_S, may_be_of_a_move
from retrieve_rerank.errors import (
    ConnectorError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    PartialWriteError,
)
from retrieve_rerank.network.shapes import WrongShapeError

_AT_ONCE = 1000


class Seen(NamedTuple):
    """What a sidecar was found to be."""

    concrete: str
    """The index, whose name may be another than the one that is asked by."""
    settings: TensorSettings
    scored_there: bool
    """Whether the server scores."""
    at: float
    """When, by the monotonic clock."""

    def same_as(self, other: Seen | None) -> bool:
        """Tell whether a query encoded for one is so for the other."""
        return other is not None and self[:2] == other[:2]


class Sidecar:
    """The index with the tensors of another; safe to share between threads."""

    def __init__(self, cluster: Cluster, name: str, *, draft_of: str | None = None) -> None:
        self.name = name
        self.cluster = cluster
        self.path = f"/{quoted(self.name)}"
        self._draft_of = draft_of
        self._seen: Seen | None = None  # another at every look, so take it once
        self._created: TensorSettings | None = None

    def settings(self) -> TensorSettings | None:
        """Tell how the tensors were made; None where there are none."""
        seen = self.cluster.run(self.ask(), patience_s=LONG_PATIENCE_S)
        return seen.settings if seen else None

    def ask(self) -> Steps[Seen | None]:
        """Look what it is, unless that was lately; None where there is none.

        Raises IndexMismatchError where something else has the name.
        """
        seen = self._seen
        if seen is None or time.monotonic() - seen.at > CHECK_EVERY_S:
            seen = self._seen = yield from self._look()
        return seen

    def forget(self) -> None:
        """Look anew with the next request, as it was changed here."""
        self._seen = None

    def create(self, settings: TensorSettings) -> None:
        """Make the index; raise IndexMismatchError where tensors of other settings are."""
        there = self.settings()
        if there is None:
            asking = rank_vectors.ask_for(settings, self.cluster.location)
            scored_there = self.cluster.run(asking)
            body = new_sidecar(settings, scored_there=scored_there, draft_of=self._draft_of)
            with suppress(IndexExistsError):  # another process was faster
                self.cluster.send(Request("PUT", self.path, body, safe=False))
            there = self.settings()
        tensors.check_same_settings(self.name, there, settings)
        self._created = settings

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash of those that have tensors, made as all others."""
        settings = self.settings()
        keys = {key(id_): id_ for id_ in ids} if settings else {}
        hashes: dict[str, str] = {}
        for start in range(0, len(keys), _AT_ONCE):
            request = self._fetch(list(keys)[start : start + _AT_ONCE], HASH)
            docs = found(self.cluster.send(request, patience_s=LONG_PATIENCE_S))
            same = (each for each in docs if settings and is_made(each, settings))
            hashes |= {keys[each["_id"]]: each.get("_source", {}).get(HASH) for each in same}
        return hashes

    def write(self, tensors_: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents."""
        # Others may have made all of them anew a moment ago, and what is written then is lost.
        seen = self._seen = self.cluster.run(self._look(), patience_s=LONG_PATIENCE_S)
        if seen is None:
            raise IndexNotFoundError(f"{self.name} does not exist; create it first")
        settings = seen.settings
        if self._created is not None and settings != self._created:
            raise _made_anew(self.name)
        made = tensors.settings_hash(settings)
        entries = {key(each.id): each for each in tensors_}
        operations = (
            Operation(key_, tensor_lines(key_, tensor, _stored(tensor, seen), made=made))
            for key_, tensor in entries.items()
        )
        refused = bulk(self.cluster, self.name, operations)[1]
        if seen.scored_there:  # by a search, which unlike _mget sees no more than is refreshed
            refresh(self.cluster, self.name)
        if refused:
            raise PartialWriteError(
                f"{self.name} refused {len(refused)} of {len(entries)} tensors: "
                f"{next(iter(refused.values()))}",
                {entries[key_].id: reason for key_, reason in refused.items()},
            )

    def ids(self) -> Iterator[str]:
        """Iterate over the ids of the documents that have a tensor."""
        if self.settings() is None:
            return
        refresh(self.cluster, self.name)
        for page in walk(self.cluster, self.name, source={"includes": [ID]}):
            yield from (hit.get("_source", {}).get(ID, hit["_id"]) for hit in page)

    def drop(self) -> None:
        """Delete the index; harmless where there is none, raise IndexMismatchError for another's.

        It is deleted by the name of the concrete index, which stands for nothing else: the server
        splits a name at its commas, however they are quoted.
        """
        self.forget()
        index, mappings = self.cluster.run(self.find(), patience_s=LONG_PATIENCE_S)
        if mappings is not None:
            with suppress(IndexNotFoundError):  # another process was faster
                request = Request("DELETE", f"/{quoted(index)}")
                self.cluster.send(request, patience_s=LONG_PATIENCE_S)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""
        if self.settings() is not None:
            delete(self.cluster, self.name, map(key, ids))

    def scores(
        self, query: Vectors, keys: Sequence[str], seen: Seen
    ) -> Steps[dict[str, float] | None]:
        """Compute MaxSim of a query's token vectors, (m, dim), with the tensors under these `_id`s.

        None where the tensors are no longer those that the query was encoded for.
        """
        if not keys:
            return {}
        try:
            if seen.scored_there:
                return (yield from self._ask_for_scores(query, keys, seen))
            docs = found((yield self._fetch(keys, TENSOR)))
            same = [each for each in docs if is_made(each, seen.settings)]
            if len(same) < len(docs) and (yield from self._changed(seen)):
                return None
            scores: dict[str, float] = yield partial(score_tensors, same, query, seen.settings)
        except (IndexNotFoundError, PointInTimeLostError):  # they were dropped, or made anew
            self._seen = None
            return None
        except ConnectorError as exc:
            if may_be_of_a_move(exc) and (yield from self._changed(seen)):
                return None
            raise
        return scores

    def find(self) -> Steps[tuple[str, dict[str, Any] | None]]:
        """Read the concrete index's name and mapping, None where there is no index.

        Raises IndexMismatchError where something else has the name.
        """
        try:
            answer = yield Request("GET", f"{self.path}/_mapping")
        except IndexNotFoundError:
            return self.name, None
        index, there = next(iter(answer.items()))
        if len(answer) > 1 or META not in there["mappings"].get("_meta", {}):
            raise IndexMismatchError(
                f"{self.name}, where the token tensors of {self.cluster.location} are kept, is "
                f"not an index that was made for them ({META} is missing in its _meta): it is "
                f"neither used nor deleted. Give {', '.join(answer)} another name"
            )
        return index, there["mappings"]

    def _look(self) -> Steps[Seen | None]:
        index, mappings = yield from self.find()
        if mappings is None:
            return None
        try:
            RECORDED([mappings])
        except WrongShapeError as exc:
            raise IndexMismatchError(
                f"what {self.name} records of its tensors cannot be: {exc}; drop them first "
                "(rr tensors drop)"
            ) from exc
        scored_there = rank_vectors.is_field(mappings["properties"][TENSOR])
        return Seen(index, recorded_settings(mappings), scored_there, time.monotonic())

    def _changed(self, seen: Seen) -> Steps[bool]:
        now = self._seen = yield from self._look()
        return not seen.same_as(now)

    def _ask_for_scores(
        self, query: Vectors, keys: Sequence[str], seen: Seen
    ) -> Steps[dict[str, float] | None]:
        scores: dict[str, float] = {}
        for start in range(0, len(keys), _AT_ONCE):
            body = rank_vectors.scoring(query, keys[start : start + _AT_ONCE], TENSOR)
            answer = yield search(self.name, [body])
            hits = hits_of(answer, self.cluster.location)
            if any(hit["_index"] != seen.concrete for hit in hits):
                self._seen = None
                return None
            scores |= rank_vectors.scores(hits, len(query))
        return scores

    def _fetch(self, keys: Sequence[str], field: str) -> Request:
        wanted = {"_source_includes": f"{field},{MADE}"}
        return Request("POST", f"{self.path}/_mget", {"ids": list(keys)}, wanted, parts=keys)


def _stored(tensor: TokenTensor, seen: Seen) -> Any:
    if seen.scored_there:
        return tensor.tokens.tolist()
    return base64.b64encode(tensors.pack(tensor.tokens, seen.settings.dtype)).decode()


def _made_anew(name: str) -> IndexMismatchError:
    return IndexMismatchError(
        f"another process dropped the tensors in {name} meanwhile, or makes them with other "
        "settings; run the command again once it is done"
    )
