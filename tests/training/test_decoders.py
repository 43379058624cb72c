"""Training of tiny decoders: what is trained is what the reranker scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import ViTConfig, ViTModel

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.models.causal.torch_language_model import TorchLanguageModel
from retrieve_rerank.models.causal.vocabulary_head import VocabularyHead
from retrieve_rerank.registry import reranker_class
from retrieve_rerank.rerankers.llm.scalar_head import ScalarHead
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.trainers import Trained, TrainerSettings, train
from retrieve_rerank.training.trainers.drawing import Steps
from retrieve_rerank.training.trainers.network import Network
from retrieve_rerank.training.trainers.objective import choose_groups, choose_objective
from retrieve_rerank.training.trainers.opening import open_network
from retrieve_rerank.types import Document, Hit
from tests.models.tiny_language_models import DOCUMENTS, QUERY, make_language_model
from tests.models.tiny_layerwise import make_layerwise

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = TrainerSettings(
    learning_rate=2e-3,
    max_steps=4,
    batch_size=2,
    group_size=3,
    evaluate_every=2,
    device="cpu",
    bf16=False,
)
GROUPS = [
    Group(QUERY, tuple(GroupText(text, float(n == 0)) for n, text in enumerate(DOCUMENTS))),
    Group("mat", tuple(GroupText(text, float("mat" in text)) for text in DOCUMENTS[:4])),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Decoders with and without a pad token and a linear head, and an encoder-decoder."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        name: str(
            make_language_model(folder / name, family, labels=labels, positions=2048, std=0.1)
        )
        for name, family, labels in (
            ("llama", "llama", None),
            ("qwen3", "qwen3", None),
            ("t5", "t5", None),
            ("head", "llama", 1),
        )
    }


def load(trained: Trained) -> Any:
    kind: Any = reranker_class(trained.reranker)
    return kind(str(trained.model), device="cpu")


def trained_and_scored(
    base: str, output: Path, **changed: Any
) -> tuple[Trained, list[float], list[float]]:
    """Train; return what came of it, the last scores in training, and those of the reranker."""
    looks: list[list[float]] = []

    def look(scorer: Scorer) -> float:
        looks.append(scorer.score(QUERY, DOCUMENTS))
        return float(len(looks))  # so that the last checkpoint is the best

    trained = train(
        GROUPS, base=base, output=output, settings=replace(QUICK, **changed), evaluator=look
    )
    loaded = load(trained)
    assert looks[0] != pytest.approx(looks[-1], abs=1e-3)  # something was learnt
    return trained, looks[-1], loaded.score(QUERY, DOCUMENTS)


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        ("llama", {"loss": "lce"}),
        ("llama", {"prompt": "bge-reranker-gemma", "loss": {"lce": 1, "next-token": 0.5}}),
        ("qwen3", {"prompt": "qwen3-reranker", "loss": "bce", "max_tokens": 420}),
        ("t5", {"loss": "next-token"}),
        ("t5", {"prompt": "rankt5", "loss": "lce"}),
        ("llama", {"reranker": "llm-scalar-head", "template": "{title}. {text}"}),
        ("head", {"prompt": {"query_format": "q: {}", "special_token": "</s>"}, "trainable": 1}),
        ("qwen3", {"reranker": "llm-query-likelihood", "loss": "next-token"}),
        ("t5", {"reranker": "llm-query-likelihood", "prompt": "upr", "loss": "lce"}),
    ],
)
def test_what_is_trained_is_what_the_reranker_scores(
    base: str, changed: dict[str, Any], bases: dict[str, str], tmp_path: Path
) -> None:
    trained, in_training, served = trained_and_scored(bases[base], tmp_path / "run", **changed)
    assert served == pytest.approx(in_training, abs=1e-4)
    recorded = json.loads((trained.model / "retrieve_rerank.json").read_text())
    assert recorded["template"] == changed.get("template", "{title} {text}")


FEW_NAMES = {
    "names": ["1", "0", "Yes", "No"],
    "answers": ["1", "0", "Yes", "No"],
    "first_token": True,
    "document": "{name}) {document}",
    "messages": ["Question: {query}\n{documents}\nAnswer:"],
}
LONG = Group(QUERY, tuple(replace(t, text=80 * (t.text + " ")) for t in GROUPS[0].texts[:3]))
"""More than any of the networks reads."""


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        ("llama", {"reranker": "llm-pairwise"}),
        ("t5", {"reranker": "llm-pairwise", "loss": "next-token"}),
        ("qwen3", {"reranker": "llm-listwise", "loss": {"ranknet": 1, "next-token": 1}}),
        ("qwen3", {"reranker": "llm-listwise", "loss": "lce", "max_tokens": 700}),
        ("llama", {"reranker": "llm-listwise", "loss": "ranknet", "prompt": FEW_NAMES}),
    ],
)
def test_answers_that_were_trained_are_as_likely_when_they_are_asked_for(
    base: str, changed: dict[str, Any], bases: dict[str, str], tmp_path: Path
) -> None:
    settings = replace(QUICK, **changed)
    opened: list[Network[Any]] = []

    def opens(*args: Any, **given: Any) -> Network[Any]:
        opened.append(open_network(*args, **given))
        return opened[-1]

    trained = train(
        GROUPS,
        base=bases[base],
        output=tmp_path / "run",
        settings=settings,
        evaluator=ordered,
        opens=opens,
    )
    loaded = load(trained)
    with torch.no_grad():
        scores = opened[0].forward([opened[0].read(LONG)]).scores[0].tolist()
    texts = [text.text for text in LONG.texts]
    # the first of the questions that are asked in training, and all names of a list
    shown = texts if settings.reranker == "llm-listwise" else texts[:2]
    told = loaded.model.next_token_logits(
        [loaded.prompt.render(QUERY, shown)], loaded.prompt.answers[: len(shown)]
    ).values[0]
    if settings.reranker == "llm-pairwise":
        assert told[0] - told[1] == pytest.approx(scores[0], abs=1e-4)
    else:
        assert told == pytest.approx(scores, abs=1e-4)


def ordered(scorer: Scorer) -> float:
    assert sorted(scorer.score(QUERY, DOCUMENTS)) == [-5.0, -4.0, -3.0, -2.0, -1.0, 0.0]
    return 1.0


@pytest.mark.parametrize("first_token", [True, False])
def test_as_much_is_read_in_training_as_when_a_list_is_asked_for(
    first_token: bool, bases: dict[str, str]
) -> None:
    """Where the answer is written, there is room for it; else all of the network's positions."""
    prompt = "first" if first_token else "rank-vicuna"
    settings = replace(QUICK, reranker="llm-listwise", prompt=prompt, group_size=4)
    objective = choose_objective("next-token", GROUPS, reranker="llm-listwise")
    network = open_network(bases["qwen3"], settings, objective)
    [sample] = network.read(LONG)
    assert len(sample.whole) <= 2048
    asked: list[int] = []

    class Told(TorchLanguageModel):
        def _encode(self, *args: Any, **given: Any) -> Any:
            encoded = super()._encode(*args, **given)
            asked.extend(encoded[0].ids)
            return encoded

    scorer: Any = network.scorer()
    scorer._comparer.model.__class__ = Told
    scorer.score(LONG.query, [text.text for text in LONG.texts])
    assert asked == sample.prompt


