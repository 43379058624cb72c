from __future__ import annotations

from collections.abc import Callable

import pytest

from retrieve_rerank import Document, Hit, rank, rescore, rrf, weighted
from retrieve_rerank.errors import InputError
from retrieve_rerank.fusion import descending, interpolate, standardise
from retrieve_rerank.types import append_unscored


def ranking(**scores: float) -> list[Hit]:
    return rank((Document(id_, id_), score) for id_, score in scores.items())


def ids(hits: list[Hit]) -> str:
    return "".join(hit.document.id for hit in hits)


def test_rrf_sums_reciprocal_ranks_with_k_60() -> None:
    fused = rrf({"dense": ranking(a=0.9, b=0.8), "bm25": ranking(b=12.0, c=3.0)})
    assert ids(fused) == "bac"
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert fused[1].score == pytest.approx(1 / 61)
    assert fused[2].score == pytest.approx(1 / 62)


def test_fused_hits_keep_the_ranks_and_scores_they_came_with() -> None:
    [best, *_] = rrf({"dense": ranking(a=0.9, b=0.8), "bm25": ranking(b=12.0)})
    assert best.sources == {"dense": (2, 0.8), "bm25": (1, 12.0)}
    assert best.previous is None


def test_rrf_weights_multiply_a_rankings_share() -> None:
    rankings = {"dense": ranking(a=0.9), "bm25": ranking(b=12.0)}
    fused = rrf(rankings, weights={"bm25": 3.0})
    assert ids(fused) == "ba"
    assert fused[0].score == pytest.approx(3 / 61)


def test_rrf_ties_keep_the_order_of_first_mention() -> None:
    assert ids(rrf({"dense": ranking(a=0.9), "bm25": ranking(b=12.0)})) == "ab"
    assert ids(rrf({"bm25": ranking(b=12.0), "dense": ranking(a=0.9)})) == "ba"


def test_weighted_fusion_adds_standardised_scores() -> None:
    # Two scores standardise to +1 and -1, whatever their scale.
    fused = weighted(
        {"dense": ranking(a=0.9, b=0.8), "bm25": ranking(b=12.0, a=2.0)}, weights={"bm25": 0.5}
    )
    assert ids(fused) == "ab"
    assert [hit.score for hit in fused] == pytest.approx([0.5, -0.5])


def test_weighted_fusion_counts_an_absent_document_as_the_last() -> None:
    fused = weighted({"dense": ranking(a=0.9, b=0.8), "bm25": ranking(c=9.0, a=1.0)})
    assert {hit.document.id: hit.score for hit in fused} == pytest.approx(
        {"a": 1 - 1, "b": -1 - 1, "c": -1 + 1}
    )


def many(count: int) -> list[Hit]:
    """A dense ranking in which one hit stands out."""
    return rank((Document(f"d{n}", ""), 0.9 if n == 0 else 0.5 - n / 1000) for n in range(count))


def test_the_only_hit_of_an_exhausted_ranking_is_far_from_the_last() -> None:
    fused = weighted({"dense": many(100), "bm25": ranking(code=7.0)}, exhausted=["bm25"])
    assert "code" in [hit.document.id for hit in fused[:10]]
    assert fused[0].document.id == "d0", "which stands out as much among its own"
    lost = weighted({"dense": many(100), "bm25": ranking(code=7.0)})
    assert lost[-1].document.id == "code"


def test_equal_hits_of_an_exhausted_ranking_are_not_lost() -> None:
    rankings = {"dense": many(100), "bm25": ranking(a=5.0, b=5.0, c=3.0)}
    places = {hit.document.id: hit.rank for hit in weighted(rankings, exhausted=["bm25"])}
    assert places["a"] < places["b"] < places["c"] <= 10, "even the last of a short list"


def test_no_hit_of_an_exhausted_ranking_stands_more_than_three_deviations_above_the_mean() -> None:
    scores = {
        hit.document.id: hit.score
        for hit in weighted(
            {"dense": [], "bm25": ranking(a=8.0), "sparse": many(100)},
            exhausted=["bm25"],
            weights={"sparse": 0.0},
        )
    }
    assert scores["a"] == pytest.approx(3.0)
    assert scores["d0"] == pytest.approx(-0.1)


def test_where_an_exhausted_ranking_has_no_hit_it_says_nothing() -> None:
    dense = many(5)
    fused = weighted({"dense": dense, "bm25": []}, exhausted=["bm25"])
    assert [hit.document.id for hit in fused] == [hit.document.id for hit in dense]


@pytest.mark.parametrize("fuse", [rrf, weighted])
def test_of_hits_with_one_id_the_best_counts(fuse: Callable[..., list[Hit]]) -> None:
    twice = [*ranking(a=9.0, b=5.0), Hit(Document("a", ""), 1.0, 3)]
    found = fuse({"bm25": twice, "dense": []})
    assert ids(found) == "ab"
    assert found[0].sources == {"bm25": (1, 9.0)}
    assert [hit.score for hit in found] == [hit.score for hit in fuse({"bm25": twice[:2]})]


@pytest.mark.parametrize("fuse", [rrf, weighted])
def test_fusing_nothing_gives_nothing(fuse: Callable[..., list[Hit]]) -> None:
    assert fuse({}) == []
    assert fuse({"dense": [], "bm25": []}) == []


def test_interpolation_mixes_standardised_scores() -> None:
    first = ranking(a=3.0, b=2.0, c=1.0)  # z: 1.2247, 0, -1.2247
    reranked = rescore(first, [0.0, 1.0, 2.0])  # z: -1.2247, 0, 1.2247
    mixed = interpolate(reranked, name="model", weight=0.75)
    assert ids(mixed) == "cba"
    assert [hit.score for hit in mixed] == pytest.approx([0.61237, 0.0, -0.61237], abs=1e-5)
    assert mixed[0].previous is first[2]
    assert mixed[0].sources == {"model": (1, 2.0)}


def test_scores_of_another_scale_are_moved_below_those_above_them() -> None:
    assert descending([0.5, -1.0, 6.0, 4.0, 7.0]) == [0.5, -1.0, -1.0, -3.0, -3.0]
    assert descending([3.0, 2.0, -1.0]) == [3.0, 2.0, -1.0]
    assert descending([]) == []


def test_interpolation_keeps_unscored_hits_below_where_the_new_scores_say_nothing() -> None:
    scored = rescore(ranking(a=9.0, b=8.0), [-1.0, 0.5])
    first = append_unscored(
        scored, [Hit(Document("c", ""), 7.0, 3), Hit(Document("d", ""), 6.0, 4)]
    )
    assert ids(interpolate(rescore(first, [5.0] * 4), name="likes", weight=0.5)) == "bacd"


def test_interpolation_ties_keep_the_incoming_order() -> None:
    first = ranking(a=2.0, b=1.0)
    assert ids(interpolate(rescore(first, [0.0, 1.0]), name="model", weight=0.5)) == "ab"


def test_interpolation_needs_a_weight_between_zero_and_one() -> None:
    with pytest.raises(InputError, match=r"between 0 and 1; got 1\.5"):
        interpolate(rescore(ranking(a=1.0), [1.0]), name="model", weight=1.5)


def test_equal_scores_standardise_to_zero() -> None:
    assert standardise([0.1 + 0.2, 0.3]) == [0.0, 0.0]
    assert standardise([]) == []
    assert standardise([1.0, 3.0]) == [-1.0, 1.0]
