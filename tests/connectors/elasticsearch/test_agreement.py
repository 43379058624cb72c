"""Indexes behind one address whose mappings differ, on real servers of both releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.errors import IndexMismatchError, SchemaError, UnknownFieldError
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.elasticsearch.conftest import write
from tests.servers import Server, fresh_index

connect = ElasticsearchConnector.connect
ENCODER = HashingEncoder()
TEXT, KEYWORD = {"type": "text"}, {"type": "keyword"}
LONG = "a text that is longer than the other fields of its document, as texts are"


def together(server: Server, **indexes: tuple[Mapping[str, Any], list[dict[str, Any]]]) -> str:
    """Make indexes of mapped fields and documents; return the address of all."""
    stem = fresh_index(server)
    for name, (properties, documents) in indexes.items():
        server.call("PUT", f"/{stem}-{name}", {"mappings": {"properties": properties}})
        write(server, f"{stem}-{name}", documents)
    return server.address(f"{stem}-*")


def vector(dimension: int) -> dict[str, Any]:
    return {"type": "dense_vector", "dims": dimension, "similarity": "cosine"}


def test_a_text_that_one_index_does_not_analyse_is_refused(server: Server) -> None:
    one, two = [{"content": f"wing {LONG}"}], [{"content": f"pipe {LONG}", "notes": "short"}]
    url = together(server, a=({"content": TEXT}, one), b=({"content": KEYWORD, "notes": TEXT}, two))
    for asked in (None, "content"):
        with pytest.raises(SchemaError, match=r"'content'.*text in \S+-a, keyword in \S+-b.*alike"):
            connect(url, text_field=asked)


def test_a_text_that_one_index_lacks_is_refused_unless_it_is_asked_for(server: Server) -> None:
    many = [{"content": f"{i} {LONG}"} for i in range(60)]  # more than are looked at
    url = together(server, a=({"content": TEXT}, many), b=({"body": TEXT}, [{"body": LONG}]))
    with pytest.raises(SchemaError, match=r"'content', which \S+-b lacks|several fields|--text-"):
        connect(url)
    with connect(url, text_field="content") as index:
        assert any("`content` is not in" in note for note in index.schema().notes)
        assert index.count() == 61


def test_an_empty_index_beside_a_full_one_is_no_difference(server: Server) -> None:
    url = together(server, a=({}, []), b=({"content": TEXT}, [{"content": LONG}]))
    with connect(url) as index:
        assert [hit.document.text for hit in index.search("longer", top_k=5)] == [LONG]


def test_vectors_that_differ_are_refused_where_they_would_be_searched(server: Server) -> None:
    def documents(dimension: int) -> list[dict[str, Any]]:
        return [{"content": LONG, "emb": [1.0] * dimension}]

    url = together(
        server,
        a=({"content": TEXT, "emb": vector(16)}, documents(16)),
        b=({"content": TEXT, "emb": vector(32)}, documents(32)),
    )
    for encoder, field in ((ENCODER, None), (None, "emb")):
        with pytest.raises(SchemaError, match=r"'emb'.*of 16 float.*-a.*of 32 float.*-b"):
            connect(url, encoder=encoder, vector_field=field)
    with connect(url) as index:  # by words alone
        assert len(index.search("longer", top_k=5)) == 2
        assert any("`emb` is not alike" in note for note in index.schema().notes)


def test_vectors_of_one_index_do_not_hide_the_other(server: Server) -> None:
    [row] = ENCODER.embed_documents(["longer"]).tolist()
    url = together(
        server,
        a=({"content": TEXT, "emb": vector(32)}, [{"content": LONG, "emb": row}]),
        b=({"content": TEXT}, [{"content": LONG}]),
    )
    with connect(url, encoder=ENCODER) as index:
        assert len(index.search("longer", top_k=5)) == 2
        [found] = index.nearest_exact(ENCODER.embed_queries(["longer"]), top_k=5)
        assert len(found) == 1
        assert any("`emb` is not in" in note for note in index.schema().notes)


def test_filters_by_what_differs_say_so(server: Server) -> None:
    url = together(
        server,
        a=({"content": TEXT, "year": {"type": "long"}}, [{"content": LONG, "year": 2024}]),
        b=({"content": TEXT, "year": KEYWORD}, [{"content": LONG, "year": "2024a"}]),
    )
    with connect(url) as index:
        with pytest.raises(UnknownFieldError, match=r"'year' is not alike.*a number in .*keyword"):
            index.search("longer", top_k=5, filter={"year": 2024})
        assert any("`year` is not alike" in note for note in index.schema().notes)


def test_indexes_of_our_own_must_be_made_alike(server: Server) -> None:
    stem = fresh_index(server)
    encoders = {"a": ENCODER, "b": HashingEncoder(max_tokens=8, name="other"), "c": None}
    for name, encoder in encoders.items():
        url = server.address(f"{stem}-{name}")
        with ElasticsearchConnector.create(url, encoder=encoder, language="english") as index:
            index.index([Document("d", f"wing {name}")])
    with pytest.raises(IndexMismatchError, match=r"-a with hashing, .*-b with other"):
        connect(server.address(f"{stem}-*"))
    with connect(server.address(f"{stem}-a,{stem}-c"), encoder=ENCODER) as index:
        hits = index.search("wing", top_k=5)
        assert {hit.document.id for hit in hits} == {f"{stem}-a/d", f"{stem}-c/d"}
        assert any(f"`vector` is not in {stem}-c" in note for note in index.schema().notes)
    server.call("PUT", f"/{stem}-other")
    with pytest.raises(IndexMismatchError, match=r"made by this library and .*-other was not"):
        connect(server.address(f"{stem}-a,{stem}-other"))
