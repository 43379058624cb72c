from __future__ import annotations

import random

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.testing.hashing import HashingEncoder
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.mining import Margin, Mined, Rules, Sampling, mine
from retrieve_rerank.training.mining.near_identical import Shingles
from retrieve_rerank.training.mining.sampling import check_sampling, order_of_trial

QUERIES = {"q1": "how do wings lift", "q2": "price of a ticket"}
QRELS = {"q1": {"lift": 2, "bernoulli": 0}, "q2": {"fares": 1}}
DOCUMENTS = [
    Document("lift", "Wings lift: how do they do it? By pressing air down.", {"page": "wings"}),
    Document("copy", "Wings  lift: How do they do it? By pressing air down.", {"page": "copy"}),
    Document("bernoulli", "How do wings work", {"page": "wings"}),
    Document("flap", "Do birds lift wings", {"page": "birds"}),
    Document("fares", "The price of a ticket is 9 euros."),
    Document("times", "A ticket is valid for the time of a day"),
    Document(
        "drag",
        "What drag on tails and wings is, and how it grows",
        {"page": "wings"},
    ),
]


def mined(
    report: Mined | None = None, **options: object
) -> dict[str | None, list[tuple[str | None, float | None]]]:
    """Return each query's texts as (id, label)."""
    retriever = Retriever(MemoryConnector(DOCUMENTS))
    groups = mine(retriever, QUERIES, QRELS, report=report, sampling="top", **options)  # type: ignore[arg-type]  # the test's own
    return {group.query_id: [(each.id, each.label) for each in group.texts] for group in groups}


def test_a_group_has_the_judged_positives_and_hits_that_are_not() -> None:
    report = Mined()
    found = mined(report)
    assert found["q1"] == [("lift", 2), ("flap", 0), ("bernoulli", 0), ("drag", 0)]
    assert found["q2"] == [("fares", 1), ("times", 0)]
    assert (report.queries, report.positives, report.negatives) == (2, 2, 4)
    assert report.dropped == {"relevant": 2, "near-identical": 1}
    assert report.hits == report.negatives + sum(report.dropped.values())
    assert (report.not_returned, report.without_negative, report.without_positive) == (0, [], [])


def test_texts_are_laid_out_by_the_template_of_what_is_trained() -> None:
    retriever = Retriever(MemoryConnector(DOCUMENTS))
    other = OverlapScorer()
    other.template = Template("{id}")
    for scorer in (None, other):
        laid_out = mine(retriever, QUERIES, QRELS, scorer=scorer, template=Template("<{text}>"))
        assert all(each.text.startswith("<") for group in laid_out for each in group.texts)


def test_ranks_outside_those_asked_for_are_left_out() -> None:
    """The search ranks flap, lift, copy, bernoulli, drag, and fares, times."""
    report = Mined()
    found = mined(report, rules=Rules(first_rank=3, last_rank=4))
    assert found == {"q1": [("lift", 2), ("bernoulli", 0)]}
    assert report.without_negative == ["q2"]
    assert report.dropped["rank"] == 3  # flap and drag, and times


def test_what_shares_a_field_with_a_positive_is_left_out_where_asked_for() -> None:
    report = Mined()
    assert mined(report, rules=Rules(exclude_same=["page"]))["q1"] == [("lift", 2), ("flap", 0)]
    assert report.dropped["same"] == 2
    # q2's positive has no page, as most have none: that is nothing shared
    assert mined(rules=Rules(exclude_same=["page"]))["q2"] == [("fares", 1), ("times", 0)]


def test_margins_compare_with_the_lowest_positive() -> None:
    """By words in common with the query: 3, 3, 3, and 2 for the last; bernoulli was judged."""
    scorer = OverlapScorer()
    scores = dict(
        zip(
            [each.id for each in DOCUMENTS],
            scorer.score(QUERIES["q1"], [each.text for each in DOCUMENTS]),
            strict=True,
        )
    )
    assert (scores["lift"], scores["bernoulli"], scores["flap"], scores["drag"]) == (3, 3, 3, 2)
    report = Mined()
    found = mined(report, scorer=scorer, rules=Rules(margin=Margin(relative=0.95)))
    assert found["q1"] == [("lift", 2), ("bernoulli", 0), ("drag", 0)]
    assert report.dropped == {"relevant": 2, "near-identical": 1, "margin": 1}
    assert mined(scorer=scorer, rules=Rules(margin=Margin()))["q1"][1:] == [
        ("flap", 0),
        ("bernoulli", 0),
        ("drag", 0),
    ]
    assert mined(scorer=scorer, rules=Rules(min_score=3, max_score=3))["q1"][1:] == [
        ("flap", 0),
        ("bernoulli", 0),
    ]


