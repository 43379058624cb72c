"""Writing to an index of our own: batch by batch, leaving out what is there already.

What has been reported is written, and running the same again goes on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from retrieve_rerank.base import Encoder, IndexReport, Vectors
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S, Attempts
from retrieve_rerank.connectors.batches import batches, sample
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request
from retrieve_rerank.connectors.elasticsearch.errors import refusal
from retrieve_rerank.connectors.elasticsearch.identity import fetch
from retrieve_rerank.connectors.elasticsearch.opening import Opened, reopened
from retrieve_rerank.connectors.elasticsearch.requests import quoted
from retrieve_rerank.connectors.elasticsearch.schema import (
    HASH,
    keeps_dates,
    key,
    meta,
    recorded_encoder,
    source,
    texts,
)
from retrieve_rerank.connectors.elasticsearch.target import require_same
from retrieve_rerank.connectors.encoder_output import check_vectors
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.records import Record, record
from retrieve_rerank.errors import (
    ConnectorError,
    PartialWriteError,
    RateLimitedError,
    SchemaError,
)
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Document

CHUNK_BYTES = 5 << 20
"""Sent at once, about; the server's own limit is 100 MiB."""

CHUNK_OPERATIONS = 500

_BUSY = (429, 503)


class Operation(NamedTuple):
    """One line or two of a bulk request."""

    id: str
    """`_id` in the index."""
    lines: bytes


class Writer:
    """Changes an index of our own."""

    def __init__(self, cluster: Cluster, opened: Opened) -> None:
        self._cluster = cluster
        self._opened = opened

    def index(
        self, documents: Iterable[Document], on_progress: Callable[[int], None] | None
    ) -> IndexReport:
        """Add documents; raise PartialWriteError at the end where the server refused some."""
        if not self._opened.layout.own:
            raise SchemaError(
                f"{self._opened.location} was not made by this library, which therefore only reads "
                "it. Copy it into an index of our own: "
                "rr index SOURCE --index elasticsearch://HOST/NEW-NAME"
            )
        name = self._opened.single_name
        indexed = unchanged = truncated = 0
        refused: dict[str, str] = {}
        dates = keeps_dates(self._opened.index)
        for batch in batches(self._declare_texts(documents)):
            language = self._opened.layout.language
            records = {each.id: each for each in map(record, batch)}  # the last one counts
            new = self._changed(records)
            vectors, cut = self._encode(new)
            bodies = [
                source(each, vector, language=language, dates=dates)
                for each, vector in zip(new, vectors, strict=True)
            ]
            operations = [
                Operation(key(each.id), _lines("index", key(each.id), body))
                for each, body in zip(new, bodies, strict=True)
            ]
            # An alias that has moved must not be given vectors of another index's encoder.
            self._cluster.run(require_same(self._opened), patience_s=LONG_PATIENCE_S)
            failed = bulk(self._cluster, name, operations)[1]
            refused |= {each.id: failed[key(each.id)] for each in new if key(each.id) in failed}
            truncated += cut
            indexed += len(new) - len(failed)
            unchanged += len(records) - len(new)
            if on_progress:
                on_progress(len(batch))
        refresh(self._cluster, name)
        if refused:
            raise PartialWriteError(
                f"{self._opened.location} refused {len(refused)} of {indexed + len(refused)} "
                f"documents, first {next(iter(refused))!r}: {next(iter(refused.values()))}",
                refused,
            )
        return IndexReport(indexed, unchanged, truncated)

    def _declare_texts(self, documents: Iterable[Document]) -> Iterable[Document]:
        """Tell the language from the first documents an index ever sees, unless it was given."""
        if "text" in self._opened.index.fields:
            return documents
        first, documents = sample(documents)
        if first and not self._declared_by_another():
            language = Bm25.fit([Template().render(each) for each in first]).language
            body = {
                "properties": texts(language),
                "_meta": meta(recorded_encoder(self._opened.index), language),
            }
            name = quoted(self._opened.single_name)
            request = Request("PUT", f"/{name}/_mapping", body)
            try:
                self._cluster.send(request, patience_s=LONG_PATIENCE_S)
            except ConnectorError:
                if not self._declared_by_another():
                    raise
            else:
                self._reopen()
        return documents

    def _declared_by_another(self) -> bool:
        """Whether another process, which makes the same index, has told the language meanwhile."""
        self._reopen()
        return "text" in self._opened.index.fields

    def _reopen(self) -> None:
        self._opened = self._cluster.run(reopened(self._opened), patience_s=LONG_PATIENCE_S)

    def _changed(self, records: Mapping[str, Record]) -> list[Record]:
        there = self._cluster.run(
            fetch(self._opened, list(records), {"includes": [HASH]}), patience_s=LONG_PATIENCE_S
        )
        return [
            each
            for id_, each in records.items()
            if there.get(id_, {}).get("_source", {}).get(HASH) != each.content_hash
        ]

    def _encode(self, records: Sequence[Record]) -> tuple[Sequence[Vectors | None], int]:
        """Encode documents; also say of how many only the beginning was read."""
        vector = self._opened.layout.vector
        if vector is None or not records:
            return [None] * len(records), 0
        # What indexes of our own are made with gives both views of a text.
        encoder = cast(Encoder, self._opened.encoder.load())
        rendered = [Template().render(each.document) for each in records]
        encodings = encoder.encode_documents(rendered)
        for each, encoding in zip(records, encodings, strict=True):
            check_vectors(
                encoding.vector,
                of=f"document {each.id!r}",
                encoder=encoder.name,
                dimension=vector.dimension,
            )
        return [each.vector for each in encodings], sum(each.truncated for each in encodings)


