"""RAG-Retrieval's configurations: both generations, and what its README says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from retrieve_rerank.cli import main
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.rerankers.llm.published_prompts import rag_retrieval
from retrieve_rerank.rerankers.llm.scalar_head import ScalarHead
from retrieve_rerank.training.rag_retrieval import is_rag_retrieval, rag_retrieval_recipe
from retrieve_rerank.training.recipe import Recipe, own_recipe
from tests.models.tiny import make_model
from tests.models.tiny_language_models import make_language_model

BEFORE = """
model_name_or_path: "./base"
model_type: "bert_encoder"
num_labels: 1
train_dataset: "../data/pairs.jsonl"
val_dataset: "../data/pairs.jsonl"
max_label: 2
min_label: 0
max_len: 64
query_format: "{}"
document_format: "{}"
output_dir: "./output/example"
save_on_epoch_end: 1
num_max_checkpoints: 5
loss_type: "point_ce"
epochs: 3
lr: 5e-5
batch_size: 2
seed: 7
warmup_proportion: 0.1
gradient_accumulation_steps: 2
mixed_precision: fp16
log_interval: 10
log_with: "a-tracker-that-is-nowhere"
"""
SINCE = """
model_name_or_path: BAAI/bge-reranker-v2-m3
model_type: bert_encoder
num_labels: 2
train_dataset: data/groups.jsonl
train_dataset_type: grouped
train_group_size: 3
train_label_key: gpt
val_dataset: None
shuffle_rate: 0.0
max_len: 512
loss_type: pairwise_ranknet
epoch: 1
lr: 1e-5
batch_size: 4
stable_proportion: 0.5
warmup_proportion: 0.1
mixed_precision: None
log_with: None
"""
PAIRS = [
    {"query": "wing", "pos": ["a wing", "wings"], "pos_scores": [2, 1], "neg": ["a cat"]},
    {"query": "cat", "pos": ["a cat"], "neg": ["the mat", "a wing"]},
]
GROUPS = [
    {"query": f"q{n}", "hits": [{"content": f"t{n} {k}", "gpt": -k} for k in range(1, 5)]}
    for n in range(4)
]


@pytest.fixture
def folder(home: Path) -> Path:
    """Files beside the configuration's folder, as in that project."""
    for name, rows in (("pairs", PAIRS), ("groups", GROUPS)):
        path = home / "data" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "config").mkdir()
    return home / "config"


def recipe(folder: Path, text: str, **changes: Any) -> Recipe:
    chosen = {**yaml.safe_load(text), **changes}
    assert is_rag_retrieval(chosen)
    return rag_retrieval_recipe(chosen, folder / "training_bert.yaml")


def test_the_generation_before_trains_pairs_with_labels_from_0_to_1(folder: Path) -> None:
    read = recipe(folder, BEFORE)
    assert [[text.label for text in group.texts] for group in read.groups] == [
        [1.0], [0.5], [0.0], [1.0], [0.0], [0.0]
    ]  # fmt: skip
    assert [len(group.texts) for group in read.dev] == [3, 3]
    settings = read.settings
    assert (settings.loss, settings.learning_rate, settings.epochs) == ("point_ce", 5e-5, 3)
    assert (settings.batch_size, settings.evaluate_every, settings.max_tokens) == (4, 2, 64)
    assert (settings.bf16, settings.report_to, settings.seed) == (None, (), 7)
    told = " ".join(read.notes)
    assert "a step is 4 pairs" in told
    assert "a-tracker-that-is-nowhere: the package is not installed" in told
    assert "fp16 is taken as bf16" in told


def test_the_generation_since_trains_groups_by_its_own_names(folder: Path) -> None:
    read = recipe(folder, SINCE)
    assert all(len(group.texts) == 3 for group in read.groups)
    assert {text.label for group in read.groups for text in group.texts} == {-1, -2, -3, -4}
    assert (len(read.groups), read.dev, read.base) == (8, [], "BAAI/bge-reranker-v2-m3")
    settings = read.settings
    assert (settings.batch_size, settings.group_size, settings.epochs) == (4, 3, 1)
    assert (settings.stable, settings.warmup, settings.bf16) == (0.5, 0.1, False)
    assert settings.seed == 666  # theirs
    assert "num_labels 2: one score is trained" in " ".join(read.notes)


def test_an_encoder_is_trained_on_texts_in_the_format_that_is_saved_with_it(folder: Path) -> None:
    read = recipe(folder, BEFORE, document_format="passage: {}")
    assert read.settings.template == "passage: {title} {text}"
    for groups in (read.groups, read.dev):
        assert groups[0].texts[0].text == "passage: a wing"