def test_lists_are_learnt_from_ranks_and_grades_and_a_teacher() -> None:
    def learnt(labels: Sequence[float | None], loss: str | None = None) -> int:
        texts = tuple(
            GroupText(f"t{n}", label, teacher_score=float(n)) for n, label in enumerate(labels)
        )
        groups = [Group("q", texts)]
        objective = choose_objective(loss, groups, reranker="llm-listwise")
        usable = choose_groups(groups, objective).groups
        drawn = Steps(
            usable,
            steps=40,
            batch_size=1,
            group_size=3,
            contrastive=objective.contrastive,
            seed=1,
        )
        return len({text.text for step in range(40) for text in drawn[step][0].texts})

    assert learnt([-1.0, -2.0, -3.0, -4.0]) == 4
    assert learnt([3.0, 2.0, 1.0, 0.0]) == 4
    assert learnt([None, None, None, None], "permutation") == 4
    with pytest.raises(InputError, match="1 × group of equal labels"):
        learnt([1.0, 1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="1 × group of equal labels"):
        learnt([0.0, 0.0], "bce")


def test_of_a_larger_group_the_texts_that_are_compared_differ_and_come_in_any_order(
    bases: dict[str, str], tmp_path: Path
) -> None:
    """One text below five that are alike, and one above as many."""
    for odd in (0.0, 2.0):
        texts = tuple(GroupText(text, odd if n == 3 else 1.0) for n, text in enumerate(DOCUMENTS))
        group = Group(QUERY, texts)
        drawn = Steps([group], steps=30, batch_size=1, group_size=3, contrastive=False, seed=1)
        labels = [[text.label for text in drawn[step][0].texts] for step in range(30)]
        assert {each.index(odd) for each in labels} == {0, 1, 2}
    settings = replace(QUICK, reranker="llm-pairwise", group_size=2)
    trained = train([group], base=bases["llama"], output=tmp_path, settings=settings)
    assert trained.steps == 4


def test_every_head_of_a_layerwise_reranker_learns_and_is_served(tmp_path: Path) -> None:
    base = make_layerwise(tmp_path / "base")
    looks: list[list[float]] = []

    def look(scorer: Scorer) -> float:
        looks.append(scorer.score(QUERY, DOCUMENTS))
        return float(len(looks))

    settings = replace(QUICK, loss="lce", max_steps=3, evaluate_every=3)
    trained = train(
        GROUPS, base=str(base), output=tmp_path / "run", settings=settings, evaluator=look
    )
    assert trained.reranker == "llm-scalar-head"
    objective = choose_objective("lce", GROUPS)
    again = open_network(str(trained.model), settings, objective)
    with torch.no_grad():
        outcome = again.forward([again.read(GROUPS[0])])
    for layers, in_training in zip((2, 3, 4), [*outcome.lower, outcome.scores], strict=True):
        now, before = (
            ScalarHead(
                str(folder), prompt="bge-reranker-layerwise", layers=layers, device="cpu"
            ).score(QUERY, DOCUMENTS)
            for folder in (trained.model, base)
        )
        assert now == pytest.approx(in_training[0].tolist(), abs=1e-4)
        assert now != pytest.approx(before, abs=1e-3)
    assert now == pytest.approx(looks[-1], abs=1e-4)
    # Of lower heads: the labels, and the last one's shares, -> by hand with all scores equal.
    labels = torch.tensor([[1.0, 0.0, float("nan")]])
    scores, lower = torch.tensor([[math.log(3), 0.0, 9.0]]), torch.zeros(1, 3)
    counts = objective.counts(labels, None, {})
    found = objective.loss(scores, {}, labels, None, counts=counts, lower=[lower])
    assert found.item() == pytest.approx(math.log(4 / 3) + math.log(2) + math.log(2))
    # So do texts without a label that a teacher has scored.
    objective = choose_objective("kl", GROUPS)
    unlabelled, teacher = torch.full((1, 3), torch.nan), torch.tensor([[1.0, 0.0, float("nan")]])
    counts = objective.counts(unlabelled, teacher, {})
    for lower in (torch.zeros(1, 3), scores):
        both = objective.loss(scores, {}, unlabelled, teacher, counts=counts, lower=[lower])
        for each in (scores, lower):
            both -= objective.loss(each, {}, unlabelled, teacher, counts=counts)
        shares = torch.tensor([0.75, 0.25])
        wanted = -(shares * lower[0, :2].log_softmax(0)).sum()
        assert both.item() == pytest.approx(wanted.item(), abs=1e-6)


def test_a_list_is_learnt_by_heart(bases: dict[str, str], tmp_path: Path) -> None:
    """Permutation SFT on one group, until the model answers with names in brackets."""
    texts = ("wing flutter", "the cat")
    group = Group("wing", tuple(GroupText(t, float(2 - n)) for n, t in enumerate(texts)))
    settings = replace(
        QUICK,
        reranker="llm-listwise",
        prompt="rank-vicuna",
        learning_rate=1e-2,
        max_steps=30,
        evaluate_every=30,
    )
    trained = train([group], base=bases["llama"], output=tmp_path, settings=settings)
    assert trained.loss == "next-token"
    assert trained.curve[-1].loss is not None
    assert trained.curve[-1].loss < 0.5
    hits = [Hit(Document(t, t), 0.0, n + 1) for n, t in enumerate(reversed(texts))]
    result = load(trained).rerank("wing", hits)
    assert sorted(hit.document.id for hit in result.hits) == sorted(texts)
    assert not any("order no document" in note for note in result.notes)


@pytest.mark.parametrize("tokens", ["next-token", "whole-sequence"])
def test_rankinggpt_trains_in_two_stages(
    tokens: str, bases: dict[str, str], tmp_path: Path
) -> None:
    """Weakly supervised pairs first; then ranking, language, and how far it went from there."""
    pairs = [Group("wing flutter", (GroupText(DOCUMENTS[0], 1.0),)), *GROUPS]
    settings = replace(QUICK, reranker="llm-query-likelihood", learning_rate=5e-4)
    first = train(
        pairs,
        base=bases["llama"],
        output=tmp_path / "first",
        settings=replace(settings, loss="next-token"),
    )
    assert first.left_out == {}
    weights = {"rankinggpt": 1.0, tokens: 1.0, "difference": 1.0}
    second = train(
        GROUPS,
        base=str(first.model),
        output=tmp_path / "second",
        settings=replace(settings, loss=weights, trainable=1, max_steps=1, warmup=0),
    )
    # By hand, of the first step: the network is still the frozen one.
    objective = choose_objective(weights, GROUPS)
    network = open_network(str(first.model), replace(settings, loss=weights), objective)
    # Of groups of three texts: a positive and two others, whichever they are.
    read = [[network.read(group)[n] for n in (0, 1, 2)] for group in GROUPS]
    outcome = network.forward(read)
    assert outcome.tokens["difference"].mean().item() == pytest.approx(0, abs=1e-6)
    positive = read[0][0]
    ids = torch.tensor([positive.whole])
    with torch.no_grad():
        log_p = network.network(input_ids=ids).logits.log_softmax(-1)[0, :-1]
    log_p = log_p.gather(1, ids[0, 1:, None])[:, 0]
    query = log_p[-len(positive.answer) :]
    assert outcome.scores[0, 0].item() == pytest.approx(float(query.mean()), abs=1e-5)
    learnt = query if tokens == "next-token" else log_p
    assert outcome.tokens[tokens].sums[0].item() == pytest.approx(-float(learnt.sum()), abs=1e-3)
    before, after = (load_file(trained.model / "model.safetensors") for trained in (first, second))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("model.layers.1.", "model.norm.")) for name in changed)


