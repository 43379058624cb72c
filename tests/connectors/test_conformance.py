"""What every connector must do, whatever its backend."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieve_rerank import Candidates, Connector, Document, Filter, Hit, Range
from retrieve_rerank.base import Encoding, MaxSimScores, TensorConnector, TensorStore, VectorSearch
from retrieve_rerank.connectors.lexical import NOTHING_TO_FIND
from retrieve_rerank.errors import InputError, ModelError, UnknownFieldError
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings
from retrieve_rerank.registry import CONNECTORS
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.conftest import MAKERS
from tests.servers import delete_indexes

WINGS = [
    Document("lift", "the lift of a thin wing", {"year": 1950, "author": {"name": "Ada"}}),
    Document("drag", "drag polar of a slender body", {"year": 1960, "author": {"name": "Bob"}}),
    Document("both", "lift and drag of a wing in a slipstream", {"year": 1970, "tags": ["a", "b"]}),
    Document("heat", "heat transfer in a pipe", {"year": 1980, "tags": ["b"], "open": True}),
]
ODD_IDS = ["a b", "ü/ß", "日本", "😀", "../up", "a\nb\t", "\0", "x" * 3000, "'\"\\", "0", "None"]


class SpoiltEncoder(HashingEncoder):
    """Gives numbers that are none, or infinite, for a text with a word that says so."""

    def _encode(self, text: str) -> Encoding:
        made = super()._encode(text)
        spoilt = np.float32({"spoilt": "nan", "endless": "inf"}.get(text.split()[-1], "1"))
        return made._replace(vector=made.vector * spoilt, tokens=made.tokens * spoilt)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.document.id for hit in hits]


def assert_alike(hits: list[Hit], expected: list[Hit]) -> None:
    """Same documents in the same order, same scores to the last digits of float32.

    Qdrant's local mode computes with NumPy, whose sums depend on where arrays lie in memory.
    """
    assert [(hit.rank, hit.document) for hit in hits] == [
        (hit.rank, hit.document) for hit in expected
    ]
    assert [hit.score for hit in hits] == pytest.approx(
        [hit.score for hit in expected], rel=1e-5, abs=1e-5
    )


def contents(connector: Connector) -> dict[str, Document]:
    found = list(connector.scan())
    assert len(found) == connector.count() == len({document.id for document in found})
    return {document.id: document for document in found}


def sorted_by_key(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sorted_by_key(value[key]) for key in sorted(value)}
    return [sorted_by_key(each) for each in value] if isinstance(value, list) else value


def test_every_registered_connector_is_tested_here() -> None:
    made = {CONNECTORS[scheme].target for scheme in MAKERS}
    assert made == {entry.target for entry in CONNECTORS.values()}


@pytest.mark.parametrize("name", MAKERS)
def test_vectors_without_finite_numbers_are_refused(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path / "index", SpoiltEncoder()) as connector:
        connector.index([Document("sound", "a wing")])
        for word in ("spoilt", "endless"):
            said = f"hashing gave numbers that are infinite or none for document '{word}'"
            with pytest.raises(ModelError, match=said):
                connector.index([Document("other", "a pipe"), Document(word, f"a wing {word}")])
            assert ids(connector.search("wing pipe", top_k=9)) == ["sound"]
            with pytest.raises(ModelError, match="infinite or none for the query"):
                connector.search(f"wing {word}", top_k=9)
    delete_indexes()


def test_half_a_surrogate_pair_loses_nothing_beside_it(connector: Connector) -> None:
    connector.index([Document("d", "a wing ?", {"k": "a ?"}), Document("e", "heat")])
    assert ids(connector.search("wing \ud83d", top_k=1)) == ["d"]
    assert ids(connector.search("\udc4dwing", top_k=1, filter={"k": ["a \ud83d", "x"]})) == ["d"]
    if isinstance(connector, TensorConnector):
        connector.max_sim("wing \ud83d", ["d"])


def test_documents_come_back_as_they_were_given(connector: Connector) -> None:
    metadata: dict[str, Any] = {
        **{"n": None, "i": 2**62, "f": 1.0, "s": "a\0b 😀", "yes": True, "e": [], "o": {}},
        "nested": {"z": [1, 2.5, "x", None, {"a b": 'q"u\\o'}], "a": 1},
    }
    document = Document("d", "text\nwith\ttabs and \0", metadata)
    connector.index([document])
    [found] = connector.get(["d"])
    assert found == document
    in_order = (str(metadata), str(sorted_by_key(metadata)))  # which gRPC does not keep
    assert str(found.metadata) in in_order  # types too
    [again] = connector.get(["d"])
    assert str(again) == str(found)


def test_indexing_twice_leaves_the_index_as_once(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    assert connector.index(WINGS).indexed == 4
    before, hits = contents(connector), connector.search("wing drag", top_k=10)
    report = connector.index(WINGS)
    assert (report.indexed, report.unchanged) == (0, 4)
    assert contents(connector) == before == {document.id: document for document in WINGS}
    assert_alike(connector.search("wing drag", top_k=10), hits)
    assert encoder is None or encoder.encoded == 4


@pytest.mark.parametrize(
    "changed",
    [
        Document("lift", "a propeller", {"year": 1950, "author": {"name": "Ada"}}),
        Document("lift", "the lift of a thin wing", {"year": 1951}),
    ],
)
def test_a_changed_document_replaces_the_old_one(connector: Connector, changed: Document) -> None:
    connector.index(WINGS)
    report = connector.index([changed, *WINGS[1:]])
    assert (report.indexed, report.unchanged) == (1, 3)
    assert connector.get(["lift"]) == [changed]
    assert connector.count() == 4
    hits = connector.search(changed.text, top_k=1)
    assert hits[0].document == changed


def test_the_last_of_several_documents_with_one_id_counts(connector: Connector) -> None:
    twins = [Document("d", "first"), Document("e", "other"), Document("d", "second")]
    for _ in range(2):
        connector.index(twins)
        assert contents(connector) == {"d": twins[2], "e": twins[1]}


def test_progress_adds_up_to_the_documents_given(connector: Connector) -> None:
    heard: list[int] = []
    documents = [Document(f"d{i % 300}", f"wing number {i}") for i in range(600)]
    connector.index(iter(documents), on_progress=heard.append)
    assert sum(heard) == 600
    assert connector.count() == 300


def test_ranks_run_from_one_and_scores_never_rise(connector: Connector) -> None:
    connector.index(WINGS)
    hits = connector.search("lift and drag of a wing", top_k=10)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert hits[0].document == WINGS[2]
    assert all(hit.previous is None and hit.first_stage is hit for hit in hits)


def test_hits_tell_their_place_in_each_ranking(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    connector.index(WINGS)
    hits = connector.search("drag", top_k=10)
    rankings = set(connector.schema().rankings)
    assert rankings == ({"bm25", "dense"} if encoder else {"bm25"})
    assert {name for hit in hits for name in hit.sources} == rankings
    for name in rankings:
        placed = sorted(hit.sources[name] for hit in hits if name in hit.sources)
        assert [place.rank for place in placed] == list(range(1, len(placed) + 1))
        assert sorted((place.score for place in placed), reverse=True) == [
            place.score for place in placed
        ]


def test_top_k_cuts_without_changing_the_order(connector: Connector) -> None:
    connector.index([Document(f"d{i}", f"wing number {i} of {i % 7}") for i in range(30)])
    every = connector.search("wing number 3", top_k=30)
    for top_k in (1, 2, 10):
        assert_alike(connector.search("wing number 3", top_k=top_k), every[:top_k])


def test_words_that_no_document_has_find_nothing_by_bm25(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    connector.index(WINGS)
    for query in ("zebra", "???"):
        hits = connector.search(query, top_k=10)
        assert all("bm25" not in hit.sources for hit in hits)
        assert len(hits) == (4 if encoder else 0)


SAYINGS = [
    Document("hamlet", "To be, or not to be: that is the question of the prince in the play."),
    Document("band", "The Who are a band of London, which is what they say of it on the air."),
    Document("sharp", "This is an introduction to C# for those who have written some Java."),
    Document("plus", "This is a reference of C++ for those who have written some Java."),
    Document("party", "We are happy that you are here \U0001f389 and that it is warm."),
    Document("soft", "Please co\u00adoper\u00adate with those who are at the gate of İstanbul."),
]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("to be or not to be", "hamlet"),
        ("The Who", "band"),
        ("C#", "sharp"),
        ("C++", "plus"),
        ("\U0001f389", "party"),
        ("cooperate", "soft"),
        ("istanbul", "soft"),
        ("hap\u200dpy", "party"),
    ],
)
def test_words_are_found_however_they_are_written(query: str, first: str, tmp_path: Path) -> None:
    for make in MAKERS.values():
        with make(tmp_path / first / "index", None) as connector:
            connector.index(SAYINGS)
            hits = connector.search(query, top_k=10)
            assert isinstance(hits, Candidates)
            assert (type(connector), ids(hits)[:1], hits.notes) == (type(connector), [first], ())
    delete_indexes()


def test_a_query_without_words_says_that_it_has_none(connector: Connector) -> None:
    connector.index(SAYINGS)
    hits = connector.search("?! …", top_k=10)
    assert isinstance(hits, Candidates)
    assert hits.notes == (NOTHING_TO_FIND,)


def test_what_only_words_can_find_is_among_the_first(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    # To the encoder, the code beyond the words that it reads does not exist.
    filling = "valve pump boiler " * 30
    connector.index(Document(f"m{n:03}", f"{n} {filling}") for n in range(130))
    connector.index([Document("code", f"999 {filling} X77Q12"), Document("two", f"{filling} K8")])
    connector.index([Document("twin", f"{filling} {'spare ' * 20} K8")])
    assert "code" in ids(connector.search("X77Q12", top_k=100))[:10]
    assert {"two", "twin"} <= set(ids(connector.search("K8", top_k=100))[:10])


def test_an_uninformative_word_does_not_outrank_what_the_encoder_finds(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    words = [f"w{n}" for n in range(400)]
    draw = random.Random(7)
    connector.index(Document(f"m{n}", " ".join(draw.sample(words, 12))) for n in range(130))
    connector.index([Document("polite", " ".join([*draw.sample(words, 12), "kindly"]))])
    connector.index([Document("right", "refund " * 60 + "money back")])
    hits = ids(connector.search("refund refund refund kindly", top_k=100))
    assert hits.index("right") < hits.index("polite")


def test_a_query_of_which_only_the_beginning_is_read_is_told(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    connector.index(WINGS)
    for query, cut in (("wing " * 65, True), ("wing " * 64, False)):
        hits = connector.search(query, top_k=10)
        assert isinstance(hits, Candidates)
        assert hits.query_truncated is (cut and encoder is not None)
        if isinstance(connector, TensorConnector) and encoder is not None:
            if isinstance(connector, TensorStore) and connector.tensor_settings() is None:
                add_tensors(connector, encoder, tensor_settings(encoder))
            found = connector.search_max_sim(query, top_k=10)
            for scores in (found.scores, connector.max_sim(query, ["lift"])):
                assert isinstance(scores, MaxSimScores)
                assert scores.query_truncated is cut
            assert isinstance(found.hits, Candidates)
            assert found.hits.query_truncated is cut
        if isinstance(connector, VectorSearch) and encoder is not None:
            assert connector.truncated_queries([query, "wing"]) == cut


async def test_queries_of_a_hundred_thousand_characters_are_answered(
    connector: Connector,
) -> None:
    connector.index(WINGS)
    letter = "heat in a pipe " + " ".join(f"w{n:x}q" for n in range(14_000))
    for query, first in ((letter, "heat"), ("wing " * 20_000, "lift"), ("x" * 100_000, None)):
        hits = connector.search(query, top_k=4)
        assert ids(hits) == ids(await connector.asearch(query, top_k=4))
        if first is not None:
            assert first in ids(hits)[:2]


def test_an_empty_index_answers(connector: Connector) -> None:
    assert connector.search("wing", top_k=10) == []
    assert connector.index([]).indexed == 0
    assert connector.get(["x"]) == []
    assert connector.delete(["x"]) == 0
    assert contents(connector) == {}
    assert connector.schema().documents == 0


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_an_empty_query_is_an_error(connector: Connector, query: str) -> None:
    with pytest.raises(InputError, match="the query is empty"):
        connector.search(query, top_k=1)


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_one_is_an_error(connector: Connector, top_k: int) -> None:
    with pytest.raises(InputError, match=f"top_k must be at least 1; got {top_k}"):
        connector.search("wing", top_k=top_k)


def test_get_keeps_the_order_asked_for_and_leaves_unknown_ids_out(connector: Connector) -> None:
    connector.index(WINGS)
    found = connector.get(["heat", "nobody", "lift", "heat"])
    assert [document.id for document in found] == ["heat", "lift", "heat"]


def test_any_text_can_be_asked_for_as_an_id(connector: Connector) -> None:
    uuid = "6F7A3C1E-2B4D-4E5F-8A9B-0C1D2E3F4A5B"
    spellings = [uuid, uuid.lower(), f"{{{uuid}}}", f"urn:uuid:{uuid}", uuid.replace("-", "")]
    named = [*spellings, str(2**64), "-1", "007", "a/b#c?d e%20f", "x" * 600]
    connector.index(Document(id_, "a wing") for id_ in named[1:])
    never = ["", "\ud800", "9" * 5000]
    found = connector.get([*never, *reversed(named)])
    assert [document.id for document in found] == named[:0:-1]  # the first was not indexed
    assert connector.delete([named[0], *never, named[1]]) == 1


def test_delete_counts_what_was_there(connector: Connector) -> None:
    connector.index(WINGS)
    assert connector.delete(["heat", "nobody", "lift", "heat"]) == 2
    assert contents(connector).keys() == {"drag", "both"}
    assert set(ids(connector.search("heat lift drag", top_k=10))) <= {"drag", "both"}
    assert connector.delete(["heat"]) == 0


def test_a_deleted_document_can_come_back(connector: Connector) -> None:
    connector.index(WINGS)
    connector.delete(["lift"])
    assert connector.index(WINGS).indexed == 1
    assert connector.get(["lift"]) == [WINGS[0]]


def test_ids_may_hold_any_characters(connector: Connector) -> None:
    documents = [Document(id_, f"wing number {i}") for i, id_ in enumerate(ODD_IDS)]
    connector.index(documents)
    assert connector.get(ODD_IDS) == documents
    assert set(ids(connector.search("wing", top_k=100))) == set(ODD_IDS)
    assert connector.delete(ODD_IDS) == len(ODD_IDS)


def test_empty_texts_keep_their_ids(connector: Connector) -> None:
    documents = [
        Document("a", ""),
        Document("b", " \n"),
        Document("c", "wing"),
        Document("d", "?!"),
    ]
    connector.index(documents)
    assert connector.get(["a", "b", "c", "d"]) == documents
    assert ids(connector.search("wing", top_k=10))[0] == "c"


def test_a_text_of_a_megabyte_is_found_and_comes_back(connector: Connector) -> None:
    text = " ".join(f"word{i}" for i in range(110_000)) + " aardvark"
    assert len(text) > 1_000_000
    connector.index([Document("long", text), *WINGS])
    assert connector.get(["long"])[0].text == text
    assert ids(connector.search("aardvark", top_k=1)) == ["long"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("", "no id"), "needs an id"),
        (Document("x", "day", {"day": date(2020, 1, 1)}), "'x': metadata field 'day'"),
        (Document("x", "\ud800"), "'x': not valid Unicode"),
    ],
)
def test_an_unfit_document_is_an_error_that_names_it(
    connector: Connector, document: Document, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        connector.index([document])
    assert connector.count() == 0


FILTERS: list[tuple[Filter, set[str]]] = [
    ({"year": 1960}, {"drag"}),
    ({"year": "1960"}, {"drag"}),
    ({"year": [1950, 1980]}, {"lift", "heat"}),
    ({"year": Range(gte=1960, lt=1980)}, {"drag", "both"}),
    ({"author.name": "Ada"}, {"lift"}),
    ({"author.name": ["Ada", "Bob"], "year": Range(gt=1955)}, {"drag"}),
    ({"tags": "b"}, {"both", "heat"}),
    ({"open": True}, {"heat"}),
    ({"open": "true"}, {"heat"}),
    ({"open": False}, set()),
    ({"year": 1}, set()),
    ({}, {"lift", "drag", "both", "heat"}),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
def test_filters_keep_what_matches(
    connector: Connector, filter: Filter, expected: set[str]
) -> None:
    connector.index(WINGS)
    assert set(ids(connector.search("lift drag heat", top_k=10, filter=filter))) == expected


def test_filters_do_not_shorten_the_list(connector: Connector) -> None:
    connector.index([Document(f"d{i}", "wing", {"odd": i % 2 == 1}) for i in range(400)])
    hits = connector.search("wing", top_k=150, filter={"odd": True})
    assert len(hits) == 150
    assert all(hit.document.metadata["odd"] for hit in hits)


def test_filters_see_every_kind_of_value_and_place(connector: Connector) -> None:
    values: list[Any] = [
        1,
        1.0,
        1.5,
        "1",
        True,
        "true",
        [1, "x"],
        [{"a": 1}],
        {"a": "1"},
        None,
        2**62,
    ]
    connector.index([Document(f"d{i}", "wing", {"v": value}) for i, value in enumerate(values)])

    def found(**filter: Any) -> set[str]:
        named = {name.replace("__", "."): value for name, value in filter.items()}
        return set(ids(connector.search("wing", top_k=50, filter=named)))

    assert found(v=1) == {"d0", "d1", "d3", "d6"}
    assert found(v="x") == {"d6"}
    assert found(v=True) == {"d4", "d5"}
    assert found(v=Range(gte=1, lt=2)) == {"d0", "d1", "d2", "d6"}
    assert found(v__a=1) == {"d7", "d8"}
    assert found(v=2**62) == {"d10"}


def test_an_unknown_filter_field_is_an_error_that_names_the_known(connector: Connector) -> None:
    connector.index(WINGS)
    with pytest.raises(
        UnknownFieldError, match=r"'colour' .*; known: author\.name, open, tags, year"
    ):
        connector.search("wing", top_k=1, filter={"colour": 1950})


def test_a_filter_value_that_the_field_cannot_hold_is_an_error(connector: Connector) -> None:
    connector.index(WINGS)
    with pytest.raises(InputError, match=r"filter year: expected integer.*got 'new'"):
        connector.search("wing", top_k=1, filter={"year": "new"})


def test_inputs_are_not_changed(connector: Connector) -> None:
    documents, filter = deepcopy(WINGS), {"tags": ["a", "b"]}
    connector.index(documents)
    for document in connector.get(["both"]):
        document.metadata["tags"].append("c")
    connector.search("wing", top_k=10, filter=filter)
    assert documents == WINGS
    assert filter == {"tags": ["a", "b"]}


async def test_async_answers_as_sync_does(connector: Connector) -> None:
    connector.index(WINGS)
    expected = connector.search("wing drag", top_k=3, filter={"year": Range(lt=1975)})
    answers = await asyncio.gather(
        *(
            connector.asearch("wing drag", top_k=3, filter={"year": Range(lt=1975)})
            for _ in range(8)
        )
    )
    for answer in answers:
        assert_alike(answer, expected)


def test_threads_may_share_a_connector(connector: Connector) -> None:
    words = [f"word{i}" for i in range(50)]
    randomly = random.Random(5)
    documents = [Document(f"d{i}", " ".join(randomly.sample(words, 8))) for i in range(200)]
    connector.index(documents)
    expected = [connector.search(word, top_k=5) for word in words]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            answers = threads.map(lambda word: connector.search(word, top_k=5), words)
            for answer, hits in zip(answers, expected, strict=True):
                assert_alike(answer, hits)


def test_searching_goes_on_while_documents_come(connector: Connector) -> None:
    documents = [Document(f"d{i}", f"wing number {i}", {"i": i}) for i in range(600)]
    connector.index(documents[:1])
    with ThreadPoolExecutor(4) as threads:
        writing = threads.submit(connector.index, documents)
        while not writing.done():
            assert connector.search("wing", top_k=5)
            assert all(hit.document.text for hit in connector.search("number 7", top_k=50))
        assert writing.result().indexed == 599
    assert connector.count() == 600


def test_the_schema_describes_the_index(
    connector: Connector, encoder: HashingEncoder | None
) -> None:
    connector.index(WINGS)
    schema = connector.schema()
    assert CONNECTORS[schema.connector]
    assert schema.documents == 4
    assert schema.fields == {
        "author.name": "string",
        "open": "boolean",
        "tags": "string",
        "year": "integer",
    }
    assert (schema.encoder, schema.dimension) == (("hashing", 32) if encoder else (None, None))
    assert schema.language == "english"


def test_closing_twice_is_harmless(connector: Connector) -> None:
    connector.close()
    connector.close()
