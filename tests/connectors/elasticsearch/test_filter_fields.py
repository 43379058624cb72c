"""Filters over an index of others, by whatever its mapping defines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from retrieve_rerank import Document, Filter, Range
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.elasticsearch.filter_fields import filter_fields
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.mapping import Index
from retrieve_rerank.connectors.elasticsearch.schema import new_index
from retrieve_rerank.errors import (
    InputError,
    RetrieveRerankError,
    UnknownFieldError,
)
from tests.servers import delete_indexes, elasticsearch, fresh_index

KEYWORD = {"type": "keyword"}
MAPPING: dict[str, Any] = {
    "dynamic": False,
    "runtime": {"level": KEYWORD, "likes": {"type": "long"}, "seen": {"type": "date"}},
    "properties": {
        "text": {"type": "text"},
        "name": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 12}}},
        "called": {"type": "alias", "path": "name.raw"},
        "unit_name": KEYWORD,
        "unit": {"type": "alias", "path": "unit_name"},
        "made": {"type": "date"},
        "sold": {"type": "date", "format": "dd/MM/yyyy"},
        "sent": {"type": "date", "format": "epoch_second"},
        "read": {"type": "date_nanos"},
        "labels": {"type": "flattened"},
        "people": {
            "type": "nested",
            "properties": {"name": KEYWORD, "labels": {"type": "flattened"}},
        },
        "owner": {"properties": {"name": KEYWORD, "born": {"type": "date"}}},
        "done": {"type": "boolean"},
        "pages": {"type": "integer"},
        "address": {"type": "ip"},
        "place": {"type": "geo_point"},
        "kept": {"type": "keyword", "index": False, "doc_values": False},
        "day": KEYWORD,
    },
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "a": {
        **{"level": "high", "likes": 9, "seen": "2024-03-01T00:00:00Z", "unit_name": "north"},
        **{"name": "short", "labels": {"floor": "3"}, "done": False, "address": "10.0.0.7"},
        **{"pages": 2**31 - 1},
        **{"made": "2024-05-01T10:00:00.123Z", "sold": "01/05/2024", "sent": 1714557600},
        **{"read": "2024-05-01T10:00:00.123456789Z", "day": "2024-05-01", "place": "1,2"},
        **{"people": [{"name": "Ada", "labels": {"role": "boss"}}], "owner": {"name": "Bo"}},
    },
    "b": {
        **{"level": "low", "likes": 1, "unit_name": "south", "name": "a name that is longer"},
        **{"made": "1969-06-01", "read": "2024-05-01T10:00:00.123456790Z", "people": []},
        **{"owner": {"born": "1990-01-01"}, "address": "10.9.0.8", "done": True, "seen": None},
        **{"sold": ["01/01/2024", "31/12/2024"], "pages": 300},
    },
    "c": {"labels": None, "unit_name": [], "done": [None], "likes": None},
}
FILTERS: list[tuple[Filter, str]] = [
    ({"level": "high"}, "a"),
    ({"likes": Range(gte=5)}, "a"),
    ({"seen": "2024-03-01"}, "a"),
    ({"pages": [300, 2**31]}, "b"),
    ({"pages": 2**31}, ""),
    ({"pages": Range(lt=2**31)}, "ab"),
    ({"pages": Range(gte=2**31 - 1, lt=1e20)}, "a"),
    ({"pages": Range(gte=2**31)}, ""),
    ({"pages": Range(gt=-(2**40))}, "ab"),
    ({"pages": Range(lte=-(2**40))}, ""),
    ({"likes": None}, "c"),
    ({"seen": None}, "bc"),
    ({"unit": "north"}, "a"),
    ({"unit_name": ["north", "south"]}, "ab"),
    ({"unit": None}, "c"),
    ({"not": {"unit": "north"}}, "bc"),
    ({"name": "short"}, "a"),
    ({"name.raw": "short"}, "a"),
    ({"called": "short"}, "a"),
    ({"name": None}, "c"),  # one that is too long for its variant is there all the same
    ({"name.raw": None}, "c"),
    ({"called": None}, "c"),
    ({"text": None}, ""),
    ({"labels.floor": 3}, "a"),
    ({"labels.floor": None}, "bc"),
    ({"people.name": "Ada"}, "a"),
    ({"people.labels.role": "boss"}, "a"),
    ({"people.name": None}, "bc"),
    ({"people": None}, "bc"),
    ({"not": {"people.name": "Ada"}}, "bc"),
    ({"owner": None}, "c"),
    ({"owner.name": None}, "bc"),
    ({"done": False}, "a"),
    ({"done": None}, "c"),
    ({"address": "10.0.0.0/16"}, "a"),
    ({"place": None}, "bc"),
    # dates, whatever form the mapping gives them
    ({"made": "2024-05-01"}, "a"),
    ({"made": datetime(2024, 5, 1, 10, 0, 0, 123000, UTC)}, "a"),
    ({"made": Range(lt="1970-01-01")}, "b"),
    ({"made": 1714557600123}, "a"),
    ({"made": Range(gte=1714557600124)}, ""),
    ({"sold": Range(gte="2024-05-01", lt="2024-05-02")}, "a"),
    ({"sold": "01/05/2024"}, "a"),
    ({"sold": Range(gt="30/04/2024")}, "ab"),
    ({"sold": Range(gte="30/12/2023", gt="30/04/2024", lte="01/12/2024", lt="31/12/2025")}, "a"),
    ({"sold": Range(gte="02/05/2024", gt="01/05/2024")}, "b"),
    ({"sent": "2024-05-01T10:00"}, "a"),
    ({"sent": 1714557600}, "a"),
    ({"sent": Range(lte=1714557600)}, "a"),
    ({"sent": Range(gt="1714557600")}, ""),
    ({"read": "2024-05-01T10:00:00.123456789Z"}, "a"),
    ({"read": Range(gt="2024-05-01T10:00:00.123456789Z")}, "b"),
    ({"read": Range(gte="2024-05-01T10:00:00.123456Z")}, "ab"),
    ({"read": Range(gte="1800", lt="2500")}, "ab"),  # beyond what such a field can hold
    ({"read": Range(lt="1900")}, ""),
    ({"day": "2024-05-01"}, "a"),
    ({"or": [{"level": "low"}, {"made": Range(gte="2024")}]}, "ab"),
]


@pytest.fixture(scope="module")
def others() -> Iterator[ElasticsearchConnector]:
    server = elasticsearch()
    name = fresh_index(server)
    server.call("PUT", f"/{name}", {"mappings": MAPPING})
    for id_, source in DOCUMENTS.items():
        body = {"text": "a machine that has stopped to work", **source}
        server.call("PUT", f"/{name}/_doc/{id_}?refresh=true", body)
    with ElasticsearchConnector.connect(server.address(name), text_field="text") as connector:
        yield connector
    delete_indexes()


@pytest.mark.parametrize(("filter", "expected"), FILTERS, ids=[str(f) for f, _ in FILTERS])
def test_what_the_mapping_defines_can_be_filtered_by(
    others: ElasticsearchConnector, filter: Filter, expected: str
) -> None:
    hits = others.search("machine", top_k=9, filter=filter)
    assert sorted(hit.document.id for hit in hits) == list(expected)


@pytest.mark.parametrize(
    ("filter", "error", "message"),
    [
        (
            {"text": "machine"},
            UnknownFieldError,
            "'text' is analysed into words and has no variant",
        ),
        ({"place": "1,2"}, UnknownFieldError, "'place' is of type geo_point, so that it cannot be"),
        ({"kept": "x"}, UnknownFieldError, "'kept' is neither indexed nor kept in doc values"),
        ({"kept": None}, UnknownFieldError, "'kept' is neither indexed nor kept in doc values"),
        ({"labels": "3"}, UnknownFieldError, r"'labels' is an object.*\(labels.KEY\)"),
        (
            {"colour": "x"},
            UnknownFieldError,
            "the index has no field 'colour' to filter by; known: ",
        ),
        ({"day": Range(gte="2024-01-01")}, InputError, "keeps these values as texts.* map it as"),
        ({"address": Range(gte="10.0.0.1")}, InputError, "keeps these values as texts"),
        ({"made": Range(gte="soon")}, InputError, "failed to parse date field.*soon"),
        ({"address": "nonsense"}, InputError, "'nonsense' is not an IP.*does the filter ask for"),
        ({"likes": "many"}, InputError, "filter likes: expected integer"),
    ],
)
def test_what_cannot_be_filtered_by_is_refused_with_the_reason(
    others: ElasticsearchConnector,
    filter: Filter,
    error: type[RetrieveRerankError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        others.search("machine", top_k=1, filter=filter)


def test_dates_are_called_dates(others: ElasticsearchConnector) -> None:
    fields = others.schema().fields
    assert {fields[name] for name in ("made", "sold", "sent", "read", "seen", "owner.born")} == {
        "date"
    }
    assert (fields["unit"], fields["likes"], fields["address"]) == ("string", "integer", "string")


def test_fields_that_one_script_computes_together_are_known() -> None:
    part = {"type": "composite", "script": "…", "fields": {"year": {"type": "long"}}}
    index = Index.parse({"i": {"mappings": {"runtime": {"part": part}}}})
    assert filter_fields(index, Layout("someone", text="text")).clauses({"part.year": 2024}) == [
        {"terms": {"part.year": [2024]}}
    ]


def test_an_index_from_before_dates_were_told_apart_keeps_them_as_texts() -> None:
    server = elasticsearch()
    name = fresh_index(server)
    body = new_index(None, None)
    templates = body["mappings"]["dynamic_templates"]
    body["mappings"]["dynamic_templates"] = [t for t in templates if "filters_date" not in t]
    del body["mappings"]["properties"]["filters"]["properties"]["date"]
    server.call("PUT", f"/{name}", body)
    with ElasticsearchConnector.connect(server.address(name)) as old:
        old.index([Document("d", "wing", {"day": "2024-05-01"})])
        assert old.search("wing", top_k=1, filter={"day": "2024-05-01"})
        assert not old.search("wing", top_k=1, filter={"day": "2024-05-02"})
        with pytest.raises(InputError, match=r"texts, of which it finds no range.*make it anew"):
            old.search("wing", top_k=1, filter={"day": Range(gte="2024-01-01")})
    delete_indexes()
