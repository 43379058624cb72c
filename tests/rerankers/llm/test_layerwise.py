"""Models that can be read before their last layer, against MiniCPM's formulas written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.rerankers.llm.pair_prompts import PairPrompt, load_prompt
from retrieve_rerank.rerankers.llm.published_prompts import SCALAR
from retrieve_rerank.rerankers.llm.scalar_head import ScalarHead
from tests.models.tiny_language_models import DOCUMENTS, QUERY, make_language_model
from tests.models.tiny_layerwise import make_layerwise, read_weights, save_weights, score_by_hand

TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the"
    " query by providing a prediction of either 'Yes' or 'No'."
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_layerwise(tmp_path_factory.mktemp("layerwise"))


def scorer(folder: Path, layers: int | None = None) -> ScalarHead:
    return ScalarHead(str(folder), prompt="bge-reranker-layerwise", layers=layers, device="cpu")


def expected(folder: Path, layers: int) -> list[float]:
    """As FlagEmbedding puts the pair together, one at a time."""
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(str(folder))
    scores = []
    for text in DOCUMENTS:
        ids = [tokenizer.bos_token_id]
        for piece in (f"A: {QUERY}", "\n", f"B: {text}", "\n", TASK):
            ids += tokenizer(piece, add_special_tokens=False)["input_ids"]
        scores.append(score_by_hand(folder, ids, layers))
    return scores


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_scores_are_those_of_the_authors_formulas(folder: Path, layers: int) -> None:
    found = scorer(folder, layers)
    scores = found.score(QUERY, DOCUMENTS)
    assert scores == pytest.approx(expected(folder, layers), abs=1e-4)
    assert [found.score(QUERY, [text])[0] for text in DOCUMENTS] == pytest.approx(scores, abs=1e-5)
    assert found.score(QUERY, DOCUMENTS[::-1]) == pytest.approx(scores[::-1], abs=1e-5)


def test_each_number_of_layers_has_its_own_scores_and_fingerprint(folder: Path) -> None:
    scorers = [scorer(folder, layers) for layers in (2, 3, 4)]
    scores = [found.score(QUERY, DOCUMENTS)[0] for found in scorers]
    assert min(abs(a - b) for a in scores for b in scores if a is not b) > 0.01
    assert len({found.fingerprint for found in scorers}) == 3
    assert scorer(folder).fingerprint == scorers[2].fingerprint


def test_28_layers_are_read_unless_told_otherwise_as_in_the_model_card(tmp_path: Path) -> None:
    deep = make_layerwise(tmp_path, start=8, layers=30)
    assert scorer(deep).score(QUERY, DOCUMENTS) == pytest.approx(expected(deep, 28), abs=1e-4)


def test_one_head_may_serve_all_layers(tmp_path: Path) -> None:
    shared = make_layerwise(tmp_path, head_multi=False)
    for layers in (2, 4):
        scores = scorer(shared, layers).score(QUERY, DOCUMENTS)
        assert scores == pytest.approx(expected(shared, layers), abs=1e-4)


def test_the_layers_above_are_not_even_read(folder: Path, tmp_path: Path) -> None:
    cut = make_layerwise(tmp_path)
    weights = read_weights(cut)
    above = ("model.layers.3.", "lm_head.0.", "lm_head.2.")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(above)}
    assert len(weights) - len(kept) == 11
    save_weights(cut, kept)
    scores = scorer(folder, 3).score(QUERY, DOCUMENTS)
    assert scorer(cut, 3).score(QUERY, DOCUMENTS) == pytest.approx(scores, abs=1e-6)
    with pytest.raises(ModelError, match=r"lacks weights of its network: 10, as model\.layers\.3"):
        scorer(cut, 4)


def test_loading_warns_of_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    scorer(folder, 2)
    assert caplog.messages == []


@pytest.mark.parametrize("layers", [0, 1, 5])
def test_layers_without_a_head_are_an_error_that_tells_which_have_one(
    folder: Path, layers: int
) -> None:
    with pytest.raises(ConfigError, match=f"can be read after 2 to 4 layers; layers is {layers}"):
        scorer(folder, layers)


def test_models_without_early_exits_take_no_layers(tmp_path: Path) -> None:
    plain = make_language_model(tmp_path, "llama", labels=1)
    with pytest.raises(ConfigError, match="has no heads below its last layer"):
        ScalarHead(str(plain), prompt="rankllama", layers=1, device="cpu")


@pytest.mark.parametrize(
    "setting", [{"head_type": "complex"}, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}]
)
def test_what_would_be_computed_otherwise_is_refused(
    tmp_path: Path, setting: dict[str, Any]
) -> None:
    other = make_layerwise(tmp_path, **setting)
    with pytest.raises(ModelError, match="expected 'simple' and none"):
        scorer(other)


def test_a_configuration_that_lacks_something_is_named(tmp_path: Path) -> None:
    lacking = make_layerwise(tmp_path)
    given = json.loads((lacking / "config.json").read_text())
    del given["scale_emb"]
    (lacking / "config.json").write_text(json.dumps(given))
    with pytest.raises(ModelError, match=r"config\.json of .* lacks 'scale_emb'"):
        scorer(lacking)


def test_the_published_model_has_its_prompt_without_asking() -> None:
    name = "BAAI/bge-reranker-v2-minicpm-layerwise"
    prompt = load_prompt(None, SCALAR, PairPrompt, model=name)
    assert prompt is SCALAR["bge-reranker-layerwise"]
