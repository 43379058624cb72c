"""Each loss against values computed by hand, and sentence-transformers' of the same name."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training.losses import (
    LOSSES,
    Loss,
    Mixture,
    Part,
    Weighting,
    adr_mse,
    approx_ndcg,
    bce,
    bradley_terry,
    difference,
    find_loss,
    kl,
    lambda_loss,
    lce,
    list_ce,
    list_mle,
    list_net,
    margin_mse,
    mse,
    next_token,
    p_list_mle,
    pad,
    permutation,
    points,
    poly,
    rankinggpt,
    ranknet,
)

LN2, LN3 = math.log(2), math.log(3)


def value(loss: Loss, scores: list[list[float]], labels: list[list[float]]) -> float:
    return loss(pad(scores), pad(labels)).mean().item()


# σ(0) = 1/2 and σ(ln 3) = 3/4: -> all of these by hand.
BY_HAND: list[tuple[Loss, list[float], list[float], float]] = [
    (bce, [0.0, LN3], [1.0, 0.0], (LN2 + math.log(4)) / 2),
    (bce, [LN3], [0.75], -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
    (mse, [0.0, LN3], [1.0, 0.5], (0.25 + 0.0625) / 2),
    # e^s: 3 and 1, 1: the positive's share is 3/5
    (lce, [LN3, 0.0, 0.0], [1.0, 0.0, 0.0], math.log(5 / 3)),
    # two positives, each with the one negative alone: shares 3/4 and 1/2
    (lce, [LN3, 0.0, 0.0], [2.0, 1.0, 0.0], (math.log(4 / 3) + LN2) / 2),
    (poly, [LN3, 0.0, 0.0], [1.0, 0.0, 0.0], math.log(5 / 3) + (1 - 3 / 5)),
    # pairs: gap 2 in order, gap 1 in order, gap 1 equal
    (ranknet, [LN3, 0.0, 0.0], [2.0, 1.0, 0.0], (math.log(4 / 3) + 2 * math.log(4 / 3) + LN2) / 3),
    (ranknet, [0.0, LN3], [-20.0, -1.0], 19 * math.log(4 / 3)),
    # softmax of the labels (ln 3, 0) is (3/4, 1/4), of equal scores (1/2, 1/2)
    (list_net, [0.0, 0.0], [LN3, 0.0], LN2),
    (list_net, [LN3, 0.0], [LN3, 0.0], -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
    # the zero has no share of the labels, and one of the scores
    (list_ce, [LN3, 0.0, 0.0], [1.0, 0.0, 0.0], math.log(5 / 3)),
    (list_ce, [LN3, 0.0, 0.0], [LN3, 0.0, 0.0], math.log(5 / 3)),
    # 3/5 first, then 1/2, then what is left
    (list_mle, [LN3, 0.0, 0.0], [2.0, 1.0, 0.0], math.log(5 / 3) + LN2),
    (list_mle, [0.0, LN3], [-2.0, -1.0], math.log(4 / 3)),
    # 2^2 - 1, 2^1 - 1, 2^0 - 1: weights 3/4, 1/4, 0
    (p_list_mle, [LN3, 0.0, 0.0], [2.0, 1.0, 0.0], 0.75 * math.log(5 / 3) + 0.25 * LN2),
    # ranks 1 and 2; approximate ranks of (ln 3, 0): 1 + 1/4 and 1 + 3/4
    (adr_mse, [LN3, 0.0], [1.0, 0.0], (1 / 16 + 1 / 16 / math.log2(3)) / 2),
    # equal labels share rank 1.5, which equal scores have
    (adr_mse, [0.0, 0.0], [1.0, 1.0], 0.0),
    # the teacher's best is the second: margins 3 - 1 and 2 - 1 where 4 and 2 were wanted
    (margin_mse, [1.0, 3.0, 2.0], [0.0, 4.0, 2.0], ((2 - 4) ** 2 + (1 - 2) ** 2) / 2),
    # standardised, the teacher says (1, -1): shares e²/(e² + 1) and the rest
    (kl, [1.0, -1.0], [30.0, 10.0], 0.0),
    # shares 3, 1 and √3: the better first, the worse first, and a tie
    (bradley_terry, [LN3, 0.0], [1.0, 0.0], -math.log(3 / (4 + math.sqrt(3)))),
    (bradley_terry, [LN3, 0.0], [0.0, 1.0], -math.log(1 / (4 + math.sqrt(3)))),
    (bradley_terry, [LN3, 0.0], [0.0, 0.0], -math.log(math.sqrt(3) / (4 + math.sqrt(3)))),
    (points, [LN3], [0.0], math.log(4)),
    (points, [LN3, 0.0], [1.0, 0.0], 0.0),  # a preference says nothing of either alone
    (permutation, [LN3, 0.0], [2.0, 1.0], math.log(4 / 3)),
    (permutation, [LN3, 0.0, 0.0], [-2.0, -1.0, -1.0], math.log(4)),
]


@pytest.mark.parametrize(("loss", "scores", "labels", "expected"), BY_HAND)
def test_a_loss_has_the_value_that_its_formula_gives_by_hand(
    loss: Loss, scores: list[float], labels: list[float], expected: float
) -> None:
    assert value(loss, [scores], [labels]) == pytest.approx(expected, abs=1e-6)


def test_distillation_reads_the_order_of_a_teacher_whose_scores_lie_anywhere() -> None:
    scores = [[0.0, 0.0]]
    share = math.exp(1) / (math.exp(1) + math.exp(-1))
    expected = share * math.log(share / 0.5) + (1 - share) * math.log((1 - share) / 0.5)
    assert value(kl, scores, [[30.0, 10.0]]) == pytest.approx(expected, abs=1e-6)
    assert value(kl, scores, [[0.003, 0.001]]) == pytest.approx(expected, abs=1e-5)
    assert value(kl, scores, [[5.0, 5.0]]) == 0
    share = math.exp(0.5) / (math.exp(0.5) + math.exp(-0.5))  # at twice the temperature
    expected = 4 * (share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share)))
    found = kl(torch.zeros(1, 2), torch.tensor([[30.0, 10.0]]), temperature=2.0).mean().item()
    assert found == pytest.approx(expected, abs=1e-6)


def test_likelihoods_of_a_query_are_spread_by_a_thousand() -> None:
    """Of .3 and .301 a token: 300 and 301, one apart."""
    scores = [[math.log(0.3), math.log(0.301)]]
    assert value(rankinggpt, scores, [[0.0, 1.0]]) == pytest.approx(
        math.log(1 + math.exp(-1)), abs=1e-4
    )
    assert value(rankinggpt, scores, [[1.0, 0.0]]) == pytest.approx(math.log(1 + math.e), abs=1e-4)


def test_losses_over_tokens_leave_padding_out() -> None:
    """Two sequences of two tokens and one, over a vocabulary of two, the padding NaN."""
    nan = math.nan
    real = torch.tensor([[True, True], [True, False]])
    said = torch.tensor([[-LN2, -LN3], [-LN2, nan]], requires_grad=True)
    terms = next_token(said, real)
    assert terms.mean().item() == pytest.approx((LN2 + LN3 + LN2) / 3)
    torch.autograd.backward(terms.mean())
    assert said.grad is not None
    assert said.grad.flatten().tolist() == pytest.approx([-1 / 3, -1 / 3, -1 / 3, 0.0])

    half, sure = [0.5, 0.5], [0.75, 0.25]
    now = torch.tensor([[sure, half], [sure, [nan, nan]]]).log()
    frozen = torch.tensor([[half, half], [sure, [nan, nan]]]).log()
    # of half and half against 3/4 and 1/4: (ln 2/3 + ln 2) / 2; the others are as they were
    terms = difference(now, frozen, real)
    assert terms.sums.tolist() == pytest.approx([math.log(4 / 3) / 2, 0.0], abs=1e-6)
    assert terms.mean().item() == pytest.approx(math.log(4 / 3) / 6, abs=1e-6)


def test_lambda_weights_are_what_swapping_two_texts_costs() -> None:
    """Grades 1 and 0, ranked wrongly: gains 1 and 0, ideal DCG 1, discounts 1 and 1 / log2(3)."""
    scores, labels = torch.tensor([[0.0, LN3]]), torch.tensor([[1.0, 0.0]])
    worth = 1 - 1 / math.log2(3)

    def found(weighting: Weighting) -> float:
        return lambda_loss(scores, labels, weighting=weighting).mean().item()

    assert found("none") == pytest.approx(2)  # log2(1 + 3)
    assert found("lambda-rank") == pytest.approx(2 * worth)
    assert found("ndcg2") == pytest.approx(2 * worth)
    assert found("ndcg2++") == pytest.approx(2 * 11 * worth)


def test_approximate_ndcg_is_one_minus_ndcg_where_scores_are_far_apart() -> None:
    found = value(approx_ndcg, [[100.0, 200.0, 0.0]], [[1.0, 0.0, 2.0]])
    ideal = 3 + 1 / math.log2(3)
    assert found == pytest.approx(1 - (1 / math.log2(3) + 3 / 2) / ideal, abs=1e-6)


# Losses of ranks, probabilities and grades are each given what they take.
def _labels(name: str) -> list[list[float]]:
    if name == "points":
        return [[1.0, math.nan, math.nan], [0.0, 1.0]]
    if name in ("bce", "mse"):
        return [[1.0, 0.0, 0.25], [0.0, 1.0]]
    if name == "permutation":
        return [[1.0, 3.0, 2.0], [2.0, 1.0]]
    return [[2.0, 0.0, 1.0], [0.0, 1.0]]


SCORES = [[0.3, -1.2, 0.9], [2.0, -0.7]]


@pytest.mark.parametrize("name", LOSSES)
def test_padding_changes_nothing_whatever_it_holds(name: str) -> None:
    loss, labels = LOSSES[name], _labels(name)
    alone = [
        loss(torch.tensor([s]), torch.tensor([y])) for s, y in zip(SCORES, labels, strict=True)
    ]
    padded = pad(SCORES).requires_grad_()  # its padding is NaN
    together = loss(padded, pad(labels))
    assert together.sums.tolist() == pytest.approx([a.sums.item() for a in alone], abs=1e-6)
    assert together.counts.tolist() == [a.counts.item() for a in alone]
    torch.autograd.backward(together.mean())
    assert padded.grad is not None
    assert padded.grad.isfinite().all()
    assert padded.grad[1, 2] == 0


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_values(name: str) -> None:
    loss, labels = LOSSES[name], pad(_labels(name))
    scores = pad(SCORES).nan_to_num(0.0).requires_grad_()
    torch.autograd.backward(loss(scores, labels).mean())
    assert scores.grad is not None
    step = 1e-2
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        moved = torch.zeros_like(scores)
        moved[i, j] = step
        with torch.no_grad():
            up, down = (loss(scores + sign * moved, labels).mean() for sign in (1, -1))
        assert scores.grad[i, j].item() == pytest.approx(
            ((up - down) / (2 * step)).item(), abs=2e-3, rel=1e-2
        )


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name: str) -> None:
    loss, labels = LOSSES[name], pad(_labels(name))
    scores = pad(SCORES).bfloat16()
    terms = loss(scores, labels)
    assert terms.sums.dtype == torch.float32
    assert terms.mean().item() == pytest.approx(loss(scores.float(), labels).mean().item())


@pytest.mark.parametrize(
    "name", [name for name in LOSSES if name not in ("bce", "mse", "points", "rankinggpt")]
)
def test_only_differences_of_scores_count(name: str) -> None:
    loss, labels = LOSSES[name], pad(_labels(name))
    scores = pad(SCORES)
    moved = loss(scores + 7.0, labels).mean().item()
    assert moved == pytest.approx(loss(scores, labels).mean().item(), abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[[0.9, 0.3, 0.3], [0.0, 1.0]], [[0.0, 1.0, 0.0], [0.5, 0.5]]])
def test_the_least_that_is_told_of_a_loss_is_no_more_than_any_scores_leave(
    name: str, labels: list[list[float]]
) -> None:
    part = Part(LOSSES[name], 0.5)
    mixture, wanted = Mixture([part]), pad(labels)
    least = mixture.least(wanted).item()
    draw = torch.Generator().manual_seed(4)
    for spread in (0.0, 0.3, 1.0, 4.0, 30.0):
        scores = spread * torch.randn(2, 3, generator=draw)
        assert mixture(scores, wanted).item() >= least - 1e-5


def test_what_is_left_of_a_list_is_its_labels_entropy() -> None:
    mixture = Mixture([Part(list_net)])
    labels = pad([[LN3, 0.0]])
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert mixture.least(labels).item() == pytest.approx(entropy)
    assert Mixture([Part(list_mle)]).least(pad([[1.0, 0.0, 0.0]])).item() == pytest.approx(LN2)
    assert Mixture([Part(lce)]).least(labels).item() == 0.0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[0.0, 0.0, 0.0], [1.0], [math.nan, math.nan]])
def test_a_group_that_teaches_nothing_leaves_the_loss_finite(
    name: str, labels: list[float]
) -> None:
    scores = torch.linspace(-60.0, 60.0, len(labels))[None].requires_grad_()
    loss = LOSSES[name](scores, torch.tensor([labels])).mean()
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_a_group_of_zeros_counts_nothing_beside_others() -> None:
    labels = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    scores = [[LN3, 0.0, 0.0], [5.0, 1.0, 2.0]]
    for loss in (lce, list_ce):
        assert value(loss, scores, labels) == pytest.approx(math.log(5 / 3), abs=1e-6)


def test_labels_that_are_ranks_below_zero_train_in_half_precision() -> None:
    labels = torch.arange(-1.0, -21.0, -1.0)[None].half()
    scores = torch.zeros(1, 20, dtype=torch.float16, requires_grad=True)
    loss = ranknet(scores, labels).mean()
    gaps = [i - j for i in range(20) for j in range(i)]
    assert loss.item() == pytest.approx(LN2 * sum(gaps) / len(gaps), rel=1e-6)
    torch.autograd.backward(loss)
    assert scores.grad is not None
    assert scores.grad[0, 0] < 0 < scores.grad[0, -1]


@pytest.mark.parametrize("name", ["bce", "mse", "lambda", "approx-ndcg"])
def test_labels_that_a_loss_cannot_read_are_refused_with_words(name: str) -> None:
    with pytest.raises(InputError, match=r"-20 *|0 or more; got -20"):
        LOSSES[name](torch.zeros(1, 2), torch.tensor([[-20.0, -1.0]]))


def test_an_unknown_loss_names_the_nearest() -> None:
    assert find_loss("pairwise_ranknet") is ranknet
    with pytest.raises(ConfigError, match=r"unknown loss 'ranket'; did you mean 'ranknet'\?"):
        find_loss("ranket")


def test_a_batch_trains_alike_in_one_piece_and_in_several() -> None:
    """Two pieces of unequal size: the mean of their means would weigh the second's pair thrice."""
    labels = pad([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, math.nan]])
    teacher = torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 2.0], [5.0, 1.0, math.nan]])
    scores = torch.randn(3, 3, generator=torch.manual_seed(0))
    mixture = Mixture([Part(ranknet), Part(margin_mse, 0.5, on="teacher")])
    whole = mixture(scores, labels, teacher)
    pieces = [slice(0, 2), slice(2, 3)]
    counts = torch.stack([mixture.counts(labels[p], teacher[p]) for p in pieces]).sum(0)
    assert counts.tolist() == [5, 5]
    parts = [mixture(scores[p], labels[p], teacher[p], counts=counts) for p in pieces]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item())
    by_hand = ranknet(scores, labels).mean() + 0.5 * margin_mse(scores, teacher).mean()
    assert whole.item() == pytest.approx(by_hand.item())


