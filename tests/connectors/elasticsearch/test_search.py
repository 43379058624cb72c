"""Searching real servers of both releases: indexes of others, of every kind of vectors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from retrieve_rerank import Document, Hit, Range, Retriever
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.errors import (
    ConfigError,
    ConnectionFailedError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    LicenseError,
    SchemaError,
    UnknownFieldError,
)
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.elasticsearch.conftest import Fill
from tests.servers import Server, fresh_index

TEXTS = [
    "the lift of a thin wing",
    "drag polar of a slender body",
    "lift and drag of a wing in a slipstream",
    "heat transfer in a pipe",
]
INDEX_TYPES = [
    *("hnsw", "int8_hnsw", "int4_hnsw", "bbq_hnsw"),
    *("flat", "int8_flat", "int4_flat", "bbq_flat"),
]
connect = ElasticsearchConnector.connect


def ids(hits: list[Hit]) -> list[str]:
    return [hit.document.id for hit in hits]


def documents(encoder: HashingEncoder, *, text: str = "text", vector: str = "vector") -> list[Any]:
    rows = encoder.embed_documents(TEXTS)
    return [
        {text: each, vector: row.tolist(), "metadata": {"year": 1950 + 10 * i, "lang": "en"}}
        for i, (each, row) in enumerate(zip(TEXTS, rows, strict=True))
    ]


def langchain(dims: int, **settings: Any) -> dict[str, Any]:
    return {"properties": {"vector": {"type": "dense_vector", "dims": dims, **settings}}}


def test_vectors_of_every_index_type_are_searched(fill: Fill) -> None:
    encoder = HashingEncoder(128)
    rows = encoder.embed_documents(TEXTS).tolist()
    vectors = {
        f"v_{kind}": {"type": "dense_vector", "dims": 128, "index_options": {"type": kind}}
        for kind in INDEX_TYPES
    }
    stored = [
        {"text": text, **dict.fromkeys(vectors, row)} for text, row in zip(TEXTS, rows, strict=True)
    ]
    url = fill({"properties": vectors}, stored)
    for kind in INDEX_TYPES:
        with connect(url, encoder=encoder, vector_field=f"v_{kind}") as index:
            hits = index.search(TEXTS[1], top_k=4)
            assert hits[0].document.text == TEXTS[1]
            assert hits[0].sources.keys() == {"dense", "bm25"}
            # One bit a number tells little where it is not compared again at full precision.
            assert hits[0].sources["dense"].score == pytest.approx(1.0, abs=0.1)
            fields = {each["name"]: each for each in index.schema().details["vector_fields"]}
            expected = None if kind in ("hnsw", "flat") else kind
            assert fields[f"v_{kind}"]["quantization"] == expected


@pytest.mark.parametrize("measure", ["cosine", "dot_product", "l2_norm", "max_inner_product"])
def test_similarities_are_those_of_the_vectors(fill: Fill, measure: str) -> None:
    encoder = HashingEncoder()
    mapping = langchain(32, similarity=measure, index_options={"type": "hnsw"})
    fusion = Fusion(weights={"bm25": 0})
    with connect(fill(mapping, documents(encoder)), encoder=encoder, fusion=fusion) as index:
        hits = index.search("lift of a wing", top_k=4)
    query = encoder.embed_queries(["lift of a wing"])[0]
    rows = encoder.embed_documents([hit.document.text for hit in hits])
    expected = -np.linalg.norm(rows - query, axis=1) if measure == "l2_norm" else rows @ query
    assert [hit.score for hit in hits] == pytest.approx(expected.tolist(), abs=1e-5)


def test_oversampling_compares_at_full_precision(fill: Fill) -> None:
    encoder = HashingEncoder(128)
    url = fill(langchain(128, index_options={"type": "int4_hnsw"}), documents(encoder))
    query = encoder.embed_queries(["lift of a wing"])[0]
    with connect(url, encoder=encoder, oversample=4, fusion=Fusion(weights={"bm25": 0})) as index:
        hits = index.search("lift of a wing", top_k=4)
    rows = encoder.embed_documents([hit.document.text for hit in hits])
    assert [hit.score for hit in hits] == pytest.approx((rows @ query).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("analyzer", "texts", "query", "expected"),
    [
        ("standard", ["running shoes", "run a race"], "running", ["d0"]),
        ("english", ["running shoes", "a heavy hat"], "the runs", ["d0"]),
        ("cjk", ["東京都の天気", "大阪の食べ物"], "東京", ["d0"]),
    ],
)
def test_words_are_searched_as_the_field_analyses_them(
    fill: Fill, analyzer: str, texts: list[str], query: str, expected: list[str]
) -> None:
    mapping = {"properties": {"text": {"type": "text", "analyzer": analyzer}}}
    with connect(fill(mapping, [{"text": text} for text in texts])) as index:
        assert ids(index.search(query, top_k=5)) == expected


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        (None, "The wings of an aircraft are lifting it", "wing lifted"),
        ("chinese", "中华人民共和国的首都是北京", "北京"),
    ],
)
def test_own_indexes_are_analysed_as_their_language_wants(
    server: Server, language: str | None, text: str, query: str
) -> None:
    url = server.address(fresh_index(server))
    with ElasticsearchConnector.create(url, encoder=None, language=language) as index:
        index.index([Document("a", text), Document("b", "something else")])
        assert ids(index.search(query, top_k=5)) == ["a"]


def test_words_of_the_title_count(fill: Fill) -> None:
    rows = [{"body": "a long text of nothing " * 9, "title": "Wings"}, {"body": "of pipes " * 20}]
    with connect(fill(None, rows)) as index:
        [hit] = index.search("wings", top_k=5)
        assert hit.document == Document("d0", rows[0]["body"], {"title": "Wings"})


def test_a_search_is_one_request(fill: Fill, caplog: pytest.LogCaptureFixture) -> None:
    encoder = HashingEncoder()
    url = fill(langchain(32), documents(encoder))
    caplog.set_level(logging.INFO, logger="elastic_transport.transport")
    for options in ({"encoder": encoder}, {}, {"encoder": encoder, "fusion": DENSE_ONLY}):
        with connect(url, **options) as index:
            caplog.clear()
            assert index.search("wing", top_k=3)
            assert index.search("wing", top_k=3, filter={"year": Range(gte=1950)})
            assert len(caplog.records) == 2


DENSE_ONLY = Fusion(weights={"bm25": 0})


def test_vectors_are_never_fetched(fill: Fill, caplog: pytest.LogCaptureFixture) -> None:
    encoder = HashingEncoder()
    rows = [
        {**each, "metadata": {"_node_content": "{}", "file_name": "a"}}
        for each in documents(encoder, text="content", vector="embedding")
    ]
    properties = {"embedding": {"type": "dense_vector", "dims": 32}}
    with connect(fill({"properties": properties}, rows), encoder=encoder) as index:
        [hit] = index.search("heat", top_k=1)
        assert dict(hit.document.metadata) == {"title": "a", "file_name": "a"}
        assert [dict(each.metadata) for each in index.get(["d0"])] == [hit.document.metadata]
        assert all("_node_content" not in each.metadata for each in index.scan())


def test_filters_apply_within_the_graph_and_to_the_words(fill: Fill) -> None:
    encoder = HashingEncoder()
    with connect(fill(langchain(32), documents(encoder)), encoder=encoder) as index:
        hits = index.search(
            "wing drag heat lift", top_k=9, filter={"year": Range(gt=1950, lte=1970)}
        )
        assert set(ids(hits)) == {"d1", "d2"}
        assert {name for hit in hits for name in hit.sources} == {"dense", "bm25"}
        assert ids(index.search("heat", top_k=9, filter={"lang": "de"})) == []
        with pytest.raises(UnknownFieldError, match=r"'colour' .*; known: lang, .*year"):
            index.search("heat", top_k=1, filter={"colour": "red"})


def test_chunks_are_searched_and_the_best_one_is_shown(fill: Fill) -> None:
    encoder = HashingEncoder()
    rows = encoder.embed_documents(TEXTS).tolist()
    nested = {"text": {"type": "text"}, "vector": {"type": "dense_vector", "dims": 32}}
    mapping = {"properties": {"passages": {"type": "nested", "properties": nested}}}
    chunks = [{"text": text, "vector": row} for text, row in zip(TEXTS, rows, strict=True)]
    stored = [
        {"title": "Wings", "passages": chunks[:3]},
        {"title": "Pipes", "passages": chunks[3:]},
    ]
    with connect(fill(mapping, stored), encoder=encoder) as index:
        hits = index.search("slender body", top_k=5)
        assert (hits[0].document.id, hits[0].document.text) == ("d0", TEXTS[1])
        assert hits[0].sources.keys() == {"dense", "bm25"}
        assert index.get(["d0"])[0].text == "\n".join(TEXTS[:3])
        assert index.count() == 2
        exact = index.nearest_exact(encoder.embed_queries([TEXTS[3]]), top_k=2)
        assert exact[0][0][0] == "d1"
        assert exact[0][0][1] == pytest.approx(1.0, abs=1e-5)


class Weights:
    """A sparse encoder of one token for each word."""

    name = fingerprint = "words"

    def encode_queries(self, texts: Sequence[str]) -> list[dict[int, float]]:
        return [dict.fromkeys(range(len(text.split())), 1.0) for text in texts]

    encode_documents = encode_queries

    def tokens(self, ids: Sequence[int]) -> list[str]:
        return ["wing", "heat"][: len(ids)]


def test_learned_sparse_vectors_are_searched_with_weights_made_here(fill: Fill) -> None:
    tokens = {"properties": {"tokens": {"type": "sparse_vector"}}}
    rows = [
        {"text": "one", "vector": {"tokens": {"wing": 2.0}}},
        {"text": "two", "vector": {"tokens": {"heat": 0.5, "pipe": 1.0}}},
    ]
    url = fill({"properties": {"vector": tokens}}, rows)
    with connect(url, sparse_encoder=Weights()) as index:
        hits = index.search("any words", top_k=5)
        assert [(hit.document.text, hit.sources["sparse"].rank) for hit in hits] == [
            ("one", 1),
            ("two", 2),
        ]
        assert index.schema().rankings == ["bm25", "sparse"]
    with connect(url) as index:
        assert "--sparse-encoder" in index.schema().notes[-1]


def test_vectors_without_an_encoder_are_left_alone_and_named(fill: Fill) -> None:
    with connect(fill(langchain(32), documents(HashingEncoder()))) as index:
        schema = index.schema()
        assert schema.rankings == ["bm25"]
        assert schema.notes == [
            "vectors in `vector` (32 dimensions) are not searched: name the encoder they were "
            "made with, with --encoder"
        ]
        assert ids(index.search("heat", top_k=5)) == ["d3"]


def test_an_encoder_of_other_dimensions_is_refused_with_both(fill: Fill) -> None:
    with pytest.raises(IndexMismatchError, match=r"16 dimensions.*vector \(32 dimensions\)"):
        connect(fill(langchain(32), documents(HashingEncoder())), encoder=HashingEncoder(16))


def test_the_schema_tells_what_was_found(server: Server, fill: Fill) -> None:
    encoder = HashingEncoder()
    with connect(fill(langchain(32), documents(encoder)), encoder=encoder) as index:
        schema = index.schema()
    assert (schema.documents, schema.dimension, schema.encoder) == (4, 32, "hashing")
    assert schema.fields == {"lang": "string", "text": "string", "year": "integer"}
    details = schema.details
    assert (details["version"], details["licence"]) == (server.version, "basic")
    assert (details["writer"], details["text_field"]) == ("LangChain", "text")
    assert details["vector_fields"][0]["used"] is True


def test_fusion_by_the_server_needs_its_licence(fill: Fill) -> None:
    encoder = HashingEncoder()
    url = fill(langchain(32), documents(encoder))
    with (
        connect(url, encoder=encoder, fusion=Fusion("server-rrf")) as index,
        pytest.raises(LicenseError, match="has a basic licence; server-rrf needs an Enterprise"),
    ):
        index.search("wing", top_k=3)


def test_indexes_of_others_are_not_written_to(fill: Fill) -> None:
    with connect(fill(None, [{"text": "wing"}])) as index:
        with pytest.raises(SchemaError, match="rr index SOURCE --index"):
            index.index([Document("a", "b")])
        assert index.delete(["d0", "d1"]) == 1
        assert index.count() == 0


@pytest.mark.parametrize(
    "properties", [{}, {"text": {"type": "text"}}, langchain(32)["properties"]]
)
def test_an_index_of_zero_documents_answers(fill: Fill, properties: dict[str, Any]) -> None:
    url = fill({"properties": properties})
    with connect(url, encoder=HashingEncoder()) as index:
        assert index.search("wing", top_k=10) == []
        assert list(index.scan()) == index.get(["a"]) == []
        assert index.schema().documents == 0


def test_documents_of_any_shape_are_read(fill: Fill) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "wing " * 20},
        {"text": ["wing", "two"]},
        {"other": 1},
        {"text": None},
    ]
    with connect(fill(None, rows), text_field="text") as index:
        found = {each.id: each.text for each in index.scan()}
        assert found == {"d0": "wing " * 20, "d1": "wing\ntwo", "d2": "", "d3": ""}
        assert set(ids(index.search("wing", top_k=10))) == {"d0", "d1"}


def test_more_than_the_server_gives_is_cut_to_its_limit(fill: Fill) -> None:
    encoder = HashingEncoder()
    url = fill(langchain(32), documents(encoder), settings={"index.max_result_window": 3})
    with connect(url, encoder=encoder) as index:
        assert len(index.search("wing", top_k=50_000)) >= 3
    with connect(fill(langchain(32), documents(encoder)), encoder=encoder) as index:
        assert len(index.search("wing", top_k=50_000)) == 4


def test_an_alias_over_two_indexes_is_searched_and_read(server: Server, fill: Fill) -> None:
    alias = fresh_index(server)
    for name in ("one", "two"):
        url = fill(None, [{"_id": name, "text": f"wing {name}"}])
        body = {"actions": [{"add": {"index": url.rpartition("/")[2], "alias": alias}}]}
        server.call("POST", "/_aliases", body)
    with connect(server.address(alias)) as index:
        found = set(ids(index.search("wing", top_k=5)))
        assert {each.partition("/")[2] for each in found} == {"one", "two"}
        assert {each.text for each in index.get(["two", "x", "one"])} == {"wing one", "wing two"}
        assert {each.id for each in index.scan()} == found


def test_indexes_that_are_not_there_and_those_that_are(server: Server) -> None:
    url = server.address(fresh_index(server))
    with pytest.raises(IndexNotFoundError, match="there is no index"):
        connect(url)
    ElasticsearchConnector.create(url, encoder=None).close()
    with pytest.raises(IndexExistsError, match="already exists"):
        ElasticsearchConnector.create(url, encoder=None)
    alias = fresh_index(server)
    name = url.rpartition("/")[2]
    server.call("POST", "/_aliases", {"actions": [{"add": {"index": name, "alias": alias}}]})
    with pytest.raises(IndexExistsError, match=f"exists, as an alias of '{name}'; open it to add"):
        ElasticsearchConnector.create(server.address(alias), encoder=None)
    with pytest.raises(ConfigError, match="must not contain the following characters"):
        ElasticsearchConnector.create(server.address("rr-two%20words"), encoder=None)
    with pytest.raises(IndexNotFoundError):
        connect(server.address("rr-nothing-*"))
    with pytest.raises(ConfigError, match="takes no grpc, hnsw_ef"):
        connect(url, grpc=True, hnsw_ef=3)


def test_an_index_without_its_shards_is_an_error(server: Server) -> None:
    name = fresh_index(server)
    settings = {"index.routing.allocation.require._name": "nobody"}
    mappings = {"properties": {"text": {"type": "text"}}}
    body = {"settings": settings, "mappings": mappings}
    server.call("PUT", f"/{name}?wait_for_active_shards=0", body)
    with pytest.raises(ConnectionFailedError, match="missing shards"):
        connect(server.address(name))


def test_an_index_remembers_its_encoder(server: Server) -> None:
    url = server.address(fresh_index(server))
    with ElasticsearchConnector.create(url, encoder=HashingEncoder()) as index:
        index.index([Document("a", "wing")])
    with connect(url, encoder=HashingEncoder()) as index:
        assert index.search("wing", top_k=1)[0].sources.keys() == {"dense", "bm25"}
    with pytest.raises(IndexMismatchError, match=r"made with hashing \(32 dimensions"):
        connect(url, encoder=HashingEncoder(16))
    with connect(url, fusion=Fusion(weights={"dense": 0})) as index:
        assert ids(index.search("wing", top_k=1)) == ["a"]


async def test_each_loop_has_connections_of_its_own(fill: Fill) -> None:
    with connect(fill(None, [{"text": "wing"}])) as index:
        first = await index.asearch("wing", top_k=1)
        others = await asyncio.to_thread(asyncio.run, _several(index))
        assert others == [first] * 5
        await index.aclose()
        assert await index.asearch("wing", top_k=1) == first


async def _several(index: ElasticsearchConnector) -> list[list[Hit]]:
    return await asyncio.gather(*(index.asearch("wing", top_k=1) for _ in range(5)))


@pytest.mark.parametrize("count", [500, 9000, 20_000])
def test_a_query_of_thousands_of_words_is_answered_and_says_by_which(
    fill: Fill, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    text = {"type": "text"}
    documents = [
        {"_id": "a", "title": "Lease", "content": "The tenant pays the rent each month."},
        {"_id": "b", "title": "Bees", "content": "Bees swarm in May."},
    ]
    url = fill({"properties": {"title": text, "content": text}}, documents)
    pasted = " ".join(f"w{number:x}q" for number in range(count))
    with ElasticsearchConnector.connect(url) as index:
        for query in (f"When is the rent due? {pasted}", f"{pasted} When is the rent due?"):
            caplog.clear()
            caplog.set_level("INFO", logger="elastic_transport.transport")
            result = Retriever(index).search(query)
            assert result.hits[0].document.id == "a"
            told = " ".join(result.stages[0].notes)
            if count == 500:
                assert not told
                assert len(caplog.records) == 1
            else:
                assert f"the query has {count + 5} different words" in told


def test_a_query_without_spaces_may_be_long_too(fill: Fill) -> None:
    documents = [{"_id": "a", "content": "房租每月第一天支付"}, {"_id": "b", "content": "Bees"}]
    url = fill({"properties": {"content": {"type": "text", "analyzer": "cjk"}}}, documents)
    pasted = "".join(chr(0x4E00 + number) for number in range(0, 20_000))
    with ElasticsearchConnector.connect(url) as index:
        assert [hit.document.id for hit in index.search(f"房租{pasted}", top_k=3)] == ["a"]
