"""Splits: by hash, stable, duplicates together, and those that the data bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.training import Group, GroupText, split_groups, split_queries

QUERIES = {f"q{n}": f"question number {n}" for n in range(2000)}


def test_shares_are_kept_and_a_test_query_stays_one_when_data_are_added() -> None:
    all_of_them = split_queries(QUERIES, {})
    counts = Counter(all_of_them.of.values())

    assert counts["test"] == pytest.approx(200, abs=45)  # three standard deviations
    assert counts["train"] == pytest.approx(1400, abs=65)
    assert list(all_of_them.of) == list(QUERIES)
    half = {query: text for query, text in QUERIES.items() if int(query[1:]) % 2}
    assert split_queries(half, {}).of.items() <= all_of_them.of.items()
    more_dev = split_queries(
        QUERIES, {}, shares={"test": 1, "calibration": 1, "dev": 3, "train": 5}
    )
    assert more_dev.queries("test") == all_of_them.queries("test")


def test_duplicates_share_a_split_the_most_held_out_of_theirs() -> None:
    alone = split_queries(QUERIES, {}).of
    test = next(query for query, split in alone.items() if split == "test")
    train = next(query for query, split in alone.items() if split == "train")
    spelt = {**QUERIES, "spelt": f"  {QUERIES[train].upper()}?", "one more": QUERIES[test] + "!"}
    splits = split_queries(spelt, {}).of

    assert splits["spelt"] == splits[train] == "train"
    assert splits["one more"] == splits[test] == "test"
    # Similar and with a relevant document in common; the same words about another one are not.
    long = {
        "a": "which river flows through the city of Lyon in France",
        "b": "which rivers flow through the city of Lyon in France",
        "c": "which river flows through the city of Lyon in France, today",
        "d": "what is the population of Lyon",
    }
    shared = {query: ["lyon"] for query in long}
    together = split_queries(long, shared, given={"a": "test"})
    assert together.of["a"] == "test"
    assert together.left_out == {"b": "test", "c": "test"}
    apart = split_queries(long, {query: [query] for query in long}, given={"a": "test"})
    assert apart.left_out == {}
    assert set(apart.of) == set(long)


def test_splits_that_the_data_bring_are_respected_and_completed_from_train() -> None:
    given = {query: "test" if int(query[1:]) < 100 else "train" for query in QUERIES}
    splits = split_queries(QUERIES, {}, given=given)

    assert splits.queries("test") == [f"q{n}" for n in range(100)]
    counts = Counter(splits.of.values())
    # A ninth each of the 1,900 others.
    assert counts["dev"] == pytest.approx(211, abs=45)
    assert counts["calibration"] == pytest.approx(211, abs=45)
    whole = split_queries({"a": "x", "b": "y", "c": "z"}, {}, given={"a": "val", "b": "test"})
    assert (whole.of["a"], whole.of["b"]) == ("dev", "test")
    # What duplicates a query of a given split is left out, were it given as train or not.
    again = split_queries(
        {"a": "one", "b": "One?", "c": "one!", "d": "two"}, {}, given={"a": "test", "b": "train"}
    )
    assert again.left_out == {"b": "test", "c": "test"}
    assert (again.of["a"], set(again.of)) == ("test", {"a", "d"})


def test_what_is_drawn_is_as_far_from_train_as_what_the_data_hold_out() -> None:
    # Five questions about each of 400 documents, none a rewording of another.
    texts = {query: sha256(query.encode()).hexdigest() for query in QUERIES}
    about = {query: [f"d{int(query[1:]) // 5}"] for query in QUERIES}

    def shared_with_train(given: Mapping[str, str]) -> dict[str, float]:
        splits = split_queries(texts, about, given=given)
        learnt = {document for query in splits.queries("train") for document in about[query]}
        return {
            split: sum(about[query][0] in learnt for query in splits.queries(split))
            / len(splits.queries(split))
            for split in ("test", "dev", "calibration")
        }

    other_documents = {query: "test" if int(query[1:]) < 200 else "train" for query in QUERIES}
    same_documents = {query: "test" if int(query[1:]) % 10 == 0 else "train" for query in QUERIES}
    assert shared_with_train(other_documents) == {"test": 0, "dev": 0, "calibration": 0}
    assert min(shared_with_train(same_documents).values()) > 0.9
    # Drawn by document the shares are kept, and all queries of a document stay together.
    splits = split_queries(texts, about, given=other_documents)
    assert Counter(splits.of.values())["dev"] == pytest.approx(200, abs=100)
    # A document that a tenth of the queries ask for is learnt, not held out.
    popular = {query: ["d"] if int(query[1:]) >= 1500 else ids for query, ids in about.items()}
    splits = split_queries(texts, popular, given=other_documents)
    assert {splits.of[f"q{n}"] for n in range(1500, 2000)} == {"train"}


def test_few_documents_leave_no_split_without_a_query() -> None:
    about = {query: [f"d{int(query[1:]) // 4}"] for query in [*QUERIES][:60]}
    given = {query: "test" if int(query[1:]) < 12 else "train" for query in about}
    for salt in range(20):
        texts = {query: sha256(f"{salt} {query}".encode()).hexdigest() for query in about}
        splits = split_queries(texts, about, given=given)
        of = {
            document: {splits.of[q] for q in about if about[q] == [document]}
            for document in (ids[0] for ids in about.values())
        }
        assert all(len(its) == 1 for its in of.values())
        assert set(splits.of.values()) == {"train", "dev", "calibration", "test"}


def test_groups_are_split_by_their_queries_and_the_texts_that_are_positive() -> None:
    def group(query: str, text: str) -> Group:
        return Group(query, (GroupText(text, 1.0), GroupText("same for all", 0.0)))

    one = "where is the tower of Pisa to be found nowadays"
    groups = [group(one, "In Pisa."), group(f"{one} exactly", "in pisa"), group("other", "No.")]
    splits = split_groups(groups, given={one: "dev"})

    assert splits.left_out == {f"{one} exactly": "dev"}
    assert splits.of["other"] in ("test", "calibration", "train")


def test_what_is_no_split_is_refused() -> None:
    with pytest.raises(InputError, match="unknown split 'held-out'; expected test, calibration"):
        split_queries({"a": "x"}, {}, given={"a": "held-out"})
    for shares in ({"test": 1.0}, {"train": 0.0}, {"train": 1, "dev": -1}, {"train": float("nan")}):
        with pytest.raises(ConfigError, match="expected shares of 0 or more"):
            split_queries({"a": "x"}, {}, shares=shares)


@pytest.mark.shared_data
def test_templates_of_a_real_collection_are_not_duplicates(shared_data: Path) -> None:
    queries, qrels = read_folder(shared_data / "policyqa", split="train")
    relevant = {
        query: [id_ for id_, grade in grades.items() if grade > 0]
        for query, grades in qrels.items()
    }
    splits = split_queries({query: queries[query] for query in qrels}, relevant)
    counts = Counter(splits.of.values())

    assert splits.left_out == {}
    assert counts["train"] > 0.6 * len(qrels)
