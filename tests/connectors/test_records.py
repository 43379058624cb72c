from __future__ import annotations

import math
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.records import Leaf, leaves, record
from retrieve_rerank.errors import InputError


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"day": date(2024, 1, 1)}, "document 'd': metadata field 'day': date is not a JSON type"),
        ({"n": np.int64(3)}, "field 'n': int64 is not a JSON type"),
        ({"a": {"b": {1, 2}}}, "field 'a' field 'b': set is not a JSON type"),
        ({"a": [{"b": object()}]}, "field 'a' field 'b': object is not a JSON type"),
        ({"x": math.nan}, "field 'x': JSON has no nan"),
        ({"x": [1.0, math.inf]}, "field 'x': JSON has no inf"),
        ({"x": 2**63}, "field 'x': 9223372036854775808 does not fit 64 bits"),
        ({1: "x"}, "metadata: keys must be texts, got 1"),
        ({"a": {None: "x"}}, "field 'a': keys must be texts, got None"),
    ],
)
def test_metadata_that_is_not_json_is_refused_by_id_and_field(
    metadata: dict[Any, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        record(Document("d", "text", metadata))


def test_endless_nesting_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    with pytest.raises(InputError, match="nested deeper than 50 levels"):
        record(Document("d", "text", metadata))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("", "text"), "needs an id"),
        (Document(7, "text"), "expected a text as id, got 7"),  # type: ignore[arg-type]
        (Document("d", None), "document 'd': expected a text as text, got None"),  # type: ignore[arg-type]
        (Document("d", "half a pair: \ud800"), "document 'd': not valid Unicode"),
        (Document("d", "", {"a": "\udfff"}), "document 'd': not valid Unicode"),
        (Document("\ud800", ""), "not valid Unicode"),
    ],
)
def test_documents_that_cannot_be_stored_are_refused(document: Document, message: str) -> None:
    with pytest.raises(InputError, match=message):
        record(document)


def test_a_record_is_a_plain_copy_that_keeps_its_order() -> None:
    inner = {"z": (1, 2), "a": None}
    copied = record(Document("d", "text", MappingProxyType({"b": inner, "a": 1.0}))).metadata
    assert copied == {"b": {"z": [1, 2], "a": None}, "a": 1.0}
    assert list(copied) == ["b", "a"]
    assert inner == {"z": (1, 2), "a": None}


def test_the_hash_tells_contents_apart() -> None:
    contents: list[tuple[str, dict[str, Any]]] = [
        ("a", {}),
        ("b", {}),
        ("a", {"x": 1}),
        ("a", {"x": 1.0}),
        ("a", {"x": "1"}),
    ]
    hashes = {record(Document("d", text, metadata)).content_hash for text, metadata in contents}
    assert len(hashes) == len(contents)
    assert record(Document("other", "a")).content_hash in hashes


def test_leaves_name_fields_through_objects_and_lists() -> None:
    metadata = {
        "year": 2020,
        "author": {"name": "Ada", "born": None},
        "tags": ["x", "y"],
        "parts": [{"size": 1}, {"size": [2.5]}],
        "matrix": [[1], [2]],
        "odd key": {"x.y": True},
        'un"sayable': 1,
    }
    assert list(leaves(metadata)) == [
        Leaf("year", "year", 2020),
        Leaf("author.name", "author.name", "Ada"),
        Leaf("tags", "tags", "x"),
        Leaf("tags", "tags", "y"),
        Leaf("parts.size", "parts[].size", 1),
        Leaf("parts.size", "parts[].size", 2.5),
        Leaf("matrix", "matrix[]", 1),
        Leaf("matrix", "matrix[]", 2),
        Leaf("odd key.x.y", '"odd key"."x.y"', True),
    ]
