"""Maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from retrieve_rerank import Document, Hit, rank, rescore
from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import InputError
from retrieve_rerank.rerankers.diversify import Diversify
from retrieve_rerank.types import append_unscored

VECTORS = {"a": [1.0, 0.0], "a2": [2.0, 0.0], "b": [0.6, 0.8], "c": [-1.0, 0.0], "zero": [0.0, 0.0]}


class Table:
    name = fingerprint = "table"
    dimension = 2

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError("only documents are compared")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def hits(**scores: float) -> list[Hit]:
    return rank((Document(text, text), score) for text, score in scores.items())


def order(found: Iterable[Hit]) -> list[tuple[str, float]]:
    return [(hit.document.id, round(hit.score, 6)) for hit in found]


def test_order_and_scores_are_those_computed_by_hand() -> None:
    # Relevance scaled: a 1, a2 .8, b .4, c 0. After a: a2 .4 - .5, b .2 - .3, c 0 - 0;
    # after c: a2 and b as before, a2 first by nothing but its place.
    found = Diversify(Table(), relevance_share=0.5).rerank("q", hits(a=10, a2=8, b=4, c=0))
    assert order(found) == [("a", 0.5), ("c", 0.0), ("a2", -0.1), ("b", -0.1)]


def test_a_share_of_one_keeps_the_order() -> None:
    found = Diversify(Table(), relevance_share=1.0).rerank("q", hits(a=10, a2=8, b=4, c=0))
    assert [hit.document.id for hit in found] == ["a", "a2", "b", "c"]


def test_hits_that_the_stage_before_did_not_score_are_worth_least() -> None:
    """Their scores are on another scale, and here higher."""
    scored = rescore(hits(a=0.9, a2=0.8), [-2.0, -3.0])
    given = append_unscored(scored, rank([(Document("b", "b"), 0.7), (Document("c", "c"), 0.6)]))
    found = Diversify(Table(), relevance_share=1.0).rerank("q", given)
    assert [hit.document.id for hit in found] == ["a", "a2", "b", "c"]


def test_near_copies_are_moved_down() -> None:
    found = Diversify(Table(), relevance_share=0.5).rerank(
        "q", hits(a=1.0, a2=0.99, b=0.7, zero=0.0)
    )
    assert [hit.document.id for hit in found][:2] == ["a", "b"]


def test_scores_never_rise() -> None:
    generator = np.random.default_rng(1)
    table = Table()
    for number in range(30):
        VECTORS[f"r{number}"] = generator.normal(size=2).tolist()
    found = Diversify(table, relevance_share=0.3).rerank(
        "q", hits(**{f"r{number}": float(generator.normal()) for number in range(30)})
    )
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)


def test_an_impossible_share_is_an_error() -> None:
    with pytest.raises(InputError, match="between 0 and 1; got 2"):
        Diversify(Table(), relevance_share=2)


def test_a_template_that_no_document_fills_is_noted() -> None:
    [note] = Diversify(Table(), template="zero{nope}").rerank("q", hits(a=2.0, b=1.0)).notes
    assert note.startswith("no document has any field of the template 'zero{nope}'")
    assert Diversify(Table()).rerank("q", hits(a=2.0, b=1.0)).notes == ()
