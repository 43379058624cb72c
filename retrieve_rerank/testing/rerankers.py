"""What holds of every reranker, as classes of tests that authors of others run on theirs.

    class TestMine(ScorerConformance):
        def reranker(self) -> Scorer:
            return Mine()

They need nothing but a runner that calls what is named `test_…`, as pytest does.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from retrieve_rerank.base import Reranker, RerankResult, Scorer
from retrieve_rerank.errors import InputError, ScoreError
from retrieve_rerank.testing.closeness import close
from retrieve_rerank.types import Document, Hit, rank

_SAID_THRICE = "Wings lift because the air below them is pressed down."
_TEXTS = (
    _SAID_THRICE,
    "",
    "Drag grows with the square of the speed.",
    _SAID_THRICE,
    "lift",
    " \n",
    "Tickets cost 9 euros; 中文, Ünïcödé and 𝒎𝒂𝒕𝒉 are text too.",
    _SAID_THRICE,
)


class RerankerConformance:
    """Say which `reranker` to test, and override what else does not suit it."""

    query = "why do wings lift?"

    def reranker(self) -> Reranker:
        """Return the reranker to test; it may be the same one each time."""
        raise NotImplementedError(f"{type(self).__name__}.reranker must return what to test")

    def without_numbers(self) -> Reranker | None:
        """Return one whose model gives NaN, None where no model gives it anything."""
        return None

    def documents(self) -> Sequence[Document]:
        """Return what to rerank, best first: some the same but for their ids, some without text."""
        return [
            Document(
                f"d{n}", text, {"date": f"2024-05-{len(text) % 28 + 1:02}", "clicks": len(text)}
            )
            for n, text in enumerate(_TEXTS)
        ]

    def test_ranks_run_from_one(self) -> None:
        """Ranks are 1, 2, … in the order of the hits."""
        found = self._rerank(self._hits())
        assert [hit.rank for hit in found] == list(range(1, len(found) + 1))

    def test_scores_do_not_rise(self) -> None:
        """No hit has a higher score than the one above it."""
        scores = [hit.score for hit in self._rerank(self._hits())]
        assert scores == sorted(scores, reverse=True)

    def test_every_hit_is_one_that_came_in(self) -> None:
        """Each document comes out once at most, with the hit that it was as `previous`."""
        hits = self._hits()
        found = self._rerank(hits)
        came_in = {hit.document.id: hit for hit in hits}
        assert len({hit.document.id for hit in found}) == len(found)
        for hit in found:
            assert hit.document == came_in[hit.document.id].document
            assert hit.previous == came_in[hit.document.id]

    def test_ties_keep_the_incoming_order(self) -> None:
        """Hits with equal scores stand as they came."""
        found = list(self._rerank(self._hits()))
        for above, below in pairwise(found):
            if above.score == below.score:
                assert _came(above) < _came(below), f"{above.score} is the score of both"

    def test_equal_documents_keep_the_incoming_order(self) -> None:
        """Documents that differ in their ids alone stand as they came."""
        same = [each for each in self.documents() if _content(each) == self._repeated()]
        found = [_came(hit) for hit in self._rerank(rank((each, 1.0) for each in same))]
        assert found == sorted(found)

    def test_empty_texts_are_reranked(self) -> None:
        """Documents without text keep their ids, alone and among others."""
        empty = [each for each in self.documents() if not each.text.strip()]
        assert empty, "documents() has none without text"
        found = self._rerank(rank((each, 1.0) for each in empty))
        assert {hit.document.id for hit in found} <= {each.id for each in empty}

    def test_half_a_surrogate_pair_is_read(self) -> None:
        """JSON can hold one, and whatever UTF-8 is written to refuses it."""
        documents = [replace(each, text=f"\ud83d {each.text}") for each in self.documents()]
        hits = rank((each, -float(place)) for place, each in enumerate(documents))
        assert self.reranker().rerank(f"{self.query} \ud83d", hits).hits

    def test_one_document_stays(self) -> None:
        """A single hit comes out as rank 1."""
        [hit] = self._rerank(self._hits()[:1])
        assert (hit.document.id, hit.rank) == (self.documents()[0].id, 1)

    def test_no_document_gives_none(self) -> None:
        """An empty list is reranked to one."""
        assert len(self._rerank([])) == 0

    def test_top_k_cuts_what_would_come_without_it(self) -> None:
        """`top_k` returns the first of all hits; 0 is an error."""
        whole = _order(self._rerank(self._hits()))
        reranker = self.reranker()
        assert _order(reranker.rerank(self.query, self._hits(), top_k=2)) == whole[:2]
        try:
            reranker.rerank(self.query, self._hits(), top_k=0)
        except InputError:
            return
        raise AssertionError("top_k=0 raised no InputError")

    def test_nan_is_an_error(self) -> None:
        """A model's NaN raises ScoreError; that of an incoming score never comes out."""
        broken = self.without_numbers()
        if broken is not None:
            _expect_score_error(broken, self.query, self._hits())
        hits = self._hits()
        hits[1] = replace(hits[1], score=math.nan)
        try:
            found = self._rerank(hits)
        except ScoreError:
            return
        assert not any(math.isnan(hit.score) for hit in found)

    def test_async_gives_what_sync_does(self) -> None:
        """`arerank` answers as `rerank`, and so does a second call."""
        reranker = self.reranker()
        here = [reranker.rerank(self.query, self._hits()) for _ in range(2)]
        there = asyncio.run(reranker.arerank(self.query, self._hits()))
        for other in (here[1], there):
            assert _order(other) == _order(here[0])
            assert close([hit.score for hit in other], [hit.score for hit in here[0]])
            assert (other.truncated, other.notes) == (here[0].truncated, here[0].notes)
            assert other.query_truncated == here[0].query_truncated

    def test_what_it_is_given_stays_as_it_is(self) -> None:
        """Neither the list nor its hits and documents change; a tuple serves as well."""
        hits = self._hits()
        before = copy.deepcopy(hits)
        listed = self._rerank(hits)
        assert hits == before
        assert _order(self._rerank(tuple(hits))) == _order(listed)

    def _hits(self) -> list[Hit]:
        return rank((document, -float(n)) for n, document in enumerate(self.documents()))

    def _rerank(self, hits: Sequence[Hit]) -> RerankResult:
        return self.reranker().rerank(self.query, hits)

    def _repeated(self) -> tuple[str, str]:
        contents = [_content(each) for each in self.documents()]
        return next(each for each in contents if contents.count(each) > 1)