@pytest.mark.parametrize(
    ("margin", "anchor", "ceiling"),
    [
        (Margin(relative=0.95), 0.8, 0.76),
        (Margin(absolute=0.05), 0.8, 0.75),
        (Margin(relative=0.95, absolute=2), -3.0, -5.0),  # a share of -3 would be above it
        (Margin(relative=0.95, absolute=2), 0.0, -2.0),
    ],
)
def test_a_margin_has_the_ceiling_that_it_says(
    margin: Margin, anchor: float, ceiling: float
) -> None:
    assert margin.ceiling(anchor) == pytest.approx(ceiling)


def test_margins_of_cosines_need_no_model_but_a_dense_ranking() -> None:
    connector = MemoryConnector(DOCUMENTS, encoder=HashingEncoder())
    report = Mined()
    rules = Rules(margin=Margin(relative=0.95))
    [first, *_] = mine(Retriever(connector), QUERIES, QRELS, rules=rules, report=report)
    assert report.dropped["margin"] > 0
    vectors = HashingEncoder().embed_documents(
        [DOCUMENTS[0].text, *(t.text for t in first.negatives if t.source == "mined")]
    )
    cosines = vectors @ HashingEncoder().embed_queries([first.query])[0]
    assert (cosines[1:] <= 0.95 * cosines[0] + 1e-6).all()
    with pytest.raises(InputError, match="neither: a share of a BM25"):
        mined(rules=rules)


def test_positives_that_the_search_does_not_return_are_fetched_and_counted() -> None:
    report = Mined()
    qrels = {"q1": {"fares": 1, "gone": 1, "lift": 1}}
    retriever = Retriever(MemoryConnector(DOCUMENTS), candidates=3)
    [group] = mine(retriever, QUERIES, qrels, report=report)
    assert {text.id for text in group.positives} == {"fares", "lift"}
    assert (report.positives, report.not_returned) == (2, 1)


def test_a_query_whose_positives_the_index_lacks_has_no_group() -> None:
    report = Mined()
    qrels = {"q1": {"gone": 1}, "q2": {"fares": 1}}
    groups = mine(Retriever(MemoryConnector(DOCUMENTS)), QUERIES, qrels, report=report)
    assert [group.query_id for group in groups] == ["q2"]
    assert report.without_positive == ["q1"]


def test_passages_of_a_positive_are_no_negatives() -> None:
    documents = [
        Document(f"lift#{n}", text, {"parent": "lift", "passage": n})
        for n, text in enumerate(["how wings lift where the air is thin", "wings lift"])
    ]
    connector = MemoryConnector([*documents, Document("flap", "birds lift wings")])
    report = Mined()
    [group] = mine(Retriever(connector), QUERIES, {"q1": {"lift": 1}}, report=report)
    assert [(text.id, text.label) for text in group.texts] == [("lift#1", 1), ("flap", 0)]
    assert report.dropped["relevant"] == 2


def test_a_positive_in_passages_that_the_search_does_not_return_is_counted_and_not_guessed() -> (
    None
):
    passages = [
        Document(f"tail#{n}", "nothing in common", {"parent": "tail", "passage": n})
        for n in range(2)
    ]
    connector = MemoryConnector([*DOCUMENTS, *passages])
    report = Mined()
    assert not list(mine(Retriever(connector), QUERIES, {"q1": {"tail": 1}}, report=report))
    assert (report.positives, report.not_returned) == (1, 1)
    assert report.without_positive == ["q1"]


def test_a_field_that_is_missing_is_not_shared_with_one_that_reads_none() -> None:
    documents = [Document("a", "wings lift", {"page": "None"}), Document("b", "wings do lift air")]
    rules = Rules(exclude_same=["page"])
    [group] = mine(Retriever(MemoryConnector(documents)), QUERIES, {"q1": {"a": 1}}, rules=rules)
    assert [text.id for text in group.negatives] == ["b"]


def test_documents_that_have_a_title_alone_are_told_apart_by_it() -> None:
    titles = {"a": "Wings lift", "copy": "Wings lift ", "b": "Birds lift their wings"}
    documents = [Document(id_, "", {"title": title}) for id_, title in titles.items()]
    report = Mined()
    retriever = Retriever(MemoryConnector(documents))
    [group] = mine(retriever, QUERIES, {"q1": {"a": 1}}, report=report)
    assert [text.id for text in group.negatives] == ["b"]
    assert report.dropped == {"relevant": 1, "near-identical": 1}


