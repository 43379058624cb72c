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
        (["lang = en "], {"lang": ["en"]}),
        (["year=2020"], {"year": ["2020"]}),
        (["year>=2000", "year<2010"], {"year": Range(gte="2000", lt="2010")}),
        (["day>2024-01-31", "lang=en"], {"lang": ["en"], "day": Range(gt="2024-01-31")}),
        (["author.name=Li Na"], {"author.name": ["Li Na"]}),
        (["作者=李娜"], {"作者": ["李娜"]}),
        (["lang!=en"], {"and": [{"not": {"lang": "en"}}]}),
        (
            ["lang!=en", "lang!=de", "year=1"],
            {"and": [{"year": ["1"]}, {"not": {"lang": "en"}}, {"not": {"lang": "de"}}]},
        ),
        (["author=*"], {"and": [{"not": {"author": None}}]}),
        (["author!=*"], {"and": [{"author": None}]}),
        (
            ["year>=2000", "year>=2010"],
            {"and": [{"year": Range(gte="2000")}, {"year": Range(gte="2010")}]},
        ),
        (
            ["theme=Mafia | author = S. Kingsley | year<2000 | tags!=* | lang!=en"],
            {
                "and": [
                    {
                        "or": [
                            {"theme": "Mafia"},
                            {"author": "S. Kingsley"},
                            {"year": Range(lt="2000")},
                            {"tags": None},
                            {"not": {"lang": "en"}},
                        ]
                    }
                ]
            },
        ),
        (["lang=a|b"], {"lang": ["a|b"]}),
        (['lang="a | b"'], {"lang": ["a | b"]}),
        (['lang="*"'], {"lang": ["*"]}),
        (['lang="say \\"hi\\" \\\\ \\n"'], {"lang": ['say "hi" \\ \\n']}),
        (['size=5" pipe', 'size="a" b'], {"size": ['5" pipe', '"a" b']}),
        (['"a >= b"=1', '"x y"!=*'], {"and": [{"a >= b": ["1"]}, {"x y": None}]}),
        (['lang="a | b" | lang=""'], {"and": [{"or": [{"lang": "a | b"}, {"lang": ""}]}]}),
        (["or=gold", "not=x"], {"or": ["gold"], "not": ["x"]}),
        (["wow!?=x"], {"wow!?": ["x"]}),
        (["text=two\nlines"], {"text": ["two\nlines"]}),
    ],
)
def test_conditions_become_a_filter(conditions: list[str], expected: dict[str, object]) -> None:
    assert parse_filters(conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["lang"], "cannot read the filter 'lang'; expected FIELD=VALUE, FIELD!=VALUE"),
        ([""], "cannot read the filter ''"),
        (["=en"], "cannot read the filter '=en'"),
        (["lang=en | "], "cannot read the filter 'lang=en | '"),
        (["lang=en | de"], "cannot read the filter 'lang=en | de'"),
        (["year=2000", "year>1990"], "the filter on year mixes values and bounds"),
    ],
)
def test_conditions_that_make_no_sense_are_explained(conditions: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        parse_filters(conditions)
