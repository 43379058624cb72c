"""One table of filters, and what every backend must find by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from retrieve_rerank import Connector, Document, Filter, Range
from retrieve_rerank.errors import InputError
from tests.connectors.conftest import MAKERS
from tests.servers import delete_indexes

METADATA: dict[str, dict[str, Any]] = {
    "a": {
        "published": "2023-11-20T09:00:00Z",
        "theme": "Friendship",
        "author": {"name": "Ada", "born": "1815-12-10"},
        "tags": ["drama", "prison"],
        "or": "gold",
    },
    "b": {
        "published": "2024-01-15T10:30:00.123456Z",
        "theme": "Mafia",
        "author": None,
        "tags": ["crime", "drama"],
        "n": 7,
    },
    "c": {
        "published": "2024-06-02T00:30:00+02:00",  # the evening before, in UTC
        "theme": None,
        "author": {"name": []},
        "tags": [],
        "n": None,
        "note": "n/a",
    },
    "d": {
        "published": ["2024-06-02", "1969-07-20 20:17"],
        "theme": "Horror",
        "author": {"name": [None]},
        "tags": [None],
        "not": ["x", "y"],
        "note": "2024-01-15",
        "n": 9,
    },
    "e": {"theme": "", "by": [{"name": "Bob"}, {"name": None}], "and": 1, "open": False, "n": 0},
}
CEST = timezone(timedelta(hours=2))

FILTERS: list[tuple[Filter, str]] = [
    # a day is all of it, a time all of its last digit; without a zone it is UTC's
    ({"published": "2024-06-02"}, "d"),
    ({"published": "2024-06-01"}, "c"),
    ({"published": date(2024, 1, 15)}, "b"),
    ({"published": "2024-06"}, "cd"),
    ({"published": "2024"}, "bcd"),
    ({"published": "2024-01-15T10:30"}, "b"),
    ({"published": "2024-01-15T11:30:00+01:00"}, "b"),
    ({"published": "2024-01-15T10:30:00.123Z"}, "b"),
    ({"published": "2024-01-15T10:30:00.123456Z"}, "b"),
    ({"published": "2024-01-15T10:30:00.123457Z"}, ""),
    ({"published": datetime(2024, 1, 15, 10, 30, 0, 123456)}, "b"),
    ({"published": datetime(2024, 6, 2, 0, 30, tzinfo=CEST)}, "c"),
    ({"published": ["2023-11-20", "1969"]}, "ad"),
    ({"published": Range(gte="2024-01-15")}, "bcd"),
    ({"published": Range(gt="2024-01-15")}, "cd"),
    ({"published": Range(lt="2024-01-15")}, "ad"),
    ({"published": Range(lte="2024-01-15")}, "abd"),
    ({"published": Range(gte=date(2024, 1, 1), lt="2024-02-01T00:00:00Z")}, "b"),
    ({"published": Range(gt="2024-01-15T10:30:00.123455Z", lte=datetime.max)}, "bcd"),
    ({"published": Range(gt=datetime(2024, 6, 1, 22, 30, tzinfo=UTC))}, "d"),
    ({"published": Range(lt="1970-01-01")}, "d"),
    ({"published": Range(gte="0001-01-01", lt="9999-12-31")}, "abcd"),
    ({"published": Range(gt="9999-12-31")}, ""),
    ({"published": [Range(lt="2024"), Range(gte="2024-06-02")]}, "ad"),
    ({"author.born": Range(lt="1900-01-01")}, "a"),
    ({"note": Range(gte="2024-01-01")}, "d"),  # other texts are outside every range
    ({"note": "2024-01-15"}, "d"),
    ({"note": "n/a"}, "c"),
    ({"note": "2024"}, ""),  # a year alone is a text where other texts are
    # none of, and all but
    ({"not": {"theme": "Mafia"}}, "acde"),
    ({"not": {"theme": ["Mafia", "Horror"], "tags": "drama"}}, "acde"),
    ({"not": [{"theme": ["Mafia", "Horror"]}, {"tags": "drama"}]}, "ce"),
    ({"not": {"published": Range(gte="2024-01-01")}}, "ae"),
    ({"not": {"n": Range(gte=7)}}, "ace"),
    ({"not": {"not": {"theme": "Mafia"}}}, "b"),
    # any of, over fields; all of
    ({"or": [{"theme": "Mafia"}, {"author.name": "Ada"}]}, "ab"),
    ({"or": [{"theme": "Mafia", "tags": "prison"}, {"n": 9}]}, "d"),
    ({"tags": "drama", "or": [{"theme": "Horror"}, {"theme": "Mafia"}]}, "b"),
    ({"and": [{"tags": "drama"}, {"tags": "prison"}]}, "a"),
    ({"and": [{"or": [{"n": 7}, {"n": 9}]}, {"not": {"theme": "Mafia"}}]}, "d"),
    ({"or": ({"n": 0},)}, "e"),
    # absent, null, and a list without values are all missing; the empty text is not
    ({"author.name": None}, "bcde"),
    ({"author": None}, "bcde"),
    ({"tags": None}, "cde"),
    ({"theme": None}, "c"),
    ({"n": None}, "ac"),
    ({"published": None}, "e"),
    ({"by.name": None}, "abcd"),
    ({"by": None}, "abcd"),
    ({"open": None}, "abcd"),
    ({"not": {"author": None}}, "a"),
    ({"n": [0, None]}, "ace"),
    ({"tags": ["crime", None]}, "bcde"),
    ({"theme": None, "note": "n/a"}, "c"),
    ({"or": [{"theme": None}, {"n": Range(gt=7)}]}, "cd"),
    # fields that are called like that
    ({"or": "gold"}, "a"),
    ({"or": ["gold", "silver"]}, "a"),
    ({"not": "x"}, "d"),
    ({"not": None}, "abce"),
    ({"not": ["y", "z"]}, "d"),
    ({"and": 1}, "e"),
    ({"not": [{"not": "x"}, {"or": "gold"}]}, "bce"),
]


@pytest.fixture(scope="module", params=MAKERS)
def index(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connector]:
    with MAKERS[request.param](tmp_path_factory.mktemp("index") / "index", None) as made:
        made.index(Document(id_, "a film", metadata) for id_, metadata in METADATA.items())
        yield made
    delete_indexes()


@pytest.mark.parametrize(("filter", "expected"), FILTERS, ids=[str(f) for f, _ in FILTERS])
def test_every_backend_finds_the_same(index: Connector, filter: Filter, expected: str) -> None:
    found = [hit.document.id for hit in index.search("film", top_k=9, filter=filter)]
    assert sorted(found) == list(expected)


def test_dates_are_called_dates(index: Connector) -> None:
    fields = index.schema().fields
    assert (fields["published"], fields["note"], fields["n"]) == ("date", "string", "integer")


def test_a_range_of_what_is_no_date_is_an_error(index: Connector) -> None:
    for bound in ("soon", 2024, "2024-13-01"):
        with pytest.raises(InputError, match="filter published: expected dates, such as"):
            index.search("film", top_k=1, filter={"published": Range(gte=bound)})
