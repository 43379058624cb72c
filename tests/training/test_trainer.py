"""Training of tiny networks: what is learnt, saved, left out and refused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from retrieve_rerank.base import Scorer
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.trainers import Progress, TrainerSettings, train
from tests.models.tiny import make_model

WORDS = [
    "wing",
    "flutter",
    "measured",
    "cat",
    "sat",
    "mat",
    "reranker",
    "reads",
    "query",
    "passage",
    "score",
    "tunnel",
    "theory",
]  # which the tokenizer knows
QUICK = TrainerSettings(
    learning_rate=3e-3, max_steps=12, batch_size=4, group_size=4, evaluate_every=6, device="cpu"
)


def groups(count: int, *, seed: int = 1) -> list[Group]:
    """Make groups whose positive holds the query's word, and whose negatives do not."""
    draw = random.Random(seed)

    def text(*, without: str) -> str:
        others = [word for word in WORDS if word != without]
        return " ".join(draw.sample(others, draw.randint(2, 9)))

    made = []
    for _ in range(count):
        word = draw.choice(WORDS)
        negatives = [GroupText(text(without=word), 0.0) for _ in range(3)]
        made.append(Group(word, (GroupText(f"{word} {text(without=word)}", 1.0), *negatives)))
    return made


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_model(tmp_path_factory.mktemp("encoder"), "bert"))


def first_share(dev: Sequence[Group]) -> Any:
    """Make an evaluator: the share of queries whose positive is first."""

    def share(scorer: Scorer) -> float:
        best = 0
        for group in dev:
            scores = scorer.score(group.query, [text.text for text in group.texts])
            best += scores[0] == max(scores)
        return best / len(dev)

    return share


def test_training_leaves_a_model_that_others_score_alike(
    encoder: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Progress] = []
    trained = train(
        groups(40),
        base=encoder,
        output=tmp_path / "run",
        settings=QUICK,
        evaluator=first_share(groups(10, seed=2)),
        on_progress=heard.append,
    )
    assert capfd.readouterr() == ("", "")
    assert trained.model == tmp_path / "run" / "model"
    assert (trained.steps, trained.loss, trained.failed) == (12, "lce", False)
    assert [point.step for point in trained.curve if point.measure is not None] == [0, 6, 12]
    assert [(each.step, each.steps) for each in heard] == [(n, 12) for n in range(1, 13)]
    assert all(each.pairs_per_s > 0 for each in heard)

    from sentence_transformers import CrossEncoder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    pairs = [("which wing?", "a wing was measured"), ("cat", "the mat " * 60), ("", "tunnel")]
    ours = load_pair_model(str(trained.model), device="cpu").score(pairs).scores
    theirs = CrossEncoder(str(trained.model), device="cpu").predict(pairs)
    assert ours == pytest.approx(theirs, abs=1e-4)
    # as FlagEmbedding's rerankers read a pair
    tokenizer: Any = AutoTokenizer.from_pretrained(str(trained.model))
    network: Any = AutoModelForSequenceClassification.from_pretrained(str(trained.model)).eval()
    read = tokenizer(pairs, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        assert network(**read).logits[:, 0].numpy() == pytest.approx(ours, abs=1e-4)
