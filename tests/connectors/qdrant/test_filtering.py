"""Filters as a server gets them, and over collections of others."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from retrieve_rerank import Document, Filter, Range
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import InputError, LimitExceededError, UnknownFieldError
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import collection, vector
from tests.connectors.qdrant.grpc_stub import Service
from tests.connectors.qdrant.stub import Stub
from tests.connectors.qdrant.test_grpc import service
from tests.connectors.test_filter_conformance import FILTERS, METADATA

__all__ = ["service"]

ENCODER = HashingEncoder()


def assert_all_filters_find_what_they_should(connector: QdrantConnector) -> None:
    connector.index(Document(id_, "a film", metadata) for id_, metadata in METADATA.items())
    for filter, expected in FILTERS:
        hits = connector.search("film", top_k=9, filter=filter)
        assert sorted(hit.document.id for hit in hits) == list(expected), filter


def test_filters_arrive_by_rest(stub: Stub) -> None:
    with QdrantConnector.create(stub.url, encoder=None) as connector:
        assert_all_filters_find_what_they_should(connector)
        assert stub.indexes["metadata.published"] == "datetime"
        assert stub.indexes["metadata.note"] == "keyword"  # of texts, of which one is a date


def test_filters_arrive_by_grpc(service: Service) -> None:
    with QdrantConnector.connect(service.url, grpc=True, encoder=ENCODER) as connector:
        assert_all_filters_find_what_they_should(connector)


def test_strict_mode_is_asked_for_nothing_without_an_index(stub: Stub) -> None:
    with QdrantConnector.create(stub.url, encoder=None) as connector:
        connector.index(
            [
                Document("a", "a film", {"day": "2024-05-01", "note": "2024-05-01"}),
                Document("b", "a film", {"note": "soon"}),
            ]
        )
    stub.strict = {"unindexed_filtering_retrieve": False}
    with QdrantConnector.connect(stub.url) as connector:
        for filter in (
            {"day": Range(gte="2024-05-01")},
            {"day": "2024-05"},
            {"note": "2024-05-01"},
            {"not": {"day": None}},
            {"or": [{"day": "2024-05-01"}, {"note": "later"}]},
        ):
            hits = connector.search("film", top_k=9, filter=filter)
            assert [hit.document.id for hit in hits] == ["a"], filter
        with pytest.raises(LimitExceededError, match=r"index of 'metadata\.note' for dates; make"):
            connector.search("film", top_k=9, filter={"note": Range(gte="2024")})
        del stub.indexes["metadata.day"]
        connector.schema()
        with pytest.raises(LimitExceededError, match=r"index of 'metadata\.day'"):
            connector.search("film", top_k=9, filter={"day": None})


def others(*payloads: dict[str, Any]) -> QdrantConnector:
    client = collection(
        [{"text": "a wing", **each} for each in payloads],
        [vector("a wing")] * len(payloads),
        ids=list(range(len(payloads))),
    )
    return QdrantConnector.connect("qdrant+local:///docs", client=client, encoder=ENCODER)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"day": Range(lt="2024-02-01")}, ["0"]),
        ({"day": "2024"}, ["0", "1"]),
        ({"day": "2024-01-31"}, ["0"]),
        ({"day": "unknown"}, ["59"]),  # a text that the sample did not show
        ({"day": None}, ["60"]),
        ({"not": {"day": Range(lt="2024-02-01")}}, ["1", "59", "60"]),
        ({"a b": 1}, ["60"]),
        ({"c.d e": 2}, ["60"]),
        ({"f.g": 3}, ["60"]),
        ({"h.i": 4}, ["60"]),
        ({"dc:date/x": 5}, ["60"]),
        ({"k[0]": 6}, ["60"]),
        ({"l.m.n o": 7}, ["60"]),  # a key with a dot, in an object of a list
    ],
)
def test_collections_of_others_are_filtered_by_what_their_points_hold(
    filter: Filter, expected: list[str]
) -> None:
    days = ["2024-01-31T10:00:00Z", "2024-03-01", *["2020-01-01"] * 57, "unknown"]
    odd = {"a b": 1, "c": {"d e": 2}, "f.g": 3, "h": [{"i": 4}]}
    odd |= {"dc:date/x": 5, "k[0]": 6, "l": [{"m.n o": 7}]}
    with others(*({"day": day} for day in days), odd) as connector:
        assert connector.schema().fields["day"] == "date"
        wanted: Filter = {"and": [filter, {"not": {"day": Range(lt="2024-01-01")}}]}
        hits = connector.search("wing", top_k=99, filter=wanted)
        assert sorted(hit.document.id for hit in hits) == expected


def test_what_is_no_date_and_no_field_is_said_of_others_too() -> None:
    with others({"day": "2024-01-31"}) as connector:
        with pytest.raises(InputError, match="filter day: expected dates, such as"):
            connector.search("wing", top_k=1, filter={"day": Range(gte="soon")})
        for filter in ({"colour": None}, {"or": [{"day": "2024"}, {"colour": "red"}]}):
            with pytest.raises(UnknownFieldError, match="no field 'colour'"):
                connector.search("wing", top_k=1, filter=filter)
        for name in (
            "the colour",
            "dc:colour",
            "a/b",
            "tags[]",
            "a.b.c.d.e.f.g",
            'a "b"',
            "a\\b",
            "",
        ):
            with pytest.raises(UnknownFieldError, match=r"no field '.*; known: day"):
                connector.search("wing", top_k=1, filter={name: 1})


def test_a_servers_index_tells_that_a_field_holds_dates(stub: Stub) -> None:
    stub.client.create_collection(
        "docs", models.VectorParams(size=32, distance=models.Distance.COSINE)
    )
    point = models.PointStruct(id=1, vector=vector("a wing"), payload={"text": "a wing"})
    stub.client.upsert("docs", [point])
    stub.indexes["sent"] = "datetime"
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        assert connector.schema().fields == {"sent": "date"}
        assert connector.search("wing", top_k=1, filter={"sent": Range(gte="2024")}) == []


UUID = "6f7a3c1e-2b4d-4e5f-8a9b-0c1d2e3f4a5b"


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"code": 7}, ["a"]),  # of which the index finds ranges alone
        ({"code": [7, 9]}, ["a", "b"]),
        ({"grade": 2}, ["a"]),  # integers in an index of floats
        ({"not": {"grade": [2]}}, ["b"]),
        ({"count": 3}, ["a"]),
        ({"sent": "2024-05-01T10:00:00Z"}, ["a"]),
        ({"key": UUID}, ["a"]),
        ({"tags": "x"}, ["a"]),
        ({"open": True}, ["a"]),
        ({"subject": "Thin wings"}, ["a"]),  # and not "Of thin wings"
        ({"or": [{"subject": "wings"}, {"code": 9}]}, ["b"]),
    ],
)
def test_strict_mode_is_asked_as_each_type_of_index_answers(
    stub: Stub, filter: Filter, expected: list[str]
) -> None:
    with strict(stub) as connector:
        for found in (
            connector.search("wing", top_k=9, filter=filter),
            connector.search_max_sim("wing", top_k=9, filter=filter).hits,
        ):
            assert sorted(hit.document.metadata["name"] for hit in found) == expected
            assert [hit.rank for hit in found] == list(range(1, len(expected) + 1))


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ({"count": Range(gte=1)}, "of 'count' for ranges of numbers"),  # made without
        ({"not": {"subject": "wings"}}, "of 'subject' for texts"),
        ({"key": "none"}, "of 'key' for strings"),
        ({"name": "a"}, "of 'name' for strings"),
    ],
)
def test_what_no_index_answers_is_said_with_the_indexes_there(
    stub: Stub, filter: Filter, wanted: str
) -> None:
    with (
        strict(stub) as connector,
        pytest.raises(LimitExceededError, match=rf"{wanted}; .* by: code \(integer\), count"),
    ):
        connector.search("wing", top_k=9, filter=filter)


def test_hits_that_words_alone_found_are_left_out_and_said(stub: Stub) -> None:
    with strict(stub) as connector:
        [note] = connector.search("wing", top_k=9, filter={"subject": "thin wings"}).notes  # type: ignore[attr-defined]  # Candidates
        assert "finds subject by words alone" in note
        assert "2 of 2 hits are left out" in note


def strict(stub: Stub) -> QdrantConnector:
    """Make others' collection with an index of each type, of which strict mode asks alone."""
    client = stub.client
    client.create_collection("docs", models.VectorParams(size=32, distance=models.Distance.COSINE))
    payloads: list[dict[str, Any]] = [
        {"name": "a", "code": 7, "grade": 2, "count": 3, "sent": "2024-05-01T10:00:00Z"}
        | {"key": UUID, "tags": ["x", "y"], "open": True, "subject": "Thin wings"},
        {"name": "b", "code": 9, "grade": 2.5, "count": 4, "sent": "2024-05-02T10:00:00Z"}
        | {"key": UUID[::-1], "tags": [], "open": False, "subject": "Of thin wings"},
    ]
    points = [
        models.PointStruct(id=i, vector=vector("wing"), payload={"text": "a wing " * 9, **each})
        for i, each in enumerate(payloads)
    ]
    client.upsert("docs", points)
    stub.strict = {"unindexed_filtering_retrieve": False}
    stub.indexes = {
        "code": {"type": "integer", "lookup": False, "range": True},
        "count": {"type": "integer", "lookup": True, "range": False},
        **{"grade": "float", "sent": "datetime", "key": "uuid", "tags[]": "keyword"},
        **{"open": "bool", "subject": {"type": "text", "tokenizer": "word", "lowercase": True}},
    }
    return QdrantConnector.connect(stub.url, encoder=ENCODER)
