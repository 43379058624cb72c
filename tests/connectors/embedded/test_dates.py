"""Dates in an embedded index that is large enough for payload indexes, and in one made before."""

from __future__ import annotations

import json
from pathlib import Path

from retrieve_rerank import Document, Filter, Range
from retrieve_rerank.connectors.embedded import EmbeddedConnector

FILTERS: list[tuple[Filter, int]] = [
    ({"day": Range(gte="2024-06-01", lt="2024-07-01")}, 28),
    ({"day": "2024-06"}, 28),
    ({"day": "2024-06-15"}, 1),
    ({"day": ["2024-06-15", "2024-06-16"]}, 2),
]


def found(index: EmbeddedConnector, filter: Filter) -> int:
    return len(index.search("wing", top_k=999, filter={"even": True, **filter}))


def test_a_field_of_dates_is_indexed_and_becomes_one_of_texts(tmp_path: Path) -> None:
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    many = [
        Document(f"d{i}", "a wing", {"day": days[i % 336], "even": i < 336}) for i in range(2016)
    ]
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as index:
        index.index(many)
        assert index.schema().fields["day"] == "date"
        for filter, expected in FILTERS:
            assert found(index, filter) == expected
        index.index([Document("soon", "a wing", {"day": "soon", "even": True})])
        assert index.schema().fields["day"] == "string"
        for filter, expected in (*FILTERS[:1], *FILTERS[2:], ({"day": "soon"}, 1)):
            assert found(index, filter) == expected


def test_an_index_from_before_dates_were_told_apart_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with EmbeddedConnector.create(folder, encoder=None) as index:
        index.index([Document(d, "a wing", {"day": d}) for d in ("2024-05-31", "2024-06-01T10:00")])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["fields"] == {"day": {"day": "date"}}
    manifest["fields"] = {"day": {"day": "string"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with EmbeddedConnector.connect(str(folder)) as index:
        for filter in ({"day": Range(gte="2024-06-01")}, {"day": "2024-06-01"}):
            [hit] = index.search("wing", top_k=9, filter=filter)
            assert hit.document.id == "2024-06-01T10:00"
        index.index([Document("new", "a wing", {"day": "2024-07-01"})])
        assert len(index.search("wing", top_k=9, filter={"day": Range(gte="2024-06-01")})) == 2
