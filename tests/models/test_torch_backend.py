"""Models from safetensors give what sentence-transformers gives from the same folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'torch'")

from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.cross_encoder import CrossEncoder
from sentence_transformers.sentence_transformer import modules

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.loading import load_encoder, load_pair_model
from tests.models.tiny import FAMILIES, QUERY, TEXTS, make_model


def save_encoder(folder: Path, family: str, pooling: str) -> Path:
    checkpoint = make_model(folder / "checkpoint", family)
    transformer = modules.Transformer(str(checkpoint))
    model = SentenceTransformer(
        modules=[transformer, modules.Pooling(32, pooling_mode=pooling), modules.Normalize()],
        prompts={"query": "query: ", "passage": "passage: "},
        device="cpu",
    )
    model.save_pretrained(str(folder / "encoder"))
    return folder / "encoder"


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("bert", "mean"),
        ("roberta", "cls"),
        ("xlm-roberta", "mean"),
        ("modernbert", "cls"),
        ("qwen3", "lasttoken"),
    ],
)
def test_an_encoder_equals_sentence_transformers(tmp_path: Path, family: str, pooling: str) -> None:
    folder = save_encoder(tmp_path, family, pooling)
    original = SentenceTransformer(str(folder), device="cpu")
    encoder = load_encoder(str(folder), device="cpu")

    assert encoder.embed_documents(TEXTS) == pytest.approx(
        original.encode(TEXTS, prompt_name="passage"), abs=1e-4
    )
    assert encoder.embed_queries([QUERY]) == pytest.approx(original.encode_query([QUERY]), abs=1e-4)
    for text, encoding in zip(TEXTS, encoder.encode_documents(TEXTS), strict=True):
        states = original.encode(text, prompt_name="passage", output_value="token_embeddings")
        rows = np.asarray(states) / np.linalg.norm(states, axis=1, keepdims=True)
        assert encoding.tokens == pytest.approx(rows, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_model_equals_the_cross_encoder(tmp_path: Path, family: str) -> None:
    folder = make_model(tmp_path, family, labels=1)
    original = CrossEncoder(str(folder), device="cpu")
    model = load_pair_model(str(folder), device="cpu")
    pairs = [(QUERY, text) for text in TEXTS]

    expected = original.predict(pairs, activation_fn=lambda logits: logits)
    assert model.score(pairs).scores == pytest.approx(expected, abs=1e-4)


def test_a_checkpoint_that_lacks_its_classifier_is_refused(tmp_path: Path) -> None:
    """It would be given random weights, and score."""
    folder = make_model(tmp_path, "bert", labels=1)
    weights = load_file(folder / "model.safetensors")
    kept = {name: each for name, each in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks .* 2, as classifier\.bias; .* to score pairs"):
        load_pair_model(str(folder), device="cpu")


def test_an_encoder_needs_no_pooler(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "bert")
    weights = load_file(folder / "model.safetensors")
    kept = {name: each for name, each in weights.items() if "pooler" not in name}
    assert len(kept) < len(weights)
    expected = load_encoder(str(folder), device="cpu").embed_documents(TEXTS)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_encoder(str(folder), device="cpu").embed_documents(TEXTS) == pytest.approx(expected)


@pytest.mark.parametrize("size", [0, 4, 1000])
def test_weights_cut_short_are_a_clear_error(tmp_path: Path, size: int) -> None:
    folder = make_model(tmp_path, "bert", labels=1)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:size])
    with pytest.raises(ModelError, match="cut short"):
        load_pair_model(str(folder), device="cpu")
