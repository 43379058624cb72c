"""Documents that are written, read back, replaced and deleted."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from functools import partial
from typing import Any

from retrieve_rerank.base import Filter
from retrieve_rerank.errors import InputError
from retrieve_rerank.testing.connectors.subject import (
    WINGS,
    Subject,
    assert_alike,
    assert_raises,
    contents,
    ids,
)
from retrieve_rerank.types import Document

ODD_IDS = ["a b", "ü/ß", "日本", "😀", "../up", "a\nb\t", "\0", "x" * 3000, "'\"\\", "0", "None"]


class WritingConformance(Subject):
    """What `index`, `get`, `scan`, `count` and `delete` do."""

    def test_documents_come_back_as_they_were_given(self) -> None:
        """Texts and metadata keep every character, type and level; fields may be sorted by name."""
        metadata: dict[str, Any] = {
            **{"n": None, "i": 2**62, "f": 1.0, "s": "a\0b 😀", "yes": True, "e": [], "o": {}},
            "nested": {"z": [1, 2.5, "x", None, {"a b": 'q"u\\o'}], "a": 1},
        }
        document = Document("d", "text\nwith\ttabs and \0", metadata)
        with self.opened([document]) as connector:
            [found] = connector.get(["d"])
            assert found == document
            assert str(found.metadata) in (str(metadata), str(_sorted(metadata)))  # types too
            assert str(connector.get(["d"])) == str([found])

    def test_indexing_twice_leaves_the_index_as_once(self) -> None:
        """What is there unchanged is neither written nor embedded again."""
        encoder = self.encoder()
        with self.connector(encoder) as connector:
            assert connector.index(WINGS).indexed == 4
            before, hits = contents(connector), connector.search("wing drag", top_k=10)
            report = connector.index(WINGS)
            assert (report.indexed, report.unchanged) == (0, 4)
            assert contents(connector) == before == {each.id: each for each in WINGS}
            assert_alike(connector.search("wing drag", top_k=10), hits)
            assert encoder is None or encoder.encoded == 4

    def test_a_changed_document_replaces_the_old_one(self) -> None:
        """One with another text, and one with other metadata."""
        with self.opened(WINGS) as connector:
            for changed in (
                Document("lift", "a propeller", {"year": 1950, "author": {"name": "Ada"}}),
                Document("lift", "a propeller", {"year": 1951}),
            ):
                report = connector.index([changed, *WINGS[1:]])
                assert (report.indexed, report.unchanged) == (1, 3)
                assert connector.get(["lift"]) == [changed]
                assert connector.count() == 4
                assert connector.search("propeller", top_k=1)[0].document == changed

    def test_the_last_of_several_documents_with_one_id_counts(self) -> None:
        """In one call as in several."""
        twins = [Document("d", "first"), Document("e", "other"), Document("d", "second")]
        with self.opened() as connector:
            for _ in range(2):
                connector.index(twins)
                assert contents(connector) == {"d": twins[2], "e": twins[1]}

    def test_progress_adds_up_to_the_documents_given(self) -> None:
        """Those that another replaces are counted too."""
        heard: list[int] = []
        documents = [Document(f"d{i % 300}", f"wing number {i}") for i in range(600)]
        with self.opened() as connector:
            connector.index(iter(documents), on_progress=heard.append)
            assert sum(heard) == 600
            assert connector.count() == 300

    def test_an_empty_index_answers(self) -> None:
        """With nothing, and without an error."""
        with self.opened() as connector:
            assert connector.search("wing", top_k=10) == []
            assert connector.index([]).indexed == 0
            assert connector.get(["x"]) == []
            assert connector.delete(["x"]) == 0
            assert contents(connector) == {}
            assert connector.schema().documents == 0

    def test_get_keeps_the_order_asked_for_and_leaves_unknown_ids_out(self) -> None:
        """An id that is asked for twice comes twice."""
        with self.opened(WINGS) as connector:
            found = connector.get(["heat", "nobody", "lift", "heat"])
            assert [document.id for document in found] == ["heat", "lift", "heat"]

    def test_any_text_can_be_asked_for_as_an_id(self) -> None:
        """Spellings of one UUID, numbers and what cannot be an id are texts like others."""
        uuid = "6F7A3C1E-2B4D-4E5F-8A9B-0C1D2E3F4A5B"
        spellings = [uuid, uuid.lower(), f"{{{uuid}}}", f"urn:uuid:{uuid}", uuid.replace("-", "")]
        named = [*spellings, str(2**64), "-1", "007", "a/b#c?d e%20f", "x" * 600]
        never = ["", "\ud800", "9" * 5000]
        with self.opened([Document(id_, "a wing") for id_ in named[1:]]) as connector:
            found = connector.get([*never, *reversed(named)])
            assert [document.id for document in found] == named[:0:-1]  # the first is not there
            assert connector.delete([named[0], *never, named[1]]) == 1

    def test_ids_may_hold_any_characters(self) -> None:
        """They are searched, read and deleted as others are."""
        documents = [Document(id_, f"wing number {i}") for i, id_ in enumerate(ODD_IDS)]
        with self.opened(documents) as connector:
            assert connector.get(ODD_IDS) == documents
            assert set(ids(connector.search("wing", top_k=100))) == set(ODD_IDS)
            assert connector.delete(ODD_IDS) == len(ODD_IDS)

    def test_delete_counts_what_was_there(self) -> None:
        """An id that is not there, or named twice, deletes nothing more."""
        with self.opened(WINGS) as connector:
            assert connector.delete(["heat", "nobody", "lift", "heat"]) == 2
            assert contents(connector).keys() == {"drag", "both"}
            found = connector.search("heat lift drag", top_k=10)
            assert set(ids(found)) <= {"drag", "both"}
            assert connector.delete(["heat"]) == 0

    def test_a_deleted_document_can_come_back(self) -> None:
        """It is new then, and the others are unchanged."""
        with self.opened(WINGS) as connector:
            connector.delete(["lift"])
            assert connector.index(WINGS).indexed == 1
            assert connector.get(["lift"]) == [WINGS[0]]

    def test_empty_texts_keep_their_ids(self) -> None:
        """They are kept, and do not stand above what is found."""
        texts = {"a": "", "b": " \n", "c": "wing", "d": "?!"}
        documents = [Document(*each) for each in texts.items()]
        with self.opened(documents) as connector:
            assert connector.get(["a", "b", "c", "d"]) == documents
            assert ids(connector.search("wing", top_k=10))[0] == "c"

    def test_a_text_of_a_megabyte_is_found_and_comes_back(self) -> None:
        """By its last word too."""
        text = " ".join(f"word{i}" for i in range(110_000)) + " aardvark"
        with self.opened([Document("long", text), *WINGS]) as connector:
            assert connector.get(["long"])[0].text == text
            assert ids(connector.search("aardvark", top_k=1)) == ["long"]

    def test_an_unfit_document_is_an_error_that_names_it(self) -> None:
        """Nothing is written then."""
        with self.opened() as connector:
            for document, words in (
                (Document("", "no id"), ["needs an id"]),
                (Document("x", "day", {"day": date(2020, 1, 1)}), ["'x'", "'day'"]),
                (Document("x", "\ud800"), ["'x'", "not valid Unicode"]),
            ):
                assert_raises(InputError, partial(connector.index, [document]), *words)
                assert connector.count() == 0

    def test_inputs_are_not_changed(self) -> None:
        """Documents and filters stay as they were, whatever becomes of what came back."""
        documents = deepcopy(list(WINGS))
        filter: Filter = {"tags": ["a", "b"]}
        with self.opened(documents) as connector:
            before = connector.get(["both"])
            handed_out = [
                *connector.get(["both"]),
                *(hit.document for hit in connector.search("wing", top_k=10, filter=filter)),
                *connector.scan(),
            ]
            for document in handed_out:
                document.metadata.setdefault("tags", []).append("c")  # type: ignore[attr-defined]
            assert connector.get(["both"]) == before
            assert len(connector.search("wing", top_k=10, filter={"tags": "c"})) == 0
            assert documents == list(WINGS)
            assert filter == {"tags": ["a", "b"]}

    def test_closing_twice_is_harmless(self) -> None:
        """As leaving a `with` after `close` is."""
        connector = self.opened()
        connector.close()
        connector.close()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