def test_a_mixture_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="at least one loss"):
        Mixture([])
    with pytest.raises(ConfigError, match="above 0"):
        Mixture([Part(lce, 0.0)])
    with pytest.raises(ConfigError, match="no teacher's scores"):
        Mixture([Part(kl, on="teacher")])(torch.zeros(1, 2), torch.zeros(1, 2))


class Given(torch.nn.Module):
    """Has the scores already, where sentence-transformers' losses want a cross-encoder."""

    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = scores

    def preprocess(self, pairs: list[tuple[str, str]], **options: object) -> dict[str, Tensor]:
        return {"index": torch.tensor([int(document) for _, document in pairs])}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": torch.tensor(self.scores)[features["index"]]}


def test_losses_of_sentence_transformers_have_the_same_values() -> None:
    losses = pytest.importorskip("sentence_transformers.cross_encoder.losses")
    scores, labels = [[0.3, -1.2, 0.9, 0.1], [2.0, -0.7]], [[2.0, 0.0, 1.0, 0.0], [0.0, 1.0]]
    flat = [score for row in scores for score in row]
    texts = [["0", "1", "2", "3"], ["4", "5"]]
    theirs = {
        "list-net": losses.ListNetLoss,
        "list-mle": losses.ListMLELoss,
        "p-list-mle": losses.PListMLELoss,
        "adr-mse": losses.ADRMSELoss,
        "lambda": losses.LambdaLoss,
    }
    in_order = {"respect_input_order": False}
    for name, theirs_of_name in theirs.items():
        options = in_order if name in ("list-mle", "p-list-mle") else {}
        their_loss = theirs_of_name(Given(flat), **options)
        expected = their_loss([["q", "r"], texts], [torch.tensor(row) for row in labels])
        assert value(LOSSES[name], scores, labels) == pytest.approx(expected.item(), abs=1e-5), name
    schemes: dict[Weighting, object] = {
        "none": losses.NoWeightingScheme(),
        "lambda-rank": losses.LambdaRankScheme(),
        "ndcg2": losses.NDCGLoss2Scheme(),
    }
    for weighting, scheme in schemes.items():
        their_loss = losses.LambdaLoss(Given(flat), weighting_scheme=scheme, k=2)
        expected = their_loss([["q", "r"], texts], [torch.tensor(row) for row in labels])
        found = lambda_loss(pad(scores), pad(labels), weighting=weighting, k=2)
        assert found.mean().item() == pytest.approx(expected.item(), abs=1e-5), weighting
