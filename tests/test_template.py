from __future__ import annotations

import pytest

from retrieve_rerank import Document, Retriever, Template, rank
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.rerankers.cached import Cached, ScoreCache
from retrieve_rerank.testing import OverlapScorer

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


def test_lists_and_objects_are_read_value_by_value() -> None:
    document = Document(
        "d", "body", {"tags": ["飞机", "wing"], "by": {"name": "Ada", "year": 1843}}
    )
    assert Template("{tags} {text}").render(document) == "飞机\nwing body"
    assert Template("{by}").render(document) == "Ada\n1843"


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert Template("{text}").render(Document("d", "a \ud83d b – c")) == "a ? b – c"


def test_a_document_without_title_has_no_leading_space() -> None:
    assert Template().render(Document("d", "text")) == "text"


@pytest.mark.parametrize("pattern", ["", "const", "{}", "{title!r}", "{a b}"])
def test_a_template_without_a_field_is_an_error(pattern: str) -> None:
    with pytest.raises(ConfigError, match="has no field, so that all documents would read the"):
        Template(pattern)


@pytest.mark.parametrize("pattern", ["{title", "title}", "{title} {text", "}{title}{", "{{title}"])
def test_a_brace_without_its_counterpart_is_an_error(pattern: str) -> None:
    with pytest.raises(ConfigError, match="has a brace without its counterpart"):
        Template(pattern)


def test_braces_in_pairs_are_text() -> None:
    assert Template('{"title": "{title}"}').render(WINGS) == '{"title": "Wings"}'


class Misspelt(OverlapScorer):
    template = Template("about {nope} or {author.nope}")
    fingerprint = "misspelt"


async def test_a_stage_that_could_read_nothing_says_so() -> None:
    connector = MemoryConnector([Document(str(n), f"wing {n}", {"title": " "}) for n in range(3)])
    for scorer in (Misspelt(), Cached(Misspelt(), ScoreCache())):
        retriever = Retriever(connector, scorer)
        for _ in range(2):  # the second time from the cache
            for result in (retriever.search("wing"), await retriever.asearch("wing")):
                [note] = result.stages[1].notes
                assert note.startswith("no document has any field of the template 'about {nope}")
    assert Retriever(connector, OverlapScorer()).search("wing").stages[1].notes == ()


def test_the_documents_of_which_nothing_could_be_read_are_named() -> None:
    texts = {"a": "x", "gap": "", "b": "y"}
    hits = rank((Document(id_, "", {"nope": text}), 0.0) for id_, text in texts.items())
    cached = Cached(Misspelt(), ScoreCache())
    assert cached.rerank("wing", hits[:1]).notes == ()
    for _ in range(2):  # the second time from the cache
        [note] = cached.rerank("wing", hits).notes
        assert note.startswith("1 of 3 documents have no field of the template 'about {nope}")
        assert note.endswith("were scored as empty: 'gap'")
    assert cached.rerank("wing", []).notes == ()