def test_groups_that_cannot_be_resampled_are_told(folder: Path) -> None:
    rows = [{"query": "q", "hits": [{"content": "a", "gpt": 1}, {"content": "b", "gpt": 0}]}]
    rows.append({"query": "r", "hits": [{"content": f"c{n}", "gpt": 1} for n in range(3)]})
    file = folder.parent / "data" / "groups.jsonl"
    file.write_text(file.read_text() + "".join(json.dumps(row) + "\n" for row in rows))
    told = " ".join(recipe(folder, SINCE).notes)
    assert "left out 1 × group of fewer than 3 texts" in told
    assert "left out 1 × group of equal labels" in told
    with pytest.raises(ConfigError, match=r"6 × group of fewer than 8 texts.*train_group_size is"):
        recipe(folder, SINCE, train_group_size=8)


def test_a_decoder_is_trained_and_saved_with_its_formats(folder: Path) -> None:
    formats = {
        "query_format": "query: {}",
        "document_format": "document: {}",
        "seq": "\n",
        "special_token": "</s>",  # as its example has it, of which Qwen knows nothing
    }
    for family, noted in (("llama", False), ("qwen3", True)):
        base = make_language_model(folder / family, family, labels=1)
        chosen = {"model_name_or_path": str(base), "model_type": "llm_decoder", **formats}
        read = recipe(folder, SINCE, **chosen, mixed_precision="bf16")
        assert (read.settings.reranker, read.settings.prompt) == ("llm-scalar-head", formats)
        assert read.settings.bf16 is None  # where the processor has it
        assert read.groups[0].texts[0].text.startswith("t0")  # the prompt has the format
        told = "'</s>', which the tokenizer of" in read.notes[-1]
        assert told == noted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_propotion": 0.1}, "did you mean 'warmup_proportion'"),
        ({"loss_type": "listwise_ce"}, "needs train_dataset_type: grouped"),
        ({"loss_type": "point_cee"}, "did you mean 'point_ce'"),
        ({"model_type": "colbert"}, "model_type must be one of bert_encoder, llm_decoder"),
        ({"batch_size": 0}, "batch_size must be a whole number, 1 or above; got 0"),
        ({"train_dataset": "nowhere.jsonl"}, "there is no file or folder nowhere.jsonl"),
        ({"query_format": "query: {}"}, "query_format must be '{}' for a bert_encoder"),
        ({"max_label": 1}, "label out of range"),
        ({"stable_proportion": 0.95}, "1 at most together"),
        ({"max_label": "most"}, "max_label must be a number; got 'most'"),
        ({"max_len": "long"}, "max_len must be a whole number, 1 or above; got 'long'"),
        ({"train_dataset_type": "grouped", "train_group_size": 1}, "train_group_size must be .* 2"),
    ],
)
def test_what_cannot_be_says_why(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        recipe(folder, BEFORE, **changes)
    assert type(caught.value).__module__ == "retrieve_rerank.errors"


def test_numbers_may_be_texts_as_yaml_takes_1e_1_for_one(folder: Path) -> None:
    read = recipe(folder, BEFORE, max_label="2", shuffle_rate="1e-1", lr="1e-5", seed=0)
    assert read.groups[1].texts[0].label == 0.5
    assert read.settings.learning_rate == 1e-5


def test_lines_of_one_query_are_measured_together_wherever_they_stand(folder: Path) -> None:
    rows = [{"query": f"q{n % 2}", "content": f"t{n}", "label": int(n < 2)} for n in range(6)]
    (folder / "val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = recipe(folder, BEFORE, val_dataset="val.jsonl")
    assert [[text.label for text in group.texts] for group in read.dev] == [[0.5, 0, 0]] * 2
    own = {"data": "val.jsonl", "dev": "val.jsonl", "output": "o"}
    assert len(own_recipe(own, folder / "own.yaml").dev) == 2
    (folder / "val.jsonl").write_text(json.dumps(rows[0]) + "\n")
    alone = recipe(folder, BEFORE, val_dataset="val.jsonl")
    assert alone.dev == []
    assert "nothing is measured" in " ".join(alone.notes)


def test_what_this_machine_lacks_is_named(folder: Path) -> None:
    asked = {"data": "../data/pairs.jsonl", "output": "o", "report_to": "a-tracker"}
    with pytest.raises(ConfigError, match="report_to 'a-tracker': no such package"):
        own_recipe(asked, folder / "own.yaml")


def test_own_keys_have_their_nearest_too(folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        own_recipe({"data": "x", "output": "y", "learning_rte": 1}, folder / "own.yaml")


def test_own_paths_are_beside_the_file_and_a_folders_dev_split_is_held_out(folder: Path) -> None:
    beir = folder / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text('{"_id": "d", "text": "wings lift"}\n')
    (beir / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "to learn"}\n{"_id": "q2", "text": "held out"}\n'
    )
    (beir / "qrels" / "train.tsv").write_text("q1\td\t1\n")
    (beir / "qrels" / "dev.tsv").write_text("q2\td\t1\n")
    make_model(folder / "first" / "model", "bert")
    asked = {"data": "beir", "dev": "beir", "output": "second"}
    read = own_recipe({**asked, "base": "first/model"}, folder / "own.yaml")
    assert [group.query for group in read.groups] == ["to learn"]
    assert [group.query for group in read.dev] == ["held out"]
    assert (read.base, read.output) == (str(folder / "first/model"), folder / "second")
    named = own_recipe({**asked, "base": "MiniLM-L6-reranker"}, folder / "own.yaml")
    assert named.base == "MiniLM-L6-reranker"


def test_texts_are_laid_out_by_the_template_that_is_recorded(folder: Path) -> None:
    passage = {"docid": "d", "title": "Flight", "text": "wings lift"}
    line = {"query": "wing", "positive_passages": [passage], "negative_passages": []}
    (folder / "titled.jsonl").write_text(json.dumps(line) + "\n")
    base = make_model(folder / "base", "bert")
    (base / "retrieve_rerank.json").write_text('{"template": "{text} ({title})"}')
    asked = {"data": "titled.jsonl", "dev": "titled.jsonl", "output": "o", "base": "base"}
    for chosen, laid_out in (({}, "wings lift (Flight)"), ({"template": "{title}"}, "Flight")):
        read = own_recipe({**asked, **chosen}, folder / "own.yaml")
        assert read.groups[0].texts[0].text == read.dev[0].texts[0].text == laid_out
        assert read.notes == []


def test_where_texts_are_whole_the_usual_template_is_recorded_which_is_said(folder: Path) -> None:
    base = make_model(folder / "base", "bert")
    asked = {"data": "../data/pairs.jsonl", "output": "o", "base": "base"}
    assert own_recipe(asked, folder / "own.yaml").notes == []
    (base / "retrieve_rerank.json").write_text('{"template": "{text} ({title})"}')
    read = own_recipe(asked, folder / "own.yaml")
    assert read.settings.template == "{title} {text}"
    assert "no titles and are read as they stand" in read.notes[0]
    said = own_recipe({**asked, "template": "{text}!"}, folder / "own.yaml")
    assert (said.settings.template, said.groups[0].texts[0].text) == ("{text}!", "a wing")
    assert "they should be laid out so" in said.notes[0]


def rr(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=input, catch_exceptions=False)


def test_a_file_of_theirs_trains_and_what_comes_of_it_loads(folder: Path) -> None:
    from sentence_transformers import CrossEncoder

    make_model(folder.parent / "base", "bert")
    config = folder / "training_bert.yaml"
    config.write_text(BEFORE.replace("epochs: 3", "epochs: 1"))
    result = rr("train", str(config), "--json")
    assert result.exit_code == 0, result.stderr
    trained = json.loads(result.stdout)
    assert (trained["steps"], trained["loss"]) == (2, "point_ce")
    assert Path(trained["model"]).resolve() == folder.parent / "output" / "example" / "model"
    pairs = [("wing", "a wing"), ("cat", "the mat")]
    theirs = CrossEncoder(trained["model"], device="cpu").predict(pairs)
    line = json.dumps({"query": "wing", "documents": ["a wing"]})
    ours = rr("rerank", "--model", trained["model"], input=line)
    [document] = json.loads(ours.stdout)["documents"]
    assert document["score"] == pytest.approx(float(theirs[0]), abs=1e-3)


def test_a_decoder_of_theirs_trains_and_is_scored_with_the_formats_it_was_trained_with(
    folder: Path,
) -> None:
    make_language_model(folder.parent / "qwen", "qwen3", labels=1)
    config = folder / "training_llm.yaml"
    chosen = {
        **yaml.safe_load(SINCE),
        "model_name_or_path": "./qwen",
        "model_type": "llm_decoder",
        "query_format": "query: {}",
        "document_format": "document: {}",
        "seq": "\n",
        "special_token": "</s>",
        "max_len": 96,
        "output_dir": "out",
    }
    config.write_text(yaml.safe_dump(chosen))
    result = rr("train", str(config), "--json")
    assert result.exit_code == 0, result.stderr
    trained = ScalarHead("out/model")
    given = rag_retrieval(
        query_format="query: {}", document_format="document: {}", special_token="</s>"
    )
    assert trained.score("q1", ["t1 1"]) == ScalarHead("out/model", prompt=given).score(
        "q1", ["t1 1"]
    )
    assert trained.score("q1", ["t1 1"]) != trained.score("q1", ["t2 3 and more"])
