from __future__ import annotations

import pytest

from retrieve_rerank.cli.views.snippets import snippet


def shown(text: str, query: str, *, language: str = "english", width: int = 80) -> str:
    pieces = snippet(text, query, language=language, width=width)
    return "".join(f"[{piece.text}]" if piece.marked else piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Sharing of data.", "who shares data", "[Sharing] of [data]."),
        ("The who and the what.", "who is the boss", "The who and the what."),
        ("Line one\n\n  line two", "two", "Line one line [two]"),
        ("state-of-the-art", "art", "state-of-the-[art]"),
        ("", "art", ""),
    ],
)
def test_words_are_marked_by_their_stems(text: str, query: str, expected: str) -> None:
    assert shown(text, query) == expected


def test_the_part_with_most_of_the_query_is_shown() -> None:
    text = "We share a lot. " + "Nothing is said here. " * 20 + "We share data with partners."
    assert shown(text, "share data partners").startswith("… ")
    assert shown(text, "share data partners").endswith("[share] [data] with [partners].")


def test_a_text_without_a_match_is_shown_from_its_beginning() -> None:
    assert shown("one two three four", "zebra", width=10) == "one two …"


def test_a_text_without_spaces_is_cut_anywhere() -> None:
    assert shown("x" * 100, "zebra", width=10) == "x" * 10 + " …"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("工商户的字号", "个体[工][商][户]可以起[字][号]。"),
        ("商", "个体工[商]户可以起字号。"),
        ("工人", "个体工商户可以起字号。"),
    ],
)
def test_chinese_is_marked_by_pairs_of_characters(query: str, expected: str) -> None:
    assert shown("个体工商户可以起字号。", query, language="chinese") == expected


def test_a_megabyte_is_cut_from_its_beginning() -> None:
    assert (
        shown("data policy " * 90_000, "policy", width=30) == "data [policy] data [policy] data …"
    )
