"""What is told from collections that others made, in the client's local mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Range
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import (
    IndexMismatchError,
    SchemaError,
    UnknownFieldError,
)
from retrieve_rerank.testing import HashingEncoder
from retrieve_rerank.types import Document
from tests.connectors.qdrant.collections import (
    DENSE,
    ENCODER,
    IDF,
    IDS,
    TEXTS,
    by_hand,
    collection,
    fastembed,
    haystack,
    langchain,
    llama_index,
    qdrant_bm25,
    vector,
)


def connect(client: QdrantClient, **options: Any) -> QdrantConnector:
    return QdrantConnector.connect("qdrant+local:///docs", client=client, **options)


@pytest.mark.parametrize(
    ("make", "writer", "text", "title", "vectors"),
    [
        (langchain, "LangChain", "page_content", "metadata.source", ""),
        (llama_index, "LlamaIndex", "_node_content", "file_name", "text-dense"),
        (haystack, "Haystack", "content", "meta.title", ""),
        (fastembed, "fastembed", "document", None, "fast-bge-small-en"),
        (by_hand, "unknown", "body", "title", ""),
    ],
)
def test_each_writer_is_recognised_and_searched(
    make: Callable[[], QdrantClient], writer: str, text: str, title: str | None, vectors: str
) -> None:
    with connect(make(), encoder=ENCODER) as connector:
        schema = connector.schema()
        found = (
            schema.details["writer"],
            schema.details["text_field"],
            schema.details["title_field"],
            [each["name"] for each in schema.details["vector_fields"] if each["used"]],
        )
        assert found == (writer, text, title, [vectors])
        assert schema.documents == 3
        assert schema.fields["year"] == "integer"
        best = connector.search("the lift of a thin wing", top_k=3)[0].document
        assert best.text.startswith(TEXTS["lift"])
        assert best.metadata["year"] == 1950
        assert connector.get([best.id]) == [best]
        assert {document.id for document in connector.scan()} == {
            hit.document.id for hit in connector.search("wing", top_k=9)
        }
        late = connector.search("wing", top_k=9, filter={"year": Range(gte=1951)})
        assert {hit.document.metadata["year"] for hit in late} == {1951, 1952}


def test_haystack_documents_keep_their_own_ids() -> None:
    with connect(haystack(), encoder=ENCODER) as connector:
        assert [document.id for document in connector.get(["drag", "nobody"])] == ["drag"]
        assert connector.delete(["drag"]) == 1
        assert connector.count() == 2


def test_no_text_index_is_advised_over_json() -> None:
    for make, advised in ((llama_index, False), (langchain, True)):
        with connect(make()) as connector:
            [note] = [each for each in connector.schema().notes if "no lexical ranking" in each]
            assert ("text index" in note) is advised


def test_what_the_writer_keeps_for_itself_is_no_metadata() -> None:
    with connect(llama_index(), encoder=ENCODER) as connector:
        [document] = connector.get([IDS[0]])
        assert document == Document(
            IDS[0],
            TEXTS["lift"],
            {
                **{"year": 1950, "file_name": "lift.txt", "title": "lift.txt"},
                **{"document_id": "None", "doc_id": "None", "ref_doc_id": "None"},
            },
        )


@pytest.mark.parametrize("hybrid", [langchain, fastembed])
def test_sparse_vectors_of_qdrants_own_bm25_are_searched(hybrid: Any) -> None:
    client = hybrid(hybrid=True) if hybrid is langchain else hybrid()
    with connect(client) as connector:  # no encoder: lexical alone
        schema = connector.schema()
        assert schema.rankings == ("bm25",)
        assert schema.details["lexical"]["kind"] == "qdrant-bm25"
        [hit] = connector.search("wings lifting", top_k=9)
        assert hit.document.text == TEXTS["lift"]
    with connect(client, encoder=ENCODER) as connector:
        found = {hit.document.text: hit for hit in connector.search("wings lifting", top_k=9)}
        assert found[TEXTS["lift"]].sources.keys() == {"dense", "bm25"}


def test_sparse_vectors_of_another_kind_are_not_taken_for_bm25() -> None:
    splade = [models.SparseVector(indices=[5, 9], values=[0.5, 1.5]) for _ in TEXTS]
    payloads = [{"text": text} for text in TEXTS.values()]
    client = collection(
        payloads, [{"splade": each} for each in splade], dense=None, sparse={"splade": IDF}
    )
    with connect(client) as connector:
        assert connector.schema().rankings == ()
        assert any("--sparse-encoder" in note for note in connector.schema().notes)
        with pytest.raises(SchemaError, match=r"nothing in .* can be searched by a text"):
            connector.search("wing", top_k=1)


class Weighing:
    """A learned sparse encoder that gives every text the same two tokens."""

    name = fingerprint = "weighing"

    def encode_queries(self, texts: list[str]) -> list[dict[int, float]]:
        return [{5: 1.0} for _ in texts]

    encode_documents = encode_queries

    def tokens(self, ids: list[int]) -> list[str]:
        return [str(id_) for id_ in ids]


def test_learned_sparse_vectors_are_searched_with_their_encoder() -> None:
    weights = [{"splade": models.SparseVector(indices=[5], values=[w])} for w in (1.0, 3.0, 2.0)]
    payloads = [{"text": text} for text in TEXTS.values()]
    client = collection(
        payloads, weights, dense=None, sparse={"splade": models.SparseVectorParams()}
    )
    with connect(client, sparse_encoder=Weighing()) as connector:
        assert connector.schema().rankings == ("sparse",)
        hits = connector.search("anything", top_k=9)
        assert [hit.document.text for hit in hits] == [
            TEXTS["drag"],
            TEXTS["heat"],
            TEXTS["lift"],
        ]
        assert hits[0].sources["sparse"] == (1, 3.0)


def test_a_text_index_with_scoring_ranks_by_bm25() -> None:
    client = by_hand()
    index = models.TextIndexParams(type=models.TextIndexType.TEXT, scoring=True)
    client.create_payload_index("docs", "body", index)
    with connect(client) as connector:
        schema = connector.schema()
        assert schema.details["lexical"] == {"kind": "text-index", "field": "body"}
        [hit] = connector.search("wing zebra", top_k=9)
        assert hit.document.id == "1"
        assert hit.sources.keys() == {"bm25"}


def test_vectors_without_an_encoder_are_noted_not_searched() -> None:
    with connect(by_hand()) as connector:
        notes = connector.schema().notes
        assert notes[0] == (
            "vectors in the unnamed field (32 dimensions) are not searched: name the encoder "
            "they were made with, with --encoder"
        )
        assert "TextIndexParams" in notes[1]


@pytest.mark.parametrize(
    ("distance", "scores"),
    [
        (models.Distance.COSINE, [1.0, 0.6]),
        (models.Distance.DOT, [4.0, 1.2]),
        (models.Distance.EUCLID, [0.0, -1.8]),
        (models.Distance.MANHATTAN, [0.0, -2.4]),
    ],
)
def test_every_distance_ranks_the_nearest_first(
    distance: models.Distance, scores: list[float]
) -> None:
    class Fixed(HashingEncoder):
        def embed_queries(self, texts: Any) -> Any:
            rows = super().embed_queries(texts)
            rows[:] = 0
            rows[:, 0] = 2.0
            return rows

    near, far = [2.0] + [0.0] * 31, [0.6, 0.8] + [0.0] * 30
    client = collection(
        [{"text": "near"}, {"text": "far"}],
        [near, far],
        ids=[1, 2],
        dense=models.VectorParams(size=32, distance=distance),
    )
    with connect(client, encoder=Fixed()) as connector:
        hits = connector.search("x", top_k=2)
        assert [hit.document.text for hit in hits] == ["near", "far"]
        expected = (
            scores if distance is not models.Distance.EUCLID else [0.0, -((1.4**2 + 0.64) ** 0.5)]
        )
        assert [hit.score for hit in hits] == pytest.approx(
            expected if distance is not models.Distance.MANHATTAN else [0.0, -(1.4 + 0.8)]
        )


def test_several_vectors_need_a_choice() -> None:
    vectors = [
        {"small": vector(t), "large": [1.0] * 64, "other": vector(t)} for t in TEXTS.values()
    ]
    large = models.VectorParams(size=64, distance=models.Distance.COSINE)
    client = collection(
        [{"text": text} for text in TEXTS.values()],
        vectors,
        dense={"small": DENSE, "large": large, "other": DENSE},
    )
    with pytest.raises(SchemaError, match=r"small \(32.*other \(32.*--vector-field"):
        connect(client, encoder=ENCODER)
    with connect(client, encoder=ENCODER, vector_field="other") as connector:
        used = [each for each in connector.schema().details["vector_fields"] if each["used"]]
        assert [each["name"] for each in used] == ["other"]
    with connect(client, encoder=HashingEncoder(64)) as connector:  # its dimensions settle it
        assert connector.search("wing", top_k=1)
    with pytest.raises(UnknownFieldError, match=r"no vectors named 'none'; it has: small"):
        connect(client, encoder=ENCODER, vector_field="none")


def test_an_encoder_of_other_dimensions_is_refused_with_both_facts() -> None:
    with pytest.raises(IndexMismatchError, match=r"has 16 dimensions; the index has: unnamed \(32"):
        connect(langchain(), encoder=HashingEncoder(16))


def test_an_ambiguous_text_is_asked_for() -> None:
    client = collection(
        [{"summary": f"{t} {t}", "notes": f"{t} {t} x"} for t in TEXTS.values()],
        [vector(t) for t in TEXTS.values()],
    )
    with pytest.raises(SchemaError, match=r"notes .*summary .*--text-field"):
        connect(client)
    with connect(client, text_field="summary", encoder=ENCODER) as connector:
        assert "summary" not in connector.get([IDS[0]])[0].metadata
    for wrong in ({"text_field": "body"}, {"title_field": 'the "name"', "text_field": "notes"}):
        with pytest.raises(UnknownFieldError, match="there is text in: notes, summary"):
            connect(client, **wrong)


def test_odd_payloads_are_read_as_far_as_they_can_be() -> None:
    payloads: list[dict[str, Any]] = [
        {"text": ["a wing", "in two parts"]},
        {"text": {"abstract": "a wing", "pages": [1]}},
        {},
    ]
    client = collection(payloads, [vector(text) for text in TEXTS.values()])
    with connect(client, text_field="text", encoder=ENCODER) as connector:
        texts = [document.text for document in connector.get(IDS)]
        assert texts == ["a wing\nin two parts", "a wing\n1", ""]
        assert len(connector.search("wing", top_k=9)) == 3


def test_ids_that_no_point_can_have_are_unknown() -> None:
    with connect(by_hand(), encoder=ENCODER) as connector:
        never = ["not-a-uuid", IDS[0], "٣", "-1", "02", str(2**64), "9" * 5000, "\ud800", ""]
        assert [d.id for d in connector.get(["2", *never])] == ["2"]
        assert connector.delete(never) == 0


def test_another_spelling_of_a_points_id_is_unknown() -> None:
    with connect(langchain(), encoder=ENCODER) as connector:
        one = IDS[0]
        others = [one.upper(), f"{{{one}}}", f"urn:uuid:{one}", one.replace("-", "")]
        assert [d.id for d in connector.get([*others, one])] == [one]
        assert connector.delete(others) == 0


def test_nested_metadata_is_filtered_and_unknown_fields_refused() -> None:
    with connect(by_hand(), encoder=ENCODER) as connector:
        assert len(connector.search("wing", top_k=9, filter={"author.name": "Ada"})) == 3
        with pytest.raises(UnknownFieldError, match=r"'colour' .*; known: author\.name"):
            connector.search("wing", top_k=9, filter={"colour": "red"})


def test_a_field_that_the_sample_lacked_is_looked_for() -> None:
    payloads = [{"text": "a wing", "i": i} for i in range(60)]
    payloads[55]["rare"] = 7
    client = collection(payloads, [vector("a wing")] * 60, ids=list(range(60)))
    with connect(client, encoder=ENCODER) as connector:
        assert "rare" not in connector.schema().fields
        [hit] = connector.search("wing", top_k=9, filter={"rare": 7})
        assert hit.document.id == "55"


def test_thousands_of_fields_are_borne() -> None:
    payloads = [{"text": "a wing", **{f"f{i}_{j}": j for j in range(500)}} for i in range(5)]
    client = collection(payloads, [vector("a wing")] * 5, ids=list(range(5)))
    with connect(client, encoder=ENCODER) as connector:
        assert len(connector.search("wing", top_k=9, filter={"f4_499": 499})) == 1


def test_an_empty_collection_answers() -> None:
    with connect(collection([], [], ids=[]), encoder=ENCODER) as connector:
        assert connector.search("wing", top_k=1) == []
        assert list(connector.scan()) == []
        assert connector.schema().documents == 0


def test_others_collections_are_not_written_to_by_index() -> None:
    client = langchain()
    with (
        connect(client, encoder=ENCODER) as connector,
        pytest.raises(SchemaError, match=r"made by others \(LangChain\).*rr index SOURCE"),
    ):
        connector.index([Document("new", "a wing")])
    assert client.count("docs").count == 3
    assert qdrant_bm25("wing").indices
