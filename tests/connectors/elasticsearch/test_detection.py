"""Indexes as others make them: mapping and documents in, what the fields are for out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from retrieve_rerank.connectors.elasticsearch.detection import FieldChoice, detect
from retrieve_rerank.connectors.elasticsearch.filter_fields import filter_fields
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.mapping import Index
from retrieve_rerank.connectors.elasticsearch.schema import own_layout
from retrieve_rerank.errors import (
    IndexMismatchError,
    InputError,
    SchemaError,
    UnknownFieldError,
)

LONG = "the lift of a thin wing in a slipstream " * 5
WORDS = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
KEYWORD = {"type": "keyword"}


def vector(dims: int = 384, **settings: Any) -> dict[str, Any]:
    return {"type": "dense_vector", "dims": dims, "index": True, "similarity": "cosine", **settings}


def index(properties: Mapping[str, Any], **mapping: Any) -> Index:
    return Index.parse({"docs": {"mappings": {"properties": properties, **mapping}}})


LANGCHAIN = index(
    {
        "text": WORDS,
        "vector": vector(),
        "metadata": {"properties": {"source": WORDS, "page": {"type": "long"}}},
    }
)
LANGCHAIN_SPARSE = index(
    {
        "text": WORDS,
        "vector": {"properties": {"tokens": {"type": "sparse_vector"}}},
        "metadata": {"properties": {"source": WORDS}},
    }
)
CLIENT_HELPER = index(
    {"text_field": WORDS, "vector_field": vector(), "metadata": {"properties": {"a": WORDS}}}
)
LLAMA_INDEX = index(
    {
        "content": {"type": "text"},
        "embedding": vector(),
        "metadata": {
            "properties": {
                "_node_content": WORDS,
                "_node_type": WORDS,
                "document_id": KEYWORD,
                "doc_id": KEYWORD,
                "ref_doc_id": KEYWORD,
                "file_name": WORDS,
            }
        },
    }
)
HAYSTACK = index(
    {
        "embedding": vector(),
        "content": {"type": "text"},
        "id": KEYWORD,
        "title": KEYWORD,
        "year": {"type": "long"},
    },
    dynamic_templates=[
        {"strings": {"path_match": "*", "match_mapping_type": "string", "mapping": KEYWORD}}
    ],
)
CHUNKS = index(
    {
        "title": WORDS,
        "passages": {
            "type": "nested",
            "properties": {"text": {"type": "text"}, "vector": vector(), "page": {"type": "long"}},
        },
    }
)
SEMANTIC = index(
    {
        "title": WORDS,
        "body": {
            "type": "semantic_text",
            "inference_id": "my-e5",
            "model_settings": {
                "task_type": "text_embedding",
                "dimensions": 384,
                "similarity": "dot_product",
                "element_type": "float",
            },
        },
    }
)
PLAIN = index({"headline": WORDS, "body": WORDS, "author": WORDS, "year": {"type": "long"}})

CASES: list[tuple[Index, dict[str, Any], dict[str, Any]]] = [
    (
        LANGCHAIN,
        {"text": LONG, "metadata": {"source": "a.pdf", "page": 1}},
        {
            "writer": "LangChain",
            "text": "text",
            "title": "metadata.source",
            "metadata": "metadata",
            "lexical": ("text",),
            "vector": "vector",
        },
    ),
    (
        LANGCHAIN_SPARSE,
        {"text": LONG, "metadata": {"source": "a.pdf"}},
        {"writer": "LangChain (sparse)", "text": "text", "sparse": "vector.tokens", "vector": None},
    ),
    (
        CLIENT_HELPER,
        {"text_field": LONG, "metadata": {"a": "b"}},
        {"writer": "elasticsearch-py", "text": "text_field", "vector": "vector_field"},
    ),
    (
        LLAMA_INDEX,
        {"content": LONG, "metadata": {"_node_content": "{}" * 999, "file_name": "a.pdf"}},
        {
            "writer": "LlamaIndex",
            "text": "content",
            "title": "metadata.file_name",
            "vector": "embedding",
            "excludes": ("embedding", "metadata._node_content"),
        },
    ),
    (
        HAYSTACK,
        {"id": "x", "content": LONG, "title": "Wings", "year": 1950},
        {
            "writer": "Haystack",
            "text": "content",
            "title": "title",
            "metadata": None,
            "lexical": ("content",),
            "vector": "embedding",
        },
    ),
    (
        CHUNKS,
        {"title": "Wings", "passages": [{"text": LONG, "page": 1}, {"text": LONG}]},
        {
            "writer": "unknown",
            "text": "passages.text",
            "title": "title",
            "chunks": "passages",
            "vector": "passages.vector",
            "lexical": ("passages.text", "title"),
        },
    ),
    (
        SEMANTIC,
        {"title": "Wings", "body": LONG},
        {"writer": "semantic_text", "text": "body", "title": "title", "lexical": ()},
    ),
    (
        PLAIN,
        {"headline": "Wings", "body": LONG, "author": "Ada", "year": 1950},
        {
            "writer": "unknown",
            "text": "body",
            "title": "headline",
            "lexical": ("body", "headline"),
            "vector": None,
        },
    ),
]


@pytest.mark.parametrize(("found", "sample", "expected"), CASES, ids=lambda case: "")
def test_writers_are_known_by_their_signatures(
    found: Index, sample: dict[str, Any], expected: dict[str, Any]
) -> None:
    layout = detect(found, [sample] * 3, FieldChoice())
    seen = {name: getattr(layout, name) for name in expected}
    if layout.vector is not None:
        seen["vector"] = layout.vector.name
    assert seen == expected


@pytest.mark.parametrize(("found", "sample", "expected"), CASES, ids=lambda case: "")
def test_an_empty_index_is_understood_as_far_as_its_mapping_goes(
    found: Index, sample: dict[str, Any], expected: dict[str, Any]
) -> None:
    layout = detect(found, [], FieldChoice())
    assert (layout.writer, layout.text) == (expected["writer"], expected["text"])


def test_a_semantic_text_says_what_model_embeds_it() -> None:
    semantic = detect(SEMANTIC, [{"body": LONG}], FieldChoice()).semantic
    assert semantic is not None
    assert (semantic.field, semantic.ranking, semantic.model) == ("body", "dense", "my-e5")


def test_an_index_without_any_field_is_empty() -> None:
    layout = detect(index({}), [], FieldChoice())
    assert (layout.text, layout.lexical) == (None, ())
    assert layout.notes == ("the index has no documents and no field for texts yet",)


def test_several_texts_are_an_error_that_lists_them() -> None:
    both = index({"one": WORDS, "two": WORDS})
    with pytest.raises(SchemaError, match=r"one \(200 characters.*two.*--text-field"):
        detect(both, [{"one": LONG, "two": LONG}], FieldChoice())
    with pytest.raises(SchemaError, match=r"one, two; name one with --text-field"):
        detect(both, [], FieldChoice())
    assert detect(both, [{"one": LONG, "two": LONG}], FieldChoice(text="two")).text == "two"


def test_several_vectors_are_an_error_that_lists_them() -> None:
    both = index({"text": WORDS, "small": vector(8), "large": vector(64), "other": vector(8)})
    sample = [{"text": LONG}]
    with pytest.raises(SchemaError, match=r"small \(8 dimensions\).*--vector-field"):
        detect(both, sample, FieldChoice())
    picked = detect(both, sample, FieldChoice(dimension=64)).vector
    assert picked is not None
    assert picked.name == "large"
    with pytest.raises(SchemaError, match=r"small.*other"):
        detect(both, sample, FieldChoice(dimension=8))
    with pytest.raises(IndexMismatchError, match="16 dimensions"):
        detect(both, sample, FieldChoice(dimension=16))
    layout = detect(both, sample, FieldChoice(vector="small"))
    assert [note for note in layout.notes if "`large` (64" in note]


@pytest.mark.parametrize(
    "asked",
    [
        FieldChoice(text="x"),
        FieldChoice(title="x"),
        FieldChoice(vector="x"),
        FieldChoice(sparse="x"),
    ],
)
def test_a_field_that_is_not_there_is_an_error(asked: FieldChoice) -> None:
    with pytest.raises(UnknownFieldError, match="'x'"):
        detect(LANGCHAIN, [{"text": LONG}], asked)


def test_vectors_that_no_encoder_makes_are_left_out_and_named() -> None:
    found = index({"text": WORDS, "bits": vector(64, element_type="bit", similarity="l2_norm")})
    layout = detect(found, [{"text": LONG}], FieldChoice())
    assert layout.vector is None
    assert "`bits` are kept as bit" in layout.notes[0]


def test_a_text_that_is_not_analysed_cannot_be_searched_by_words() -> None:
    layout = detect(index({"text": KEYWORD}), [{"text": LONG}], FieldChoice())
    assert (layout.text, layout.lexical) == ("text", ())
    assert "is keyword, not of type text" in layout.notes[0]


def test_a_variant_that_is_analysed_is_searched_in_its_place() -> None:
    found = index({"text": {"type": "keyword", "fields": {"words": {"type": "text"}}}})
    assert detect(found, [{"text": LONG}], FieldChoice()).lexical == ("text.words",)


def test_documents_without_text_are_counted() -> None:
    layout = detect(PLAIN, [{"body": LONG}, {"body": LONG}, {"author": "Ada"}], FieldChoice())
    assert "1 of 3 documents looked at have no `body`" in layout.notes


def test_thousands_of_fields_are_no_trouble() -> None:
    wide = index({"text": WORDS, **{f"field{i}": KEYWORD for i in range(5000)}})
    layout = detect(
        wide, [{"text": LONG, **{f"field{i}": "x" for i in range(5000)}}], FieldChoice()
    )
    assert layout.text == "text"
    with pytest.raises(UnknownFieldError, match=r"'colour'.*and 4981 more"):
        filter_fields(wide, layout).clauses({"colour": "red"})


def test_an_index_that_keeps_no_documents_is_refused() -> None:
    with pytest.raises(SchemaError, match="disables _source"):
        index({"text": WORDS}, _source={"enabled": False})


def together(**indexes: Mapping[str, Any]) -> Index:
    return Index.parse({n: {"mappings": {"properties": each}} for n, each in indexes.items()})


def test_fields_are_alike_where_requests_are() -> None:
    found = together(
        a={"v": vector(8, index_options={"type": "hnsw"}), "n": {"type": "long"}, "s": KEYWORD},
        b={
            "v": vector(8, index_options={"type": "int8_hnsw"}),
            "n": {"type": "double"},
            "s": {"type": "constant_keyword"},
            "t": {"type": "match_only_text"},
        },
        c={"v": {"type": "dense_vector"}, "t": {"type": "text"}},
    )
    assert not found.differing
    assert found.fields["n"].type == "double"  # which a long's values can be compared with
    [there] = found.vectors()
    assert (there.dimension, there.quantization) == (8, "int8_hnsw")
    assert found.fields["t"].indexes == {"b", "c"}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (vector(8), vector(16), "dense_vector of 8 float by cosine in a, dense_vector of 16"),
        (vector(8), vector(8, similarity="l2_norm"), "by cosine in a, .*by l2 in b"),
        (vector(8), vector(8, element_type="byte"), "of 8 byte"),
        (vector(8), vector(8, index=False), "that is not indexed in b"),
        (vector(8), KEYWORD, "keyword in b"),
        (KEYWORD, vector(8), "keyword in a"),
        ({"type": "text"}, KEYWORD, "text in a, keyword in b"),
        (KEYWORD, {"type": "long"}, "keyword in a, a number in b"),
        ({"type": "date"}, {"type": "date_nanos"}, "date in a, date_nanos in b"),
        (
            {"type": "semantic_text", "inference_id": "x"},
            {"type": "semantic_text", "inference_id": "y"},
            "by x in a, semantic_text by y in b",
        ),
    ],
)
def test_fields_that_are_not_alike_are_left_out_and_said(
    one: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    found = together(a={"f": one}, b={"f": other})
    assert not found.fields
    assert re.search(said, found.differing["f"].said)


def test_a_variant_that_some_indexes_lack_is_not_filtered_by() -> None:
    found = together(a={"author": WORDS, "text": WORDS}, b={"author": {"type": "text"}})
    assert list(found.differing) == ["author.keyword"]
    fields = filter_fields(found, Layout("unknown", text="text"))
    with pytest.raises(UnknownFieldError, match=r"author.keyword in b, as it has in a"):
        fields.clauses({"author": "Ada"})
    assert fields.clauses({"text": "x"})  # b has no text at all


def test_an_index_of_a_newer_release_is_refused() -> None:
    newer = index({}, _meta={"retrieve_rerank": {"schema": 99}})
    with pytest.raises(IndexMismatchError, match="newer release"):
        own_layout(newer)


def document(layout: Layout, source: dict[str, Any], **hit: Any) -> tuple[str, Mapping[str, Any]]:
    made = layout.document({"_id": "d", "_source": source, **hit})
    return made.text, made.metadata


def test_documents_are_read_as_their_writers_meant_them() -> None:
    langchain = {"text": "wing", "metadata": {"source": "a.pdf", "page": 1}}
    assert document(detect(LANGCHAIN, [langchain], FieldChoice()), langchain) == (
        "wing",
        {"title": "a.pdf", "source": "a.pdf", "page": 1},
    )
    haystack = {"id": "x", "content": "wing", "title": "Wings", "year": 1950}
    assert document(detect(HAYSTACK, [haystack], FieldChoice()), haystack) == (
        "wing",
        {"id": "x", "title": "Wings", "year": 1950},
    )
    assert document(detect(PLAIN, [{"body": LONG}], FieldChoice()), {"author": "Ada"}) == (
        "",
        {"author": "Ada"},
    )


def test_the_best_chunk_stands_for_a_document_where_there_is_one() -> None:
    source = {"title": "Wings", "passages": [{"text": "one"}, {"text": "two"}]}
    layout = detect(CHUNKS, [source], FieldChoice())
    assert document(layout, source) == ("one\ntwo", {"title": "Wings"})
    best = {"passages": {"hits": {"hits": [{"_source": {"text": "two"}}]}}}
    assert document(layout, source, inner_hits=best) == ("two", {"title": "Wings"})


def test_filters_take_the_variant_that_keeps_texts_whole() -> None:
    layout = detect(LANGCHAIN, [{"text": LONG}], FieldChoice())
    fields = filter_fields(LANGCHAIN, layout)
    assert fields.clauses({"source": "a.pdf", "page": "1"}) == [
        {"terms": {"metadata.source.keyword": ["a.pdf"]}},
        {"terms": {"metadata.page": [1]}},
    ]
    assert fields.clauses({"metadata.page": 1}) == [{"terms": {"metadata.page": [1]}}]
    with pytest.raises(InputError, match="expected integer"):
        fields.clauses({"page": "one"})


def test_filters_refuse_texts_that_have_only_words() -> None:
    found = index({"text": WORDS, "note": {"type": "text"}})
    layout = detect(found, [{"text": LONG}], FieldChoice())
    with pytest.raises(UnknownFieldError, match="'note' is analysed into words"):
        filter_fields(found, layout).clauses({"note": "a b"})


def test_filters_reach_into_nested_and_flattened_fields() -> None:
    found = index(
        {
            "text": WORDS,
            "people": {"type": "nested", "properties": {"name": KEYWORD}},
            "labels": {"type": "flattened"},
        }
    )
    fields = filter_fields(found, detect(found, [{"text": LONG}], FieldChoice()))
    assert fields.clauses({"people.name": "Ada", "labels.env": "prod"}) == [
        {"nested": {"path": "people", "query": {"terms": {"people.name": ["Ada"]}}}},
        {"terms": {"labels.env": ["prod"]}},
    ]
