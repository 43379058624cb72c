from __future__ import annotations

import pytest

from retrieve_rerank import Document, Template

WINGS = Document("d1", "Lift grows {text}.", {"title": "Wings", "author": {"name": "Ludwig"}})


@pytest.mark.parametrize(
    ("pattern", "rendered"),
    [
        ("{title} {text}", "Wings Lift grows {text}."),
        ("{text}", "Lift grows {text}."),
        ("{id}: {author.name}", "d1: Ludwig"),
        ("{missing} {title}", "Wings"),
        ("{author.name.first}x", "x"),
        ("{0} {title!r} {text.__class__}", "{title!r}"),
    ],
)
def test_only_fields_are_replaced(pattern: str, rendered: str) -> None:
    assert Template(pattern).render(WINGS) == rendered


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert Template("{text}").render(Document("d", "a \ud83d b – c")) == "a ? b – c"


def test_a_document_without_title_has_no_leading_space() -> None:
    assert Template().render(Document("d", "text")) == "text"