def test_the_document_that_the_query_was_taken_from_is_left_out_where_asked_for() -> None:
    queries, qrels = {"flap": "do birds lift wings"}, {"flap": {"lift": 1}}
    retriever = Retriever(MemoryConnector(DOCUMENTS))

    def ids(*, exclude_self: bool) -> set[str | None]:
        [group] = mine(retriever, queries, qrels, exclude_self=exclude_self)
        return {text.id for text in group.texts}

    assert ids(exclude_self=False) - ids(exclude_self=True) == {"flap"}


@pytest.mark.parametrize("how", ["random", "top", "stratified"])
def test_all_hits_are_tried_in_an_order_that_the_seed_and_the_query_give(how: Sampling) -> None:
    def order(seed: int, query: str) -> list[int]:
        return list(order_of_trial(100, 7, how=how, seed=seed, query=query))

    assert sorted(order(1, "q")) == list(range(100))
    assert order(1, "q") == order(1, "q")
    assert (order(1, "q") != order(2, "q")) == (how != "top")
    assert (order(1, "q") != order(1, "r")) == (how != "top")


def test_stratified_sampling_takes_one_of_each_part_and_goes_round_again() -> None:
    for seed in range(20):
        order = list(order_of_trial(10, 4, how="stratified", seed=seed, query="q"))
        parts = [range(0, 2), range(2, 5), range(5, 7), range(7, 10)]
        for tried in (order[:4], order[4:8]):
            assert [next(i for i, p in enumerate(parts) if x in p) for x in tried] == [0, 1, 2, 3]
        assert sorted(order[8:]) == sorted(set(range(10)) - set(order[:8]))


def test_copies_are_told_by_their_shingles() -> None:
    text = "The quick brown fox jumps over the lazy dog, and runs away from it at once."
    assert Shingles(text).near(Shingles(text.upper().replace(" ", "  \n")))
    assert Shingles(text).near(Shingles(text + "!"))
    assert not Shingles(text).near(Shingles(text[: len(text) // 2]))
    assert not Shingles("退款需要几天到账？").near(Shingles("退货需要几天完成？"))
    assert Shingles("abcdefghijklmn").near(Shingles("abcdefghijklm"))  # nine of ten
    assert not Shingles("abcdefghijklmn").near(Shingles("abcdefghijkl"))
    assert Shingles("").near(Shingles(" "))


def test_near_copies_are_those_that_share_nine_tenths_of_their_shingles() -> None:
    def shingles(text: str) -> set[str]:
        return {text[n : n + 5] for n in range(max(1, len(text) - 4))}

    draw = random.Random(0)
    text = "".join(draw.choices("abcdefgh 退款几天", k=400))
    text = " ".join(text.split())
    told = set()
    for _ in range(200):
        other = text[: draw.randint(1, 400)] + "z" * draw.randint(0, 60)
        ours, theirs = shingles(text), shingles(" ".join(other.split()))
        expected = len(ours & theirs) >= 0.9 * len(ours | theirs)
        assert Shingles(text).near(Shingles(other)) == expected
        told.add(expected)
    assert told == {True, False}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Rules(first_rank=0), "ranks count from 1"),
        (lambda: Rules(first_rank=5, last_rank=4), "must not come before"),
        (lambda: Rules(min_score=1, max_score=0), "must not be above"),
        (lambda: Margin(relative=95), "above 0 and at most 1; got 95"),
        (lambda: Margin(absolute=-1), "0 or more; got -1"),
        (lambda: mined(negatives=0), "at least one negative"),
        (lambda: check_sampling("rnd"), "unknown sampling 'rnd'"),
        (
            lambda: mine(Retriever(MemoryConnector(DOCUMENTS)), QUERIES, QRELS, sampling="rnd"),  # type: ignore[arg-type]  # wrong on purpose
            "unknown sampling 'rnd'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        wrong()  # type: ignore[operator]  # a callable


def test_groups_are_what_training_data_are() -> None:
    [group, *_] = mine(Retriever(MemoryConnector(DOCUMENTS)), QUERIES, QRELS)
    assert isinstance(group, Group)
    assert group.tells_apart
    assert group.texts[0].source == "qrels"
    assert group.negatives[0].source == "mined"
    assert group.negatives[0].rank is not None