@pytest.mark.parametrize("reranker", ["llm-yes-no", "llm-scalar-head"])
def test_lora_is_merged_into_what_is_saved(
    reranker: str, bases: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    _, in_training, served = trained_and_scored(
        bases["llama"],
        tmp_path / "run",
        reranker=reranker,
        trainable="lora",
        lora_targets=("q_proj", "v_proj"),
        gradient_checkpointing=True,
        learning_rate=2e-2,
        max_steps=8,
    )
    assert served == pytest.approx(in_training, abs=1e-4)


def test_a_layer_that_lora_names_must_be_there(bases: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("peft")
    settings = replace(QUICK, trainable="lora", lora_targets=("query",))
    message = "lora_targets names query, which no layer .* has; its linear layers: down_proj"
    with pytest.raises(ConfigError, match=message):
        train(GROUPS, base=bases["llama"], output=tmp_path, settings=settings)


def test_lora_goes_beside_the_layers_that_gpt_2_has_for_linear_ones(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = make_language_model(tmp_path / "gpt2", "gpt2", positions=512, std=0.1)
    settings = replace(QUICK, trainable="lora", lora_targets=("c_attn",), max_steps=1, warmup=0)
    trained = train(GROUPS, base=str(base), output=tmp_path / "run", settings=settings)
    before, after = (load_file(folder / "model.safetensors") for folder in (base, trained.model))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"transformer.h.{n}.attn.c_attn.weight" for n in (0, 1)}


def test_a_network_whose_logits_are_not_known_is_refused_before_it_is_trained(
    bases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = VocabularyHead._apply
    monkeypatch.setattr(VocabularyHead, "_apply", lambda *args: known(*args) * 1.5)
    for base in ("llama", "t5"):
        with pytest.raises(ModelError, match="changes its logits in a way not known here"):
            train(GROUPS, base=bases[base], output=tmp_path / "never", settings=QUICK)


def test_bad_input_is_refused_with_words(bases: dict[str, str], tmp_path: Path) -> None:
    def refuse(message: str, base: str = "llama", **changed: Any) -> None:
        with pytest.raises((ConfigError, InputError, ModelError), match=message):
            train(
                GROUPS,
                base=bases.get(base, base),
                output=tmp_path / "never",
                settings=replace(QUICK, **changed),
            )

    head = {"reranker": "llm-scalar-head"}
    marked = {"messages": ["query: {query}", "document: {document}", "<|relevance|>"]}
    refuse(
        r"'<\|relevance\|>', which the tokenizer of .* splits into several", **head, prompt=marked
    )
    refuse(r"'<\|im_start\|>', which the tokenizer", prompt="qwen3-reranker")
    refuse("ForSequenceClassification, which has a linear head", "head", reranker="llm-yes-no")
    refuse("is an encoder-decoder; a linear head is trained on decoders", "t5", **head)
    refuse("reranker 'llm-yesno' is no form .*; did you mean 'llm-yes-no'", reranker="llm-yesno")
    refuse("llm-scalar-head says no tokens to learn 'next-token' from", **head, loss="next-token")
    refuse("'lce' is no loss|lce is no loss", reranker="llm-pairwise", loss="lce")
    refuse("do not differ in their first token", reranker="llm-pairwise", prompt="prp")
    refuse("remine is for scores of single texts", reranker="llm-pairwise", remine=True)
    likelihood = {"reranker": "llm-query-likelihood"}
    refuse("of which next-token learns nothing", **likelihood, loss="next-token", remine=True)
    refuse("rankinggpt learns from the mean", **likelihood, prompt="upr", loss="rankinggpt")
    refuse("rankinggpt learns from the mean", loss={"rankinggpt": 1, "lce": 1})
    refuse("trainable is 9 layers; the network has 2", trainable=9)
    same = {"messages": ["{query} {document}"], "yes": "yes", "no": "yes"}
    refuse("begin with the same token", prompt=same)
    quantised = make_language_model(tmp_path / "quantised", "llama")
    for method, message in (
        ("gptq", r"is quantised \(gptq\); training starts"),
        ("gguf", "9 layers"),
    ):
        config = json.loads((quantised / "config.json").read_text())
        config["quantization_config"] = {"quant_method": method}
        (quantised / "config.json").write_text(json.dumps(config))
        refuse(message, str(quantised), trainable=9)  # which the second gets as far as
    vision = make_vision(tmp_path / "vision")
    refuse("is a network of the kind 'vit'; training takes", vision)


def make_vision(folder: Path) -> str:
    """Save a network that reads no text."""
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=16,
    )
    ViTModel(config).save_pretrained(folder)
    return str(folder)
