from __future__ import annotations

import pytest

from retrieve_rerank.base import Range
from retrieve_rerank.cli.filters import parse_filters
from retrieve_rerank.errors import InputError

FIELDS = {
    "lang": "string",
    "year": "integer",
    "price": "float",
    "draft": "boolean",
    "code": "mixed",
}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], {}),
        (["lang=en"], {"lang": ["en"]}),
        (["lang=en", "lang=de"], {"lang": ["en", "de"]}),
        (["lang="], {"lang": [""]}),
        (["lang=a=b"], {"lang": ["a=b"]}),
        (["lang = en"], {"lang": ["en"]}),
        (["year=2020"], {"year": [2020]}),
        (["price=2"], {"price": [2.0]}),
        (["draft=True"], {"draft": [True]}),
        (["code=7"], {"code": ["7", 7]}),
        (["code=x"], {"code": ["x"]}),
        (["year>=2000", "year<2010"], {"year": Range(gte=2000, lt=2010)}),
        (["year>2000", "lang=en"], {"year": Range(gt=2000), "lang": ["en"]}),
        (["author.name=Li Na"], {"author.name": ["Li Na"]}),
        (["作者=李娜"], {"作者": ["李娜"]}),
    ],
)
def test_conditions_take_the_type_of_their_field(
    conditions: list[str], expected: dict[str, object]
) -> None:
    assert parse_filters(conditions, FIELDS) == expected


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["lang"], "filter 'lang' is none; expected field=value, field>=number"),
        (["=en"], "filter '=en' is none"),
        (["year=new"], "filter on year expects an integer; got 'new'"),
        (["year>=new"], "filter on year expects a number; got 'new'"),
        (["price=dear"], "filter on price expects a number; got 'dear'"),
        (["draft=maybe"], "filter on draft expects true or false; got 'maybe'"),
        (["year=2000", "year>1990"], "filter on year mixes values and bounds"),
        (["year>1990", "year=2000"], "filter on year mixes values and bounds"),
    ],
)
def test_conditions_that_make_no_sense_are_explained(conditions: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_filters(conditions, FIELDS)