def delete(cluster: Cluster, name: str, keys: Iterable[str]) -> int:
    """Delete documents by their `_id`; return how many there were."""
    operations = [Operation(each, _lines("delete", each)) for each in dict.fromkeys(keys)]
    if not operations:
        return 0
    done, refused = bulk(cluster, name, operations)
    refresh(cluster, name)
    if refused:
        raise PartialWriteError(
            f"{cluster.location} refused to delete {len(refused)} of {len(operations)} documents: "
            f"{next(iter(refused.values()))}",
            refused,
        )
    return sum(status == 200 for status in done.values())


def bulk(
    cluster: Cluster, name: str, operations: Iterable[Operation]
) -> tuple[dict[str, int], dict[str, str]]:
    """Carry operations out, a chunk at a time; return `_id` -> status, and `_id` -> refusal.

    Those that the server had no room for are sent again, ever more slowly. Doing all of them twice
    does no harm, so that a broken connection does none either.
    """
    statuses: dict[str, int] = {}
    refused: dict[str, str] = {}
    for chunk in chunks(operations):
        left = {each.id: each for each in chunk}
        attempts = Attempts(cluster.location, Deadline(), patience_s=LONG_PATIENCE_S)
        while left:
            request = bulk_request(name, left.values())
            answer = cluster.send(request, patience_s=LONG_PATIENCE_S)
            busy: dict[str, str] = {}
            for item in answer["items"]:
                [result] = item.values()
                if "error" in result:
                    said = str(refusal(result["status"], result, cluster.location))
                    (busy if result["status"] in _BUSY else refused)[result["_id"]] = said
                else:
                    statuses[result["_id"]] = result["status"]
            left = {id_: left[id_] for id_ in busy}
            if busy:
                wait_s = attempts.pause_s(RateLimitedError(next(iter(busy.values()))))
                if wait_s is None:
                    refused |= busy
                    break
                time.sleep(wait_s)
    return statuses, refused


def bulk_request(name: str, operations: Iterable[Operation]) -> Request:
    """Word a chunk; the answer is cut down to what is read of it."""
    wanted = "items.*._id,items.*.status,items.*.error"
    operations = list(operations)
    lines = b"".join(each.lines for each in operations)
    ids = [each.id for each in operations]
    return Request("POST", f"/{quoted(name)}/_bulk", lines, {"filter_path": wanted}, parts=ids)


def chunks(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """Cut operations into what is sent at once."""
    return cut(operations, lambda each: len(each.lines), size=CHUNK_BYTES, count=CHUNK_OPERATIONS)


def refresh(cluster: Cluster, name: str) -> None:
    """Have searches see what is written."""
    cluster.send(Request("POST", f"/{quoted(name)}/_refresh"), patience_s=LONG_PATIENCE_S)


def _lines(action: str, id_: str, body: Mapping[str, Any] | None = None) -> bytes:
    lines = [json.dumps({action: {"_id": id_}})]
    if body is not None:
        lines.append(json.dumps(body, ensure_ascii=False))
    return ("\n".join(lines) + "\n").encode()
