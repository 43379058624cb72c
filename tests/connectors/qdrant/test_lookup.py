"""Fields that the user names and the first documents lack."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from retrieve_rerank import Document
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.paths import paths_of
from retrieve_rerank.errors import UnknownFieldError
from tests.connectors.qdrant.collections import DENSE, ENCODER, vector
from tests.connectors.qdrant.stub import Stub

LATE: dict[str, Any] = {
    "page text": "a late wing",
    "meta": {"head.line": "Late"},
    "parts": [{"body": "one"}, {"body": "two"}],
}


@pytest.fixture
def late(stub: Stub) -> Stub:
    """A collection of which the first fifty points have nothing but a note."""
    stub.client.create_collection("docs", vectors_config=DENSE)
    payloads = [{"note": "n/a"}] * 60 + [LATE]
    points = [
        models.PointStruct(id=i, vector=vector(str(i)), payload=each)
        for i, each in enumerate(payloads)
    ]
    stub.client.upsert("docs", points)
    return stub


@pytest.mark.parametrize(
    ("fields", "text", "title"),
    [
        ({"text_field": "page text", "title_field": "meta.head.line"}, "a late wing", "Late"),
        ({"text_field": "parts.body"}, "one\ntwo", None),
    ],
)
def test_a_field_that_only_a_late_document_has_is_believed(
    late: Stub, fields: dict[str, Any], text: str, title: str | None
) -> None:
    with QdrantConnector.connect(late.url, encoder=ENCODER, **fields) as connector:
        [document] = connector.get(["60"])
        assert (document.text, document.metadata.get("title")) == (text, title)
        schema = connector.schema()
        assert schema.details["text_field"] == fields["text_field"]
    assert (
        late.calls.count("POST /collections/docs/points/scroll") == 2
    )  # the sample, and one for both


def test_a_field_that_no_document_has_is_refused_unless_strict_mode_forbids_to_look(
    late: Stub,
) -> None:
    with pytest.raises(UnknownFieldError, match=r"no text is in the field 'pages text' .*: note"):
        QdrantConnector.connect(late.url, text_field="pages text")
    late.strict = {"unindexed_filtering_retrieve": False}
    with QdrantConnector.connect(late.url, text_field="page text") as connector:
        assert connector.get(["60"])[0].text == "a late wing"
    late.indexes["pages"] = "keyword"
    with pytest.raises(UnknownFieldError, match="'pages'"):
        QdrantConnector.connect(late.url, text_field="pages")


@pytest.mark.parametrize("text_field", ["page text", "the.text", 'the "text"'])
def test_odd_keys_are_quoted_in_what_is_fetched(stub: Stub, text_field: str) -> None:
    stub.client.create_collection("docs", vectors_config=DENSE)
    payload = {text_field: "a wing", "metadata": {"year": 1950}}
    stub.client.upsert("docs", [models.PointStruct(id=1, vector=vector("wing"), payload=payload)])
    with QdrantConnector.connect(stub.url, encoder=ENCODER, text_field=text_field) as connector:
        [hit] = connector.search("wing", top_k=1)
        assert hit.document == Document("1", "a wing", {"year": 1950})


def test_a_name_is_written_in_every_way_that_a_payload_may_have_it() -> None:
    assert list(paths_of("a.b c")) == ['a."b c"', 'a[]."b c"', '"a.b c"']
    assert list(paths_of('a."b"')) == []
    assert len(list(paths_of(".".join("abcdefgh")))) == 81
