"""Token tensors in an index of their own, beside the one with the documents.

The documents' index is never written to, and may be one that is only read. A tensor lies in its
document's source as base64, under the document's `_id`, and is scored here, unless the server has a
type for it, see `rank_vectors`. Beside it lies the hash of the settings that it was made with:
another process may drop the tensors and make them anew, of another model, while they are searched.
That is also looked for every CHECK_EVERY_S, since the server scores without telling the hash.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from functools import partial
from typing import Any, get_args

from retrieve_rerank.base import TensorDtype, TensorSettings, TokenTensor, Vectors
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S
from retrieve_rerank.connectors import tensors
from retrieve_rerank.connectors.elasticsearch import rank_vectors
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request, Steps
from retrieve_rerank.connectors.elasticsearch.identity import found
from retrieve_rerank.connectors.elasticsearch.reader import walk
from retrieve_rerank.connectors.elasticsearch.requests import quoted, search
from retrieve_rerank.connectors.elasticsearch.writer import Operation, bulk, delete, refresh
from retrieve_rerank.connectors.moving import CHECK_EVERY_S, may_be_of_a_move
from retrieve_rerank.errors import (
    ConnectorError,
    IndexCorruptError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    PartialWriteError,
)
from retrieve_rerank.network.shapes import Shape, WrongShapeError, each, shape

META = "retrieve_rerank_tensors"
"""Key in the `_meta` of such an index's mapping; none without it is written to or deleted."""

_TENSOR, _HASH, _ID, _MADE = "tensor", "hash", "id", "settings"

_FACTS: Shape = {
    "encoder": str,
    "fingerprint": str,
    "dimension": each(lambda value: type(value) is int and value > 0, "a number above 0"),
    "dtype": each(lambda value: value in get_args(TensorDtype), "a kind of number"),
    "pooling_factor?": int,
}
_RECORDED = shape({"_meta": {META: _FACTS}, "properties": {_TENSOR: {"type": str}}})
_AT_ONCE = 1000


class Sidecar:
    """The index with the tensors of another."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._path = f"/{quoted(self.name)}"
        self._settings: TensorSettings | None = None
        self._asked_at = 0.0
        self._created: TensorSettings | None = None
        self._scored_there = False

    def settings(self) -> TensorSettings | None:
        """Tell how the tensors were made; None where there are none."""
        return self._cluster.run(self.ask(), patience_s=LONG_PATIENCE_S)

    def ask(self) -> Steps[TensorSettings | None]:
        """Read the settings from the index, unless they were lately; raise as `_find` does."""
        if self._settings is None or time.monotonic() - self._asked_at > CHECK_EVERY_S:
            self._settings = None
            _, mappings = yield from self._find()
            self._asked_at = time.monotonic()
            if mappings is None:
                return None
            try:
                _RECORDED([mappings])
            except WrongShapeError as exc:
                raise IndexMismatchError(
                    f"what {self.name} records of its tensors cannot be: {exc}; drop them first "
                    "(rr tensors drop)"
                ) from exc
            recorded = mappings["_meta"][META]
            known = {field.name for field in fields(TensorSettings)}
            self._settings = TensorSettings(**{k: v for k, v in recorded.items() if k in known})
            self._scored_there = rank_vectors.is_field(mappings["properties"][_TENSOR])
        return self._settings

    def create(self, settings: TensorSettings) -> None:
        """Make the index; raise IndexMismatchError where tensors of other settings are."""
        there = self.settings()
        if there is None:
            asking = rank_vectors.ask_for(settings, self._cluster.location)
            body = new_sidecar(settings, scored_there=self._cluster.run(asking))
            with suppress(IndexExistsError):  # another process was faster
                self._cluster.send(Request("PUT", self._path, body, safe=False))
            there = self.settings()
        tensors.check_same_settings(self.name, there, settings)
        self._created = settings

    def hashes(self, keys: Sequence[str]) -> dict[str, str]:
        """Return `_id` -> content hash of those that there are tensors of, made as all others."""
        settings = self.settings()
        hashes: dict[str, str] = {}
        for start in range(0, len(keys), _AT_ONCE):
            request = self._fetch(keys[start : start + _AT_ONCE], _HASH)
            docs = found(self._cluster.send(request, patience_s=LONG_PATIENCE_S))
            same = (each for each in docs if settings and _is_made(each, settings))
            hashes |= {each["_id"]: each.get("_source", {}).get(_HASH) for each in same}
        return hashes

    def write(self, entries: Sequence[tuple[str, TokenTensor]]) -> None:
        """Store tensors under the `_id` of their documents."""
        settings = self.settings()
        if settings is None:
            raise IndexNotFoundError(f"{self.name} does not exist; create it first")
        if self._created is not None and settings != self._created:
            raise _made_anew(self.name)
        made = tensors.settings_hash(settings)
        operations = (
            Operation(key, tensor_lines(key, tensor, self._stored(tensor, settings), made=made))
            for key, tensor in entries
        )
        refused = bulk(self._cluster, self.name, operations)[1]
        if self._scored_there:  # by a search, which unlike _mget sees no more than is refreshed
            refresh(self._cluster, self.name)
        if refused:
            raise PartialWriteError(
                f"{self.name} refused {len(refused)} of {len(entries)} tensors: "
                f"{next(iter(refused.values()))}",
                {tensor.id: refused[key] for key, tensor in entries if key in refused},
            )

    def ids(self) -> Iterator[str]:
        """Iterate over the ids of the documents that have a tensor."""
        if self.settings() is None:
            return
        refresh(self._cluster, self.name)
        for page in walk(self._cluster, self.name, source={"includes": [_ID]}):
            yield from (hit.get("_source", {}).get(_ID, hit["_id"]) for hit in page)

    def drop(self) -> None:
        """Delete the index; harmless where there is none, raise IndexMismatchError for another's.

        It is deleted by the name of the concrete index, which stands for nothing else: the server
        splits a name at its commas, however they are quoted.
        """
        self._settings = None
        index, mappings = self._cluster.run(self._find(), patience_s=LONG_PATIENCE_S)
        if mappings is not None:
            with suppress(IndexNotFoundError):  # another process was faster
                request = Request("DELETE", f"/{quoted(index)}")
                self._cluster.send(request, patience_s=LONG_PATIENCE_S)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the tensors of these documents."""
        if self.settings() is not None:
            delete(self._cluster, self.name, keys)

    def scores(
        self, query: Vectors, keys: Sequence[str], settings: TensorSettings
    ) -> Steps[dict[str, float] | None]:
        """Compute MaxSim of a query's token vectors, (m, dim), with these documents' tensors.

        None where the tensors are no longer those of `settings`, with which the query was encoded.
        """
        if not keys:
            return {}
        try:
            if self._scored_there:
                return (yield from self._ask_for_scores(query, keys))
            docs = found((yield self._fetch(keys, _TENSOR)))
            same = [each for each in docs if _is_made(each, settings)]
            if len(same) < len(docs) and (yield from self._changed(settings)):
                return None
            scores: dict[str, float] = yield partial(score_tensors, same, query, settings)
        except IndexNotFoundError:  # dropped by another process
            self._settings = None
            return {}
        except ConnectorError as exc:
            if may_be_of_a_move(exc) and (yield from self._changed(settings)):
                return None
            raise
        return scores

    def _changed(self, settings: TensorSettings) -> Steps[bool]:
        self._settings = None
        there = yield from self.ask()
        return there is None or tensors.settings_hash(there) != tensors.settings_hash(settings)

    def _ask_for_scores(self, query: Vectors, keys: Sequence[str]) -> Steps[dict[str, float]]:
        scores: dict[str, float] = {}
        for start in range(0, len(keys), _AT_ONCE):
            body = rank_vectors.scoring(query, keys[start : start + _AT_ONCE], _TENSOR)
            answer = yield search(self.name, [body])
            scores |= rank_vectors.scores(answer, len(query), self._cluster.location)
        return scores

    def _find(self) -> Steps[tuple[str, dict[str, Any] | None]]:
        """Read the concrete index's name and mapping, None where there is no index.

        Raises IndexMismatchError where something else has the name.
        """
        try:
            answer = yield Request("GET", f"{self._path}/_mapping")
        except IndexNotFoundError:
            return self.name, None
        index, found = next(iter(answer.items()))
        if len(answer) > 1 or META not in found["mappings"].get("_meta", {}):
            raise IndexMismatchError(
                f"{self.name}, where the token tensors of {self._cluster.location} are kept, is "
                f"not an index that was made for them ({META} is missing in its _meta): it is "
                f"neither used nor deleted. Give {', '.join(answer)} another name"
            )
        return index, found["mappings"]

    def _stored(self, tensor: TokenTensor, settings: TensorSettings) -> Any:
        if self._scored_there:
            return tensor.tokens.tolist()
        return base64.b64encode(tensors.pack(tensor.tokens, settings.dtype)).decode()

    def _fetch(self, keys: Sequence[str], field: str) -> Request:
        wanted = {"_source_includes": f"{field},{_MADE}"}
        return Request("POST", f"{self._path}/_mget", {"ids": list(keys)}, wanted, parts=keys)


