"""Filters as Haystack writes them, without it; tests/adapters has those that run beside it."""

from __future__ import annotations

from typing import Any

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.foreign_filters import from_haystack


def one(field: Any, operator: Any, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([one("meta.year", "==", 1)], "expected a mapping; got \\[{"),
        ({"operator": None, "conditions": []}, "expected the operator AND, OR or NOT; got 'none'"),
        ({"operator": "AND", "conditions": None}, "expected a list of conditions; got None"),
        ({"operator": "AND", "conditions": ["year"]}, "expected a mapping; got 'year'"),
        (one(5, "==", 1), "expected a field's name; got 5"),
        (one("year", ["=="], 1), "filter of year: expected one of ==, "),
    ],
)
def test_what_is_no_filter_is_explained(filters: Any, message: str) -> None:
    connector = MemoryConnector([Document("d", "wing", {"year": 1950})])
    with pytest.raises(InputError, match=message):
        connector.search("wing", top_k=1, filter=from_haystack(filters))


@pytest.mark.parametrize("operator", [">", ">=", "<", "<="])
@pytest.mark.parametrize("value", [1950, 1950.5, "wing", "2024-01-31", True])
def test_what_is_compared_with_nothing_is_not_every_value(operator: str, value: Any) -> None:
    connector = MemoryConnector([Document("d", "wing", {"field": value})])
    with pytest.raises(InputError, match=r"filter field: expected .* got a range without bounds"):
        connector.search("wing", top_k=1, filter=from_haystack(one("meta.field", operator, None)))
