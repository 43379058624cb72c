"""Walking over a whole index, page by page, and going on where a walk was cut off.

A walk looks at the index as it was when it began. It goes by `_seq_no`, which a document keeps as
long as it is not changed, so that another view of the index can take over where one is lost: with
its node, or because nobody asked for the next page in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any

from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S
from retrieve_rerank.concurrency.threads import in_thread
from retrieve_rerank.connectors.batches import check_part
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request
from retrieve_rerank.connectors.elasticsearch.errors import PointInTimeLostError
from retrieve_rerank.connectors.elasticsearch.opening import Opened
from retrieve_rerank.connectors.elasticsearch.requests import quoted
from retrieve_rerank.connectors.elasticsearch.responses import hits_of
from retrieve_rerank.connectors.elasticsearch.target import ask_indexes, moved_meanwhile
from retrieve_rerank.errors import ConnectorError
from retrieve_rerank.types import Document

KEEP_ALIVE = "5m"
"""How long the server keeps a view between two pages."""

MOST, LEAST = 2000, 10  # documents of a page
_PAGE_BYTES = 4 << 20  # about, of what a page holds
_FIRST = 20  # before it is known how long documents are

Hit = Mapping[str, Any]


def documents(
    cluster: Cluster, opened: Opened, *, part: int = 0, parts: int = 1
) -> Iterator[Document]:
    """Iterate over the documents of what was opened, or of one of so many slices; as `walk`."""
    for hits in walk(
        cluster,
        opened.name,
        indexes=opened.indexes,
        source=opened.layout.source,
        most=min(MOST, opened.index.max_result_window),
        part=part,
        parts=parts,
    ):
        yield from map(opened.layout.document, hits)


def walk(
    cluster: Cluster,
    name: str,
    *,
    indexes: Mapping[str, str] | None = None,
    source: Any,
    fields: Sequence[str] = (),
    query: Mapping[str, Any] | None = None,
    most: int = MOST,
    part: int = 0,
    parts: int = 1,
) -> Iterator[list[Hit]]:
    """Iterate over pages of all documents, each once; with `parts`, over one of so many slices.

    A page has at most `most` documents, which is for the server to say, and fewer of long ones.
    A document that is changed while a lost view is replaced may come twice, old and new.
    `indexes` are those that the name stands for, name -> uuid, where that is known; raises
    IndexMismatchError where it stands for others, or does so when a lost view is replaced.
    """
    check_part(part, parts)
    begun_on = cluster.run(ask_indexes(name)) if indexes is None else indexes
    size, last, seen = min(_FIRST, most), None, set[tuple[str, str]]()
    pit = _open(cluster, name)

    def fetch(after: Sequence[Any] | None, size: int) -> Any:
        body = page(
            pit,
            size=size,
            source=source,
            fields=fields,
            query=query,
            after=after,
            from_seq_no=last if after is None else None,
            part=part,
            parts=parts,
        )
        request = Request("POST", "/_search", body, {"allow_partial_search_results": "false"})
        return cluster.send(request, patience_s=LONG_PATIENCE_S)

    # The server looks for the next page while this one is read.
    try:
        coming = in_thread(partial(fetch, None, size))
        while True:
            try:
                answer = coming.result()
                hits = hits_of(answer, cluster.location)
            except PointInTimeLostError:
                pit = _open(cluster, name)
                now = cluster.run(ask_indexes(name), patience_s=LONG_PATIENCE_S)
                if now != begun_on:
                    raise moved_meanwhile(cluster.location, begun_on, now) from None
                coming = in_thread(partial(fetch, None, size))
                continue
            pit = answer.get("pit_id", pit)
            if strays := [hit["_index"] for hit in hits if hit["_index"] not in begun_on]:
                raise moved_meanwhile(cluster.location, begun_on, dict.fromkeys(strays, "new"))
            if not hits:
                return
            new = hits
            if hits[0]["sort"][0] == last:  # a new view begins with what has been seen
                new = [hit for hit in hits if hit["sort"][0] != last or _place(hit) not in seen]
            if hits[-1]["sort"][0] != last:
                last, seen = hits[-1]["sort"][0], set()
            at_last = takewhile(lambda hit: hit["sort"][0] == last, reversed(hits))  # noqa: B023
            seen.update(map(_place, at_last))
            if len(hits) < size:
                if new:
                    yield new
                return
            size = min(most, _next_size(hits))
            coming = in_thread(partial(fetch, hits[-1]["sort"], size))
            if new:
                yield new
    finally:
        with suppress(ConnectorError):  # the server drops it by itself after KEEP_ALIVE
            cluster.send(Request("DELETE", "/_pit", {"id": pit}))


def page(
    pit: str,
    *,
    size: int,
    source: Any,
    fields: Sequence[str] = (),
    query: Mapping[str, Any] | None = None,
    after: Sequence[Any] | None = None,
    from_seq_no: int | None = None,
    part: int = 0,
    parts: int = 1,
) -> dict[str, Any]:
    """Word the request for a page: behind the hit `after`, or from a sequence number on."""
    body: dict[str, Any] = {
        "size": size,
        "pit": {"id": pit, "keep_alive": KEEP_ALIVE},
        "sort": [{"_seq_no": "asc"}],
        "_source": source,
        "track_total_hits": False,
    }
    if fields:
        body["fields"] = list(fields)
    if parts > 1:
        # Slices are else of what only one view has: places in its files.
        body["slice"] = {"field": "_seq_no", "id": part, "max": parts}
    if after is not None:
        body["search_after"] = list(after)
    clauses = [query] if query else []
    if from_seq_no is not None:
        clauses.append({"range": {"_seq_no": {"gte": from_seq_no}}})
    if clauses:
        body["query"] = {"bool": {"filter": clauses}}
    return body


def _open(cluster: Cluster, name: str) -> str:
    request = Request("POST", f"/{quoted(name)}/_pit", params={"keep_alive": KEEP_ALIVE})
    return str(cluster.send(request, patience_s=LONG_PATIENCE_S)["id"])


def _place(hit: Hit) -> tuple[str, str]:
    return hit["_index"], hit["_id"]


def _next_size(hits: Sequence[Hit]) -> int:
    """Say how many of such documents make a page."""
    sample = hits[:: max(1, len(hits) // 10)]
    size = sum(len(str(hit.get("_source") or hit.get("fields"))) for hit in sample) / len(sample)
    return int(min(MOST, max(LEAST, _PAGE_BYTES / max(1.0, size))))