def new_sidecar(settings: TensorSettings, *, scored_there: bool) -> dict[str, Any]:
    """Word the index: nothing in it can be searched for, and tensors at most scored."""
    return {
        # Base64 of numbers hardly compresses, and is read far more often than it is written.
        "settings": {"index": {"number_of_shards": 1, "codec": "default"}},
        "mappings": {
            "_meta": {META: asdict(settings)},
            "dynamic": False,
            "properties": {
                _TENSOR: rank_vectors.field(settings) if scored_there else {"type": "binary"}
            },
        },
    }


def tensor_lines(key: str, tensor: TokenTensor, stored: Any, *, made: str) -> bytes:
    """Word the writing of one tensor, as base64 or rows of numbers, made with some settings."""
    body = {_TENSOR: stored, _HASH: tensor.content_hash, _MADE: made}
    if key != tensor.id:
        body[_ID] = tensor.id
    return (json.dumps({"index": {"_id": key}}) + "\n" + json.dumps(body) + "\n").encode()


def _is_made(doc: Mapping[str, Any], settings: TensorSettings) -> bool:
    """Whether a tensor was made with these settings, as far as it tells: older ones do not."""
    made = tensors.settings_hash(settings)
    return bool(doc.get("_source", {}).get(_MADE, made) == made)


def _made_anew(name: str) -> IndexMismatchError:
    return IndexMismatchError(
        f"another process dropped the tensors in {name} meanwhile, and makes them with other "
        "settings; run rr tensors add again once it is done"
    )


def score_tensors(
    docs: Sequence[Mapping[str, Any]], query: Vectors, settings: TensorSettings
) -> dict[str, float]:
    """Score fetched tensors: `_id` -> MaxSim."""
    try:
        packed = [base64.b64decode(each["_source"][_TENSOR]) for each in docs]
    except (KeyError, TypeError, ValueError) as exc:
        raise IndexCorruptError(
            f"a token tensor cannot be read ({exc!r:.80}); make the tensors anew with rr tensors "
            "drop and rr tensors add"
        ) from exc
    scores = tensors.score(query, packed, dimension=settings.dimension, dtype=settings.dtype)
    return dict(zip((each["_id"] for each in docs), scores, strict=True))
