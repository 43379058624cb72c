from __future__ import annotations

import pytest

from retrieve_rerank.base import Range
from retrieve_rerank.cli.filters import parse_filters
from retrieve_rerank.errors import InputError


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], {}),
        (["lang=en"], {"lang": ["en"]}),
        (["lang=en", "lang=de"], {"lang": ["en", "de"]}),
        (["lang="], {"lang": [""]}),
        (["lang=a=b"], {"lang": ["a=b"]}),
        (["lang = en"], {"lang": ["en"]}),
        (["year=2020"], {"year": ["2020"]}),
        (["year>=2000", "year<2010"], {"year": Range(gte=2000, lt=2010)}),
        (["year>2000", "lang=en"], {"lang": ["en"], "year": Range(gt=2000)}),
        (["author.name=Li Na"], {"author.name": ["Li Na"]}),
        (["作者=李娜"], {"作者": ["李娜"]}),
    ],
)
def test_conditions_become_a_filter(conditions: list[str], expected: dict[str, object]) -> None:
    assert parse_filters(conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["lang"], "cannot read the filter 'lang'; expected FIELD=VALUE, FIELD>=NUMBER"),
        (["=en"], "cannot read the filter '=en'"),
        (["year>=new"], "the filter on year expects a number; got 'new'"),
        (["year=2000", "year>1990"], "the filter on year mixes values and bounds"),
    ],
)
def test_conditions_that_make_no_sense_are_explained(conditions: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_filters(conditions)
