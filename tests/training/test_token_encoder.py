"""An encoder trained for MaxSim: what is trained is what an index stores and scores."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'train'")

import torch
from sentence_transformers import SentenceTransformer

from retrieve_rerank import Document
from retrieve_rerank.base import Scorer
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.tensors import pack
from retrieve_rerank.connectors.tensors import score as stored_scores
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.encoders.pooling import unit_rows
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.queries import Cuts
from retrieve_rerank.training.queries.cuts import Cut
from retrieve_rerank.training.token_encoder.network import MaxSimNetwork, open_max_sim
from retrieve_rerank.training.token_encoder.plan import Speed, make_plan
from retrieve_rerank.training.token_encoder.proof import judge_gain
from retrieve_rerank.training.token_encoder.proving import prove
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.token_projection.max_sim import TEMPERATURE
from retrieve_rerank.training.token_projection.proof import Measured
from retrieve_rerank.training.trainers import Trained, group_ndcg, train
from retrieve_rerank.training.trainers.objective import Objective, choose_objective
from retrieve_rerank.training.trainers.saving import save_model
from retrieve_rerank.training.trainers.settings import TrainerSettings
from tests.models.tiny import QUERY, TEXTS, make_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("bert"), "bert")


def group(query: str, *texts: str, taught: Sequence[float] | None = None) -> Group:
    """A query, the text that is relevant to it, and others."""
    scores: Sequence[float | None] = taught or [None] * len(texts)
    return Group(
        query,
        tuple(
            GroupText(text, float(place == 0), teacher_score=score)
            for place, (text, score) in enumerate(zip(texts, scores, strict=True))
        ),
    )


def opened(base: Path, *groups: Group, kept: int | None = None, factor: int = 2) -> MaxSimNetwork:
    axes = None
    if kept is not None:
        axes = np.random.default_rng(1).normal(size=(32, kept)).astype(np.float32)
    return open_max_sim(
        str(base),
        TrainerSettings(device="cpu", bf16=False),
        lce(),
        relevant={each.query: [text.text for text in each.positives] for each in groups},
        pooling_factor=factor,
        dtype="float32",
        projection=axes,
    )


def lce(**weights: float) -> Objective:
    one = group(QUERY, *TEXTS[:2])
    return choose_objective(weights or "lce", [one])


@pytest.mark.parametrize(("family", "kept", "factor"), [("bert", None, 2), ("modernbert", 5, 3)])
def test_what_was_trained_is_what_an_index_scores_here_and_in_sentence_transformers(
    tmp_path: Path, family: str, kept: int | None, factor: int
) -> None:
    base = make_model(tmp_path / "base", family)
    asked = group(QUERY, *TEXTS)
    network = opened(base, asked, kept=kept, factor=factor)
    network.network.eval()
    with torch.no_grad():
        trained = network.forward([network.read(asked)]).scores[0] * TEMPERATURE
    looked = network.scorer().score(QUERY, TEXTS)
    save_model(network, tmp_path / "model")

    encoder = load_encoder(str(tmp_path / "model"), device="cpu")
    assert encoder.token_dimension == (kept or 32)
    [query] = encoder.embed_query_tokens([QUERY])
    tokens = encoder.embed_document_tokens(TEXTS)
    packed = [pack(pool_tokens(each, factor), "float32") for each in tokens]
    served = stored_scores(query, packed, dimension=encoder.token_dimension, dtype="float32")
    assert trained.numpy() == pytest.approx(served, abs=1e-3)
    assert looked == pytest.approx(served, abs=1e-4)

    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    for ours, other in zip(
        tokens, theirs.encode(TEXTS, output_value="token_embeddings"), strict=True
    ):
        assert unit_rows(other.numpy()) == pytest.approx(ours, abs=1e-4)
    if kept is None:  # with the first stage's vectors it has nothing to do any more
        assert encoder.vectors_of == encoder.fingerprint


def test_other_queries_texts_are_negatives_but_those_that_may_be_relevant(bert: Path) -> None:
    copied = TEXTS[3].replace("Several models", "several  models")
    groups = [
        group("wings", TEXTS[3], TEXTS[0], taught=[2.0, 1.0]),
        group("copies", copied, TEXTS[0], TEXTS[2], taught=[3.0, 0.0, 1.0]),
        group("wings", TEXTS[5], TEXTS[1], taught=[5.0, 4.0]),  # the same query, another positive
    ]
    network = opened(bert, *groups)
    network._relevant = {"wings": [TEXTS[3], TEXTS[5]], "copies": [copied]}
    labels, teacher = network.targets(groups, lce(kl=1.0, lce=1.0))
    nan = math.nan
    assert labels.numpy() == pytest.approx(
        np.array(
            [
                [1, 0, nan, nan, 0, nan, 0],
                [nan, nan, 1, 0, 0, 0, 0],
                [nan, 0, nan, 0, 0, 1, 0],
            ]
        ),
        nan_ok=True,
    )
    assert teacher is not None
    assert teacher[0].numpy() == pytest.approx([2, 1, *[nan] * 5], nan_ok=True)

    # A pass's part of the step's loss, of scores that are made up: of the first query the other's
    # positive, which is a copy, does not count, and neither does the text that both have.
    scores = torch.tensor([[2.0, 1, 9, 9, 0.5, 9, 0], [9, 9, 1, 0, 0, 0, 0], [0.0] * 7])
    objective = lce()
    labels, _ = network.targets(groups, objective)
    loss = objective.loss(scores, {}, labels, None, counts=objective.counts(labels, None, {}))
    first = math.log(math.exp(2) + math.exp(1) + math.exp(0.5) + 1) - 2
    second = math.log(math.exp(1) + 4) - 1
    assert float(loss) == pytest.approx((first + second + math.log(5)) / 3, abs=1e-5)


def test_packed_or_padded_the_gradient_reaches_projection_and_network(bert: Path) -> None:
    groups = [group(QUERY, *TEXTS[:3]), group("short", *TEXTS[2:])]
    network = opened(bert, *groups, kept=4)
    assert not network.padded
    network.network.eval()
    read = [network.read(each) for each in groups]
    packed = network.forward(read).scores
    assert packed.shape == (2, 7)
    packed.sum().backward()  # type: ignore[no-untyped-call]
    names = [name for name, each in network.network.named_parameters() if each.grad is not None]
    assert {"token_projection.weight", "embeddings.word_embeddings.weight"} <= set(names)
    alone = [network.forward([each]).scores[0] for each in read]
    assert torch.cat(alone).tolist() == pytest.approx(
        [*packed[0, :3].tolist(), *packed[1, 3:].tolist()], abs=1e-3
    )


def test_an_encoder_with_layers_of_its_own_is_refused(tmp_path: Path, bert: Path) -> None:
    asked = group(QUERY, *TEXTS)
    save_model(opened(bert, asked, kept=4), tmp_path / "model")
    with pytest.raises(ConfigError, match="layers of its own"):
        opened(tmp_path / "model", asked)


def synonyms(count: int, *, seed: int) -> list[Group]:
    """Queries whose words each have one that texts say in its place."""
    draw = random.Random(seed)
    words = sorted({word for text in TEXTS for word in text.split() if word.isalpha()})
    asked, said = words[:8], words[8:16]

    def text(of: Sequence[int]) -> str:
        chosen = [said[n] for n in of] + draw.sample(words[16:], 2)
        return " ".join(draw.sample(chosen, 4))

    made = []
    for _ in range(count):
        first, second, *others = draw.sample(range(8), 8)
        negatives = [text(draw.sample(others, 2)) for _ in range(3)]
        made.append(group(f"{asked[first]} {asked[second]}", text([first, second]), *negatives))
    return made


class BrokenOffError(Exception):
    pass


def test_training_beats_its_start_and_broken_off_goes_on_to_the_same_weights(
    tmp_path: Path, bert: Path
) -> None:
    groups, held_out = synonyms(60, seed=1), synonyms(20, seed=2)
    settings = TrainerSettings(
        loss="lce",
        learning_rate=3e-3,
        max_steps=40,
        batch_size=8,
        group_size=4,
        evaluate_every=10,
        device="cpu",
        bf16=False,
    )

    def trained(name: str, *, last_look: int = 99) -> Trained:
        ndcg, looks = group_ndcg(held_out), count(1)

        def look(scorer: Scorer) -> float:
            if next(looks) == last_look:
                raise BrokenOffError
            return ndcg(scorer)

        return train(
            groups,
            base=str(bert),
            output=tmp_path / name,
            settings=settings,
            evaluator=look,
            opens=partial(
                open_max_sim,
                relevant={},
                pooling_factor=2,
                dtype="int8",
                projection=np.eye(32, 16, dtype=np.float32),
            ),
        )

    whole = trained("whole")
    assert whole.reranker == "max-sim"
    looks = [point.measure for point in whole.curve if point.measure is not None]
    assert max(looks[1:]) > looks[0] + 0.1
    with pytest.raises(BrokenOffError):
        trained("again", last_look=4)  # those before were at steps 1, 10 and 20
    assert list((tmp_path / "again").rglob("checkpoint-20"))
    again = trained("again")
    assert again.curve == whole.curve
    for file in ("model.safetensors", "2_Dense/model.safetensors"):
        assert (again.model / file).read_bytes() == (whole.model / file).read_bytes()


def test_an_encoder_is_as_good_as_itself_on_queries_cut_out_of_titles(tmp_path: Path) -> None:
    """Several documents share each title, which neither side may read."""
    about = ("wing flutter", "refunds of goods", "bread ovens", "heart valves")
    documents = [
        Document(f"{topic} {n}", f"Answer {n} is long, and says {n * 'much '}.", {"title": topic})
        for topic in about
        for n in range(3)
    ]
    encoder = load_encoder(DEFAULT_ENCODER)
    queries = {topic: topic for topic in about}
    judged = SplitJudgments(
        queries,
        {},
        {},
        {},
        {topic: {f"{topic} {n}": 1 for n in range(3)} for topic in about},
        cuts=Cuts({f"{topic} 0": {topic: Cut("title", topic)} for topic in about}, generated=True),
    )
    with EmbeddedConnector.create(str(tmp_path / "index"), encoder=encoder) as connector:
        connector.index(documents)
        verdict, _ = prove(
            resolve(DEFAULT_ENCODER),
            connector,
            judged,
            encoder,
            tmp_path / "kept",
            settings=EncoderSettings(base=DEFAULT_ENCODER),
            watch=Watch(),
        )
    today, trained = verdict.systems
    assert today.scores == pytest.approx(trained.scores)


def measured(name: str, scores: Sequence[float]) -> Measured:
    return Measured(name, 6, {f"q{n}": each for n, each in enumerate(scores)}, 100.0, 60)


def test_a_gain_must_be_shown_not_only_no_loss() -> None:
    draw = random.Random(3)
    today = [draw.random() for _ in range(60)]
    for change, accepted, said in (
        (0.05, True, "better than the tensors that serve; nDCG@10 +0.0500"),
        (-0.05, False, "worse than"),
        (0.0, None, "60 queries do not tell it from"),
    ):
        trained = measured("trained", [each + change for each in today])
        verdict = judge_gain(measured("max-sim today", today), trained)
        assert (verdict.accepted, said in verdict.sentence) == (accepted, True)
    few = judge_gain(measured("a", today[:9]), measured("b", [each + 0.1 for each in today[:9]]))
    assert few.accepted is None


def test_minutes_become_steps_after_what_measuring_takes() -> None:
    settings = EncoderSettings(base="b", minutes=20)
    sizes = {"train": 4000, "dev": 100, "test": 300}
    speed = Speed(
        searches_per_s=50,
        texts_per_s=40,
        dev_texts={100: 4000, 50: 2000, 30: 1200, 20: 800},
        test_texts=1200,
    )
    plan = make_plan(sizes, settings, speed, spent_s=30)
    assert (plan.queries_per_s, plan.dev_depth, plan.mined_queries) == (8, 100, 4000)
    assert 0.95 * 20 * 60 < plan.total_s <= 20 * 60
    assert plan.steps >= 200
    whole = make_plan(sizes, EncoderSettings(base="b"), speed, spent_s=30)
    assert whole.rounds == pytest.approx(1, abs=0.01)
    with pytest.raises(ConfigError, match=r"2 minutes do not suffice.*at least \d minutes"):
        make_plan(sizes, EncoderSettings(base="b", minutes=2), speed, spent_s=30)
