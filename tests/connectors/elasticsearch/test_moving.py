"""Aliases that move, and indexes made anew under their name, while a connector is open."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector, target
from retrieve_rerank.errors import IndexMismatchError
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.elasticsearch.conftest import Fill, write
from tests.servers import Server, fresh_index

WIDE, NARROW = HashingEncoder(64), HashingEncoder(32)


def texts(field: str, encoder: HashingEncoder | None = None) -> dict[str, Any]:
    properties: dict[str, Any] = {field: {"type": "text"}}
    if encoder:
        vector = {"type": "dense_vector", "dims": encoder.dimension, "similarity": "cosine"}
        properties["emb"] = vector
    return {"properties": properties}


def documents(
    field: str, prefix: str, encoder: HashingEncoder | None = None, count: int = 3
) -> list[dict[str, Any]]:
    found = []
    for number in range(count):
        text = f"{prefix} wing number {number}"
        vector = {"emb": encoder.embed_documents([text])[0].tolist()} if encoder else {}
        found.append({"_id": f"{prefix}{number}", field: text, **vector})
    return found


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def point(server: Server, alias: str, index: str) -> None:
    """Let an alias name an index and no other, in one step."""
    everywhere = {"remove": {"index": "rr-test-*", "alias": alias, "must_exist": False}}
    server.call(
        "POST", "/_aliases", {"actions": [everywhere, {"add": {"index": index, "alias": alias}}]}
    )


def found(index: ElasticsearchConnector, query: str = "wing") -> list[tuple[str, str]]:
    return sorted((hit.document.id, hit.document.text) for hit in index.search(query, top_k=10))


async def afound(index: ElasticsearchConnector) -> list[tuple[str, str]]:
    hits = await index.asearch("wing", top_k=10)
    return sorted((hit.document.id, hit.document.text) for hit in hits)


def expected(prefix: str, count: int = 3) -> list[tuple[str, str]]:
    return [(f"{prefix}{number}", f"{prefix} wing number {number}") for number in range(count)]


@pytest.mark.parametrize("field", ["body", "content"])
async def test_an_alias_that_moves_is_searched_as_what_it_names_now(
    server: Server, fill: Fill, field: str
) -> None:
    old = name_of(fill(texts("content"), documents("content", "old")))
    new = name_of(fill(texts(field), documents(field, "new")))
    alias = fresh_index(server)
    point(server, alias, old)
    with closing(ElasticsearchConnector.connect(server.address(alias))) as index:
        assert found(index) == expected("old")
        point(server, alias, new)
        assert found(index) == expected("new")
        point(server, alias, old)
        assert await afound(index) == expected("old")
        point(server, alias, new)
        assert [each.text for each in index.get(["new1"])] == ["new wing number 1"]
        point(server, alias, old)
        assert sorted((each.id, each.text) for each in index.scan()) == expected("old")
        await index.aclose()


async def test_vectors_of_other_dimensions_are_an_error_that_says_what_to_do(
    server: Server, fill: Fill
) -> None:
    old = name_of(fill(texts("content", WIDE), documents("content", "old", WIDE)))
    new = name_of(fill(texts("content", NARROW), documents("content", "new", NARROW)))
    alias = fresh_index(server)
    point(server, alias, old)
    with closing(ElasticsearchConnector.connect(server.address(alias), encoder=WIDE)) as index:
        assert found(index) == expected("old")
        point(server, alias, new)
        for _ in range(2):
            with pytest.raises(
                IndexMismatchError, match=r"64 dimensions.*32 dimensions.* Connect anew"
            ):
                found(index)
            with pytest.raises(
                IndexMismatchError, match=r"64 dimensions.*32 dimensions.* Connect anew"
            ):
                await afound(index)
        point(server, alias, old)
        assert found(index) == expected("old")
        await index.aclose()


def test_the_encoder_that_an_index_records_is_required_of_the_next(server: Server) -> None:
    urls = [server.address(fresh_index(server)) for _ in range(2)]
    for url, encoder in zip(urls, (WIDE, HashingEncoder(64, max_tokens=8)), strict=True):
        with ElasticsearchConnector.create(url, encoder=encoder) as made:
            made.index([Document(encoder.fingerprint, "wing")])
    alias = fresh_index(server)
    point(server, alias, name_of(urls[0]))
    with ElasticsearchConnector.connect(server.address(alias), encoder=WIDE) as index:
        assert found(index) == [(WIDE.fingerprint, "wing")]
        point(server, alias, name_of(urls[1]))
        for use in (lambda: found(index), lambda: index.index([Document("b", "tail")])):
            with pytest.raises(IndexMismatchError, match="Connect anew, with settings that fit"):
                use()
    with ElasticsearchConnector.connect(urls[1]) as other:
        assert other.count() == 1  # nothing with vectors of another encoder was written


def test_fields_that_were_named_and_are_gone_are_an_error(server: Server, fill: Fill) -> None:
    old = name_of(fill(texts("content"), documents("content", "old")))
    new = name_of(fill(texts("body"), documents("body", "new")))
    alias = fresh_index(server)
    point(server, alias, old)
    url = server.address(alias)
    with ElasticsearchConnector.connect(url, text_field="content") as index:
        point(server, alias, new)
        with pytest.raises(IndexMismatchError, match=rf"stands for {new} .*'content'.* anew"):
            found(index)


def test_an_index_made_anew_under_its_name_is_noticed(
    server: Server, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fill(texts("content"), documents("content", "old"))
    with ElasticsearchConnector.connect(url) as index:
        assert found(index) == expected("old")
        made_anew(server, name_of(url), texts("body"), documents("body", "new"))
        assert found(index) == expected("new")  # nothing is found by the old field
        monkeypatch.setattr(target, "CHECK_EVERY_S", 0.0)
        both = {"properties": {"body": {"type": "keyword"}, "passage": {"type": "text"}}}
        made_anew(server, name_of(url), both, documents("passage", "third"))
        assert found(index) == expected("third")


def made_anew(
    server: Server, name: str, mappings: dict[str, Any], filled: Sequence[dict[str, Any]]
) -> None:
    server.call("DELETE", f"/{name}")
    server.call("PUT", f"/{name}", {"mappings": mappings})
    write(server, name, filled)


def test_a_normal_search_asks_nothing_more(fill: Fill, caplog: pytest.LogCaptureFixture) -> None:
    with ElasticsearchConnector.connect(fill(texts("content"), documents("content", "a"))) as index:
        caplog.set_level("INFO", logger="elastic_transport.transport")
        for _ in range(5):
            found(index)
        assert len(caplog.records) == 5
        assert not found(index, "nowhere")  # which looks whether the index is another
        assert len(caplog.records) == 7


def test_a_scan_keeps_to_the_index_it_began_on(server: Server, fill: Fill) -> None:
    old = name_of(fill(texts("content"), documents("content", "old", count=300)))
    new = name_of(fill(texts("body"), documents("body", "new", count=300)))
    alias = fresh_index(server)
    point(server, alias, old)
    with ElasticsearchConnector.connect(server.address(alias)) as index:
        scan = index.scan()
        seen = [next(scan)]
        point(server, alias, new)
        seen += scan
        assert sorted((each.id, each.text) for each in seen) == sorted(expected("old", 300))
        assert sorted((each.id, each.text) for each in index.scan()) == sorted(expected("new", 300))


def test_a_scan_that_lost_its_view_of_another_index_stops(server: Server, fill: Fill) -> None:
    short = {"index": {"max_result_window": 50}}  # and so are pages
    old = name_of(fill(texts("content"), documents("content", "old", count=300), settings=short))
    new = name_of(fill(texts("content"), documents("content", "new", count=300)))
    alias = fresh_index(server)
    point(server, alias, old)
    with ElasticsearchConnector.connect(server.address(alias)) as index:
        scan = index.scan()
        seen = [next(scan).id]
        point(server, alias, new)
        server.call("POST", f"/{old}/_close")
        with pytest.raises(IndexMismatchError, match=r"when this began.*run it again"):
            seen += (each.id for each in scan)
        assert all(id_.startswith("old") for id_ in seen)


def test_slices_are_all_of_one_index(server: Server, fill: Fill) -> None:
    old = name_of(fill(texts("content"), documents("content", "old")))
    new = name_of(fill(texts("content"), documents("content", "new")))
    alias = fresh_index(server)
    point(server, alias, old)
    with ElasticsearchConnector.connect(server.address(alias)) as index:
        first = [each.id for each in index.scan_part(0, parts=2)]
        assert all(id_.startswith("old") for id_ in first)
        point(server, alias, new)
        with pytest.raises(IndexMismatchError, match="run it again"):
            list(index.scan_part(1, parts=2))


def test_an_audit_does_not_compare_two_indexes(server: Server, fill: Fill) -> None:
    old = name_of(fill(texts("content", WIDE), documents("content", "old", WIDE)))
    new = name_of(fill(texts("content", WIDE), documents("content", "new", WIDE)))
    alias = fresh_index(server)
    point(server, alias, old)
    with ElasticsearchConnector.connect(server.address(alias), encoder=WIDE) as index:
        vectors = index.query_vectors(["wing"])
        assert len(index.nearest(vectors[0], top_k=3)) == 3
        point(server, alias, new)
        with pytest.raises(IndexMismatchError, match="run it again"):
            index.nearest(vectors[0], top_k=3)
        with pytest.raises(IndexMismatchError, match="run it again"):
            index.nearest_exact(vectors, top_k=3)
