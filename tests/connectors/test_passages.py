"""Documents in passages, cut again: no backend keeps what an earlier cut left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from retrieve_rerank import Connector, Document
from retrieve_rerank.base import IndexReport
from retrieve_rerank.data.passages import Cut
from retrieve_rerank.errors import InputError
from retrieve_rerank.indexing.documents import absent, index_cut, index_documents, prune

WORDS = 5


@pytest.fixture
def encoder() -> None:
    """Make indexes for search by words."""


def long(id_: str, sentences: int) -> Document:
    """A document of as many passages as sentences."""
    return Document(id_, " ".join(f"A wing has number {n}." for n in range(sentences)))


def index(connector: Connector, *documents: Document, passages: int | None = WORDS) -> IndexReport:
    return index_documents(connector, documents, passages=passages)


def ids(connector: Connector) -> set[str]:
    return {document.id for document in connector.scan()}


def test_passages_that_a_shortened_document_no_longer_has_are_deleted(connector: Connector) -> None:
    assert index(connector, long("a.md", 40), long("b", 3)).superseded == 0
    assert connector.count() == 43
    report = index(connector, long("a.md", 2), long("c", 1))
    assert (report.indexed, report.unchanged, report.superseded) == (1, 2, 38)
    assert ids(connector) == {"a.md#0", "a.md#1", "b#0", "b#1", "b#2", "c#0"}
    assert not [hit for hit in connector.search("number 39", top_k=9) if "39" in hit.document.text]


def test_two_cuts_are_never_mixed(connector: Connector) -> None:
    index(connector, long("a", 12), long("b", 1))
    assert index(connector, long("a", 12), passages=3 * WORDS).superseded == 8
    assert ids(connector) == {"a#0", "a#1", "a#2", "a#3", "b#0"}
    assert index(connector, long("a", 12), passages=None).superseded == 4
    assert ids(connector) == {"a", "b#0"}
    assert index(connector, long("a", 2)).superseded == 1
    assert ids(connector) == {"a#0", "a#1", "b#0"}


def test_only_passages_that_were_made_here_are_deleted(connector: Connector) -> None:
    """An id, or fields of such names, do not make one; nor is another's passage a document."""
    own = [
        Document("a#2", "by its id alone"),
        Document("a#3", "another parent", {"parent": "b", "passage": 3}),
        Document("a#4", "no position", {"parent": "a", "passage": "4"}),
        Document("x#0", "not of x, which is whole", {"parent": "y", "passage": 0}),
    ]
    connector.index(own)
    index(connector, long("a", 1), Document("a#0", "short"), Document("x", "short"))
    assert ids(connector) == {"a#0", "a#0#0", "x#0", "a#2", "a#3", "a#4"}
    assert index(connector, long("a", 1), Document("x", "short"), passages=None).superseded == 2
    assert {"a", "x", "a#2", "a#3", "a#4", "a#0#0"} == ids(connector)


def test_a_whole_document_that_looks_like_a_passage_stays(connector: Connector) -> None:
    index(connector, long("a", 2))
    exported = list(connector.scan())
    index(connector, Document("a", "whole"), *exported, passages=None)
    assert ids(connector) == {"a", "a#0", "a#1"}


def test_what_could_not_be_read_is_left_alone(connector: Connector) -> None:
    index(connector, long("a", 3), long("b", 3))

    def breaking() -> Iterator[Document]:
        yield long("a", 1)
        raise InputError("the file breaks off")

    with pytest.raises(InputError):
        index_documents(connector, breaking(), passages=WORDS)
    assert ids(connector) == {f"{id_}#{n}" for id_ in "ab" for n in range(3)}


def test_documents_that_are_gone_are_found_and_deleted_on_request(connector: Connector) -> None:
    connector.index([Document("whole", "a wing"), Document("kept", "a wing")])
    index(connector, long("a", 3), long("b", 2))
    cut = Cut([long("a", 3), Document("kept", "a wing")], words=WORDS)
    index_cut(connector, cut, cut)
    assert absent(connector, cut) == {"whole", "b"}
    assert prune(connector, cut) == 3
    assert ids(connector) == {"a#0", "a#1", "a#2", "kept#0"}


def test_fields_that_are_named_as_those_of_passages_are_kept_and_said(connector: Connector) -> None:
    report = index(connector, Document("a", "short", {"parent": "mine", "metadata": {"x": 1}}))
    [passage] = connector.get(["a#0"])
    kept = {"x": 1, "parent": "mine"}
    assert passage.metadata == {"parent": "a", "passage": 0, "metadata": kept}
    [note] = report.notes
    assert note.startswith("1 documents have a field parent or passage of their own")