class ScorerConformance(RerankerConformance):
    """What holds of pointwise rerankers besides."""

    def reranker(self) -> Scorer:
        """Return the scorer to test; it may be the same one each time."""
        raise NotImplementedError(f"{type(self).__name__}.reranker must return what to test")

    def test_every_document_is_scored(self) -> None:
        """All hits come out, those without text too."""
        assert sorted(_order(self._rerank(self._hits()))) == sorted(
            each.id for each in self.documents()
        )

    def test_a_score_depends_on_query_and_text_alone(self) -> None:
        """Neither the other texts nor how many are scored at once change a score."""
        scorer, texts = self.reranker(), self._texts()
        together = scorer.score(self.query, texts)
        assert len(together) == len(texts)
        assert close(scorer.score(self.query, texts[::-1]), together[::-1])
        assert close([scorer.score(self.query, [text])[0] for text in texts], together)

    def test_equal_texts_have_equal_scores(self) -> None:
        """Exactly, or ties would not be any."""
        texts = self._texts()
        scores = self.reranker().score(self.query, texts)
        by_text: dict[str, set[float]] = {}
        for text, score in zip(texts, scores, strict=True):
            by_text.setdefault(text, set()).add(score)
        assert [text for text, found in by_text.items() if len(found) > 1] == []

    def test_pairs_are_scored_as_texts_are(self) -> None:
        """`score_pairs` takes several queries at once; no text and no pair have no score."""
        scorer, texts = self.reranker(), self._texts()
        queries = (self.query, "what is the fare?")
        pairs = [(query, text) for text in texts for query in queries]
        expected = {query: scorer.score(query, texts) for query in queries}
        flat = [expected[query][n] for n in range(len(texts)) for query in queries]
        assert close(scorer.score_pairs(pairs), flat)
        assert (scorer.score(self.query, []), scorer.score_pairs([])) == ([], [])

    def test_what_it_tells_is_of_the_same_scores(self) -> None:
        """`score_texts` scores as `score`, and tells of all texts or of none what was cut."""
        scorer, texts = self.reranker(), self._texts()
        told = scorer.score_texts(self.query, texts)
        assert close(told.scores, scorer.score(self.query, texts))
        assert len(told.truncated) in (0, len(texts))

    def _texts(self) -> list[str]:
        return [self.reranker().template.render(each) for each in self.documents()]


def _order(found: RerankResult) -> list[str]:
    return [hit.document.id for hit in found]


def _came(hit: Hit) -> int:
    assert hit.previous is not None, f"{hit.document.id} has no previous hit"
    return hit.previous.rank


def _content(document: Document) -> tuple[str, str]:
    return document.text, repr(document.metadata)


def _expect_score_error(reranker: Reranker, query: str, hits: Sequence[Hit]) -> None:
    try:
        reranker.rerank(query, hits)
    except ScoreError:
        return
    raise AssertionError(f"{reranker.name} raised no ScoreError on a NaN")
