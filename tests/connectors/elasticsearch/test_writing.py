"""Filling indexes of our own and walking over them, on real servers of both releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from retrieve_rerank import Candidates, Document
from retrieve_rerank.base import Encoding
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.elasticsearch.client import Request
from retrieve_rerank.connectors.elasticsearch.filter_fields import filter_fields
from retrieve_rerank.connectors.elasticsearch.mapping import Index
from retrieve_rerank.connectors.elasticsearch.schema import (
    key,
    new_index,
    own_layout,
    source,
)
from retrieve_rerank.connectors.elasticsearch.writer import CHUNK_BYTES, Operation, chunks
from retrieve_rerank.connectors.lexical import LEFT_OUT
from retrieve_rerank.connectors.records import record
from retrieve_rerank.errors import PartialWriteError
from retrieve_rerank.indexing.documents import index_documents
from retrieve_rerank.testing import HashingEncoder
from tests.servers import Server, fresh_index


@pytest.fixture
def index(server: Server) -> Iterator[ElasticsearchConnector]:
    url = server.address(fresh_index(server))
    with ElasticsearchConnector.create(url, encoder=None) as made:
        yield made


class ZeroForSome(HashingEncoder):
    """Gives texts with "nothing" a vector of length 0, which the server refuses."""

    def _encode(self, text: str) -> Encoding:
        encoding = super()._encode(text)
        return encoding._replace(vector=np.zeros(32, np.float32)) if "nothing" in text else encoding


def test_refused_documents_are_named_and_the_others_written(server: Server) -> None:
    url = server.address(fresh_index(server))
    documents = [Document(f"d{i}", "nothing" if i % 100 == 7 else f"wing {i}") for i in range(300)]
    with ElasticsearchConnector.create(url, encoder=ZeroForSome()) as made:
        with pytest.raises(
            PartialWriteError, match="refused 3 of 300 documents, first 'd7'"
        ) as exc:
            made.index(documents)
        assert exc.value.failures.keys() == {"d7", "d107", "d207"}
        assert "zero magnitude" in exc.value.failures["d7"]
        assert made.count() == 297


def test_documents_with_too_many_fields_are_kept(index: ElasticsearchConnector) -> None:
    wide = {f"field{i}": i for i in range(3000)}
    index.index([Document("wide", "wing", wide), Document("d", "wing")])
    assert index.get(["wide"])[0].metadata == wide
    assert len(index.schema().fields) < 1000


@pytest.mark.parametrize(
    "name",
    ["a", "a b", " a ", ".a", "a.", "a..b", "a*", "ä", "a%2Eb", "%", "_id", "日本", "x" * 300],
)
def test_fields_of_any_name_can_be_filtered_by(name: str) -> None:
    made = source(record(Document("d", "text", {name: 1})), None)
    [[path, values]] = made["filters"]["integer"].items()
    assert values == [1]
    mapping = {
        "properties": {
            "filters": {"properties": {"integer": {"properties": {path: {"type": "long"}}}}}
        }
    }
    index = Index.parse(
        {"docs": {"mappings": {**mapping, "_meta": new_index(None, None)["mappings"]["_meta"]}}}
    )
    layout = own_layout(index)
    assert layout is not None
    assert filter_fields(index, layout).clauses({name: 1}) == [
        {"terms": {f"filters.integer.{path}": [1]}}
    ]


def test_fields_of_odd_names_are_taken_by_the_server(index: ElasticsearchConnector) -> None:
    metadata = {" a ": 1, ".b": 2, "c..d": 3, "e*": 4, "%": 5, "": 6, "_id": 7, "f": {"g.h": 8}}
    index.index([Document("odd", "wing", metadata), Document("d", "wing", {"f": 1})])
    assert index.get(["odd"])[0].metadata == metadata
    for filter in (
        {" a ": 1},
        {".b": 2},
        {"c..d": 3},
        {"e*": 4},
        {"%": 5},
        {"_id": 7},
        {"f.g.h": 8},
    ):
        assert [hit.document.id for hit in index.search("wing", top_k=5, filter=filter)] == ["odd"]


def test_long_ids_are_hashed_and_short_ones_are_not() -> None:
    assert key("ü" * 256) == "ü" * 256
    assert len(key("ü" * 257)) == 72
    assert source(record(Document("x" * 513, "")), None)["id"] == "x" * 513
    assert "id" not in source(record(Document("x" * 512, "")), None)


def test_chunks_are_bounded() -> None:
    operations = [Operation(str(i), b"x" * (CHUNK_BYTES // 3)) for i in range(7)]
    assert [len(chunk) for chunk in chunks(operations)] == [3, 3, 1]
    assert [len(chunk) for chunk in chunks([Operation("a", b"x")] * 1100)] == [500, 500, 100]
    huge = [Operation("a", b"x" * 2 * CHUNK_BYTES)] * 2
    assert [len(chunk) for chunk in chunks(huge)] == [1, 1]


def many(count: int) -> list[Document]:
    return [Document(f"d{i}", f"wing number {i}", {"i": i}) for i in range(count)]


def test_a_scan_goes_on_where_its_view_of_the_index_is_lost(
    server: Server, index: ElasticsearchConnector
) -> None:
    documents = many(1500)
    index.index(documents)
    index.delete(["d3", "d400"])
    seen: list[str] = []
    for number, document in enumerate(index.scan()):
        seen.append(document.id)
        if number in (50, 120, 1100):  # within a page: the next one finds the view gone
            name = index.schema().details["indexes"][0]
            server.call("POST", f"/{name}/_close")
            server.call("POST", f"/{name}/_open")
    assert sorted(seen) == sorted(d.id for d in documents if d.id not in ("d3", "d400"))


def test_a_scan_sees_the_index_as_it_was(index: ElasticsearchConnector) -> None:
    index.index(many(300))
    scan = index.scan()
    first = next(scan)
    index.delete([each.id for each in many(300)])
    index.index([Document("new", "wing")])
    assert {first.id, *(each.id for each in scan)} == {each.id for each in many(300)}


def test_long_documents_come_in_short_pages(
    index: ElasticsearchConnector, caplog: pytest.LogCaptureFixture
) -> None:
    index.index(Document(f"d{i}", f"{i} " + "x" * 200_000) for i in range(60))
    caplog.set_level("INFO", logger="elastic_transport.transport")
    assert sum(1 for _ in index.scan()) == 60
    assert len([each for each in caplog.records if "/_search" in each.message]) >= 3


def test_a_language_that_cannot_be_told_is_settled_once(index: ElasticsearchConnector) -> None:
    index.index([Document("a", "ξψ ωω δδ"), Document("b", "жжж ццц ъъъ шшш ыыы эээ ююю")])
    index.index([Document("c", "the lift of a thin wing and the drag of it")])
    assert index.count() == 3
    assert [hit.document.id for hit in index.search("ццц", top_k=5)] == ["b"]


def test_numbers_keep_their_type_in_ranges(index: ElasticsearchConnector) -> None:
    values: list[Any] = [2**62 + 1, 2**62 + 3, 0.1, -5]
    index.index([Document(f"d{i}", "wing", {"v": value}) for i, value in enumerate(values)])
    hits = index.search("wing", top_k=9, filter={"v": 2**62 + 1})
    assert [hit.document.id for hit in hits] == ["d0"]
    assert [each.metadata["v"] for each in index.get(["d0", "d1", "d2", "d3"])] == values


def test_old_passages_stay_where_the_server_refused_a_new_one(server: Server) -> None:
    url = server.address(fresh_index(server))
    with ElasticsearchConnector.create(url, encoder=ZeroForSome()) as connector:
        long = "One wing flies. Two wings fly. Three wings fly."
        documents = [Document("a", long), Document("b", long)]
        assert index_documents(connector, documents, passages=3).indexed == 6
        documents = [Document("a", "nothing. Two wings fly."), Document("b", "One wing flies.")]
        with pytest.raises(PartialWriteError):
            index_documents(connector, documents, passages=3)
        assert {each.id for each in connector.scan()} == {"a#0", "a#1", "a#2", "b#0"}


def test_two_processes_that_begin_one_index_both_go_on(server: Server) -> None:
    """The second tells the language of the same index, which the first has told before it."""
    address = server.address(fresh_index(server))
    english = [Document(f"e{n}", f"What the lift of the wing is in tunnel {n}.") for n in range(9)]
    german = [Document(f"d{n}", f"Was der Auftrieb im Kanal {n} nicht ist.") for n in range(9)]
    with (
        ElasticsearchConnector.create(address, encoder=None) as first,
        ElasticsearchConnector.connect(address) as second,
    ):
        assert first.index(english).indexed == 9
        assert second.index(german).indexed == 9
        assert first.count() == second.count() == 18
        assert second.search("Auftrieb Kanal 7", top_k=1)[0].document == german[7]


def test_an_index_of_an_earlier_release_says_why_stop_words_find_nothing(server: Server) -> None:
    url = server.address(fresh_index(server))
    with ElasticsearchConnector.create(url, encoder=None) as index:
        field = {"type": "text", "analyzer": "english"}
        meta = new_index(None, "english")["mappings"]["_meta"]
        body = {"properties": {"text": field, "title": field}, "_meta": meta}
        index._cluster.send(Request("PUT", f"/{index._target.opened.name}/_mapping", body))
    with ElasticsearchConnector.connect(url) as index:
        index.index([Document("hamlet", "To be, or not to be: İstanbul is the question.")])
        for query, found, notes in (
            ("questions", ["hamlet"], ()),
            ("to be or not to be", [], (LEFT_OUT,)),
        ):
            hits = index.search(query, top_k=5)
            assert isinstance(hits, Candidates)
            assert ([hit.document.id for hit in hits], hits.notes) == (found, notes)
