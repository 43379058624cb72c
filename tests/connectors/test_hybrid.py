from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieve_rerank import Document, Hit, Placement, rank, rrf, weighted
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.testing import HashingEncoder


def ranking(*ids: str) -> Sequence[Hit]:
    return rank((Document(id_, ""), float(-place)) for place, id_ in enumerate(ids))


RANKINGS = {"dense": ranking("a", "b", "c"), "bm25": ranking("c", "d")}


def test_fusion_is_that_of_the_library() -> None:
    weights = {"dense": 2.0}
    assert Fusion().fuse(RANKINGS, top_k=9, depth=2) == weighted(RANKINGS)
    assert Fusion().fuse(RANKINGS, top_k=9, depth=3) == weighted(RANKINGS, exhausted=["bm25"])
    assert Fusion("rrf", weights).fuse(RANKINGS, top_k=2, depth=3) == rrf(
        RANKINGS, weights=weights, top_k=2
    )
    assert Fusion("weighted", weights).fuse(RANKINGS, top_k=9, depth=2) == weighted(
        RANKINGS, weights=weights
    )


def test_a_lone_ranking_keeps_its_scores() -> None:
    hits = Fusion().fuse({"bm25": ranking("c", "d")}, top_k=1, depth=2)
    assert [(hit.document.id, hit.score, hit.rank, dict(hit.sources)) for hit in hits] == [
        ("c", 0.0, 1, {"bm25": Placement(1, 0.0)})
    ]


def test_weight_zero_leaves_a_ranking_out() -> None:
    fusion = Fusion(weights={"dense": 0.0})
    assert not fusion.uses("dense")
    assert fusion.uses("bm25")


def test_memory_scores_cosines_exactly() -> None:
    encoder = HashingEncoder()
    documents = [Document("a", "wing lift"), Document("b", "heat"), Document("c", "lift")]
    hits = MemoryConnector(documents, encoder=encoder).search("lift of a wing", top_k=3)
    rows = encoder.embed_documents([document.text for document in documents])
    cosines = dict(zip("abc", rows @ encoder.embed_queries(["lift of a wing"])[0], strict=True))
    scores = {hit.document.id: hit.sources["dense"].score for hit in hits}
    assert scores == pytest.approx({id_: float(cosine) for id_, cosine in cosines.items()})


def test_memory_scores_bm25_by_hand() -> None:
    documents = [Document("a", "wing wing lift"), Document("b", "wing")]
    [first, second] = MemoryConnector(documents).search("wing", top_k=2)
    # Both of 2 documents hold it: ln(1 + (2 - 2 + .5) / (2 + .5)) = .1823. k1 .9, b .75, lengths
    # 3 and 1 against an average of 2: 2 * 1.9 / (2 + .9 * 1.375), 1.9 / (1 + .9 * .625).
    assert (first.document.id, second.document.id) == ("b", "a")
    assert first.score == pytest.approx(0.18232 * 1.9 / 1.5625, abs=1e-4)
    assert second.score == pytest.approx(0.18232 * 3.8 / 3.2375, abs=1e-4)


def test_memory_opens_empty_by_url() -> None:
    assert MemoryConnector.connect("memory://").count() == 0
