"""A cross-encoder's veto: its threshold, what becomes of vetoed texts; and curricula."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieve_rerank import Document, Retriever, Scorer
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError, ScoreError
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining import (
    Margin,
    Mined,
    Rules,
    Veto,
    cross_fit,
    fit_veto,
    for_epoch,
    halves,
    mine,
)
from retrieve_rerank.training.mining.veto import Vetoed

QUERIES = {f"q{n}": f"topic{n} how and why" for n in range(40)}
QRELS = {f"q{n}": {f"good{n}": 2} for n in range(40)}


class Knowing(Scorer):
    """Knows relevant texts by their first word and a number; counts what it is asked."""

    name = "knowing"

    def __init__(self, off: float = 0.0) -> None:
        self.off = off
        self.asked: list[tuple[str, str]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked += [(query, text) for text in texts]
        return [float(text.split()[0]) + self.off for text in texts]


@pytest.fixture
def retriever() -> Retriever:
    """Of each query a positive of 4 to 7.9, an unjudged one of 9, and eight of 0 to 0.7."""
    documents = []
    for n in range(40):
        about = f"topic{n} how and why"
        documents.append(Document(f"good{n}", f"{4 + n / 10} {about}"))
        documents.append(Document(f"missed{n}", f"9 {about} of it"))
        documents += [Document(f"bad{n}-{i}", f"0.{i} {about} text {i}") for i in range(8)]
    return Retriever(MemoryConnector(documents), candidates=10)


def test_the_threshold_is_what_a_share_of_the_positives_score_less_than(
    retriever: Retriever,
) -> None:
    veto = fit_veto(Knowing(), retriever, QUERIES, QRELS, share=0.25)
    assert veto.threshold == pytest.approx(4.975)  # of 4.0, 4.1 … 7.9
    assert (veto.positives, veto.share) == (40, 0.25)
    assert veto.deep_above == 0.0
    few = dict(list(QRELS.items())[:5])
    with pytest.raises(InputError, match=r"20 relevant and as many other.* have 5 and 25"):
        fit_veto(Knowing(), retriever, QUERIES, few)


@pytest.mark.parametrize("then", ["leave-out", "soft", "promote"])
def test_a_vetoed_text_is_left_out_kept_or_promoted(retriever: Retriever, then: Vetoed) -> None:
    scorer = Knowing()
    veto = fit_veto(scorer, retriever, QUERIES, QRELS, then=then)
    report = Mined()
    groups = list(mine(retriever, QUERIES, QRELS, veto=veto, sampling="top", report=report))
    labels = {text.id: text.label for group in groups for text in group.texts}
    missed = [labels[f"missed{n}"] for n in range(40) if f"missed{n}" in labels]
    assert all(label == 0 for id_, label in labels.items() if id_ and id_.startswith("bad"))
    assert report.dropped["veto"] >= 35
    if then == "leave-out":
        assert (missed, report.kept_vetoed) == ([], 0)
    else:
        assert len(missed) == report.kept_vetoed == report.dropped["veto"]
        assert all(label is not None and 1 < label <= 2 for label in missed)
        assert then == "soft" or set(missed) == {2}
    assert {text.teacher_score for text in groups[0].texts} >= {4.0, 0.0}
    assert Veto.fitted_before(veto.to_dict(), scorer, share=0.25, then=then) == veto
    assert Veto.fitted_before(veto.to_dict(), scorer, share=0.5, then=then) is None


@pytest.mark.parametrize("then", ["leave-out", "soft", "promote"])
def test_neither_veto_nor_margin_overrides_who_judged_a_text_not_relevant(
    retriever: Retriever, then: Vetoed
) -> None:
    scorer = Knowing()
    veto = fit_veto(scorer, retriever, QUERIES, QRELS, then=then)
    qrels = {"q1": {"good1": 2, "missed1": -1}, "q2": {"good2": 2}}
    rules = Rules(margin=Margin(relative=0.95))
    groups = list(mine(retriever, QUERIES, qrels, veto=veto, scorer=scorer, rules=rules))
    texts = {text.id: text for group in groups for text in group.texts}
    assert (texts["missed1"].label, texts["missed1"].source) == (0, "qrels")
    assert texts["missed1"].teacher_score == 9
    assert "missed2" not in texts
    assert all(t.source == "mined" for id_, t in texts.items() if id_ and id_.startswith("bad"))


def test_no_more_is_scored_than_the_group_needs(retriever: Retriever) -> None:
    scorer = Knowing()
    list(mine(retriever, {"q1": QUERIES["q1"]}, {"q1": QRELS["q1"]}, negatives=2,
              veto=Veto(scorer, threshold=3.0)))  # fmt: skip
    assert len(scorer.asked) <= 4  # the positive, two negatives, perhaps one in vain
    with pytest.raises(ScoreError, match="NaN"):
        list(mine(retriever, QUERIES, QRELS, veto=Veto(Knowing(float("nan")), threshold=3.0)))


def test_a_cross_fitted_veto_judges_what_its_scorer_was_not_trained_on(
    retriever: Retriever,
) -> None:
    first, second = Knowing(), Knowing(off=100.0)
    queries = {f"p{n}{id_}": text for n in range(2) for id_, text in QUERIES.items()}
    qrels = {f"p{n}{id_}": QRELS[id_] for n in range(2) for id_ in QUERIES}
    half = halves(queries)
    assert all(half[f"p0{id_}"] == half[f"p1{id_}"] for id_ in QUERIES)  # equal texts
    veto = cross_fit((first, second), retriever, queries, qrels)
    assert [each.scorer for each in veto.vetoes] == [second, first]
    assert veto.vetoes[0].threshold > 100 > veto.vetoes[1].threshold
    first.asked.clear()
    list(mine(retriever, queries, qrels, veto=veto))
    assert {query for query, _ in first.asked} == {
        queries[id_] for id_, which in half.items() if which == 1
    }


def test_curricula_get_harder_or_wider() -> None:
    texts = (GroupText("right", 1.0), *(GroupText(f"r{n}", 0, rank=n) for n in range(1, 10)))
    group = Group("q", texts)

    def ranks(epoch: int, how: str, of: Group = group) -> list[int | None]:
        [one] = for_epoch([of], epoch=epoch, epochs=3, negatives=4, how=how)  # type: ignore[arg-type]  # a text
        assert one.positives == [texts[0]]
        return [text.rank for text in one.negatives]

    assert [ranks(n, "harder") for n in range(3)] == [[6, 7, 8, 9], [4, 5, 6, 7], [1, 2, 3, 4]]
    assert [ranks(n, "wider") for n in range(3)] == [[1], [1, 2, 3], [1, 2, 3, 4]]
    few = Group("q", texts[:3])
    assert ranks(0, "harder", few) == ranks(2, "harder", few) == [1, 2]
    for wrong in ({"epoch": 3}, {"negatives": 0}, {"how": "easier"}):
        with pytest.raises(InputError):
            list(for_epoch([group], **{"epoch": 0, "epochs": 3, "negatives": 4, **wrong}))  # type: ignore[arg-type]  # wrong on purpose
