"""Sparse vectors of `Qdrant/bm25` with other options than its own, told from what is stored."""

from __future__ import annotations

from typing import Any

import pytest
import qdrant_edge as edge
from qdrant_client import models

from retrieve_rerank.connectors.qdrant import QdrantConnector
from tests.connectors.qdrant.collections import IDF, collection

TEXTS = [
    ("Landing Gear", "The wings of the Falcon were running hot over Café Zürich"),
    ("Engines", "Turbines are cooling slowly, and the Pilots waited for landing clearance"),
    ("Tail", "An elevator's trimming tab controls pitching moments of the aircraft"),
    ("主翼", "翼の揚力は速度とともに増加する"),
]


def with_bm25(
    config: edge.Bm25Config, *, title: bool = False, late: bool = False
) -> QdrantConnector:
    model = edge.Bm25(config)
    payloads: list[dict[str, Any]] = [{"title": t, "text": text} for t, text in TEXTS]
    vectors: list[dict[str, models.SparseVector]] = []
    for name, text in TEXTS:
        made = model.embed_document(f"{name} {text}" if title else text)
        vectors.append({"words": models.SparseVector(indices=made.indices, values=made.values)})
    if late:  # after more points without than are looked at
        payloads = [{"title": "", "text": "nothing"}] * 60 + payloads
        vectors = [{} for _ in range(60)] + vectors
    client = collection(
        payloads, vectors, ids=list(range(len(payloads))), dense=None, sparse={"words": IDF}
    )
    return QdrantConnector.connect("qdrant+local:///docs", client=client)


NONE = edge.StopwordsSet()
OWN = edge.StopwordsSet(custom={"falcon", "hot", "pilots", "the", "of"})


@pytest.mark.parametrize(
    ("options", "query", "shown"),
    [
        ({"stemmer": edge.DisabledStemmer(), "stopwords": NONE}, "the wings", {"language": "none"}),
        ({"tokenizer": edge.TokenizerType.Multilingual}, "wing", {"tokenizer": "multilingual"}),
        ({"lowercase": False}, "Falcon", {"lowercase": False}),
        ({"ascii_folding": True}, "cafe zurich", {"ascii_folding": True}),
        ({"tokenizer": edge.TokenizerType.Whitespace}, "wing", {}),  # alike, in these texts
        ({"stopwords": OWN}, "the wings of a falcon", {"language": "english"}),
        ({"stopwords": OWN, "min_token_len": 4}, "wings", {}),
        ({"language": "german"}, "wings", {"language": "german"}),
    ],
)
@pytest.mark.parametrize("title", [False, True])
def test_options_are_told_from_what_is_stored(
    options: dict[str, Any], query: str, shown: dict[str, Any], title: bool
) -> None:
    with with_bm25(edge.Bm25Config(**options), title=title) as connector:
        schema = connector.schema()
        details = schema.details
        assert details["lexical"]["kind"] == "qdrant-bm25"
        told = {"language": schema.language, **details["lexical"]}
        assert shown.items() <= told.items()
        hits = connector.search(query, top_k=9)
        assert hits[0].document.id == "0"
        if details["lexical"].get("tokenizer") == "multilingual":
            assert connector.search("速度", top_k=9)[0].document.id == "3"
        if title:
            assert connector.search("Engines", top_k=9)[0].document.id == "1"


def test_vectors_that_only_late_documents_have_are_looked_for() -> None:
    with with_bm25(edge.Bm25Config(), late=True) as connector:
        assert connector.schema().rankings == ("bm25",)
        assert connector.search("wings", top_k=1)[0].document.id == "60"


def test_words_hashed_from_other_texts_are_not_taken_for_these() -> None:
    made = edge.Bm25().embed_document("what is not kept in the payload")
    stored = models.SparseVector(indices=made.indices, values=made.values)
    client = collection(
        [{"text": text} for _, text in TEXTS],
        [{"words": stored}] * len(TEXTS),
        ids=list(range(len(TEXTS))),
        dense=None,
        sparse={"words": IDF},
    )
    with QdrantConnector.connect("qdrant+local:///docs", client=client) as connector:
        assert connector.schema().rankings == ()
