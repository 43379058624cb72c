"""Sparse encoders give what sentence-transformers, or BGE-M3's own computation, gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'torch'")

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM

from retrieve_rerank.errors import InputError, ModelError
from retrieve_rerank.models.checkpoints.description import describe
from retrieve_rerank.models.encoders import sparse
from retrieve_rerank.models.encoders.sparse import load_sparse_encoder
from retrieve_rerank.models.loading import load_encoder
from tests.models.tiny import MAX_TOKENS, QUERY, TEXTS, make_model, make_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

Weights = Sequence[dict[int, float]]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("masked"), "bert", masked=True)


def save(folder: Path, *modules: Any, **settings: Any) -> SparseEncoder:
    SparseEncoder(modules=list(modules), device="cpu", **settings).save_pretrained(str(folder))
    return SparseEncoder(str(folder), device="cpu")


def network(masked: Path) -> Any:
    return Transformer(str(masked), transformer_task="fill-mask")


def agree(found: Weights, expected: Any) -> bool:
    """Whether weights are those of a tensor (n, words), to 1e-5, the same ones above 0."""
    rows = expected.to_dense().numpy()
    assert len(found) == len(rows)
    for weights, row in zip(found, rows, strict=True):
        assert sorted(weights) == np.flatnonzero(row).tolist()
        assert weights == pytest.approx({i: row[i] for i in weights}, abs=1e-5)
    return True


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_splade_is_that_of_sentence_transformers(
    tmp_path: Path, masked: Path, pooling: Any, activation: Any
) -> None:
    splade = SpladePooling(pooling_strategy=pooling, activation_function=activation)
    original = save(tmp_path, network(masked), splade, prompts={"query": "which cat: "})
    encoder = load_sparse_encoder(str(tmp_path), device="cpu")

    assert agree(encoder.encode_documents(TEXTS), original.encode_document(TEXTS))
    assert agree(encoder.encode_queries([QUERY]), original.encode_query([QUERY]))
    assert encoder.encode_queries([QUERY]) != encoder.encode_documents([QUERY])


def test_the_module_of_older_versions_is_read(tmp_path: Path, masked: Path) -> None:
    original = save(tmp_path, network(masked), SpladePooling())
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[0]["type"] = "sentence_transformers.sparse_encoder.models.MLMTransformer"
    modules[1]["type"] = "sentence_transformers.sparse_encoder.models.SpladePooling"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    encoder = load_sparse_encoder(str(tmp_path), device="cpu")

    assert agree(encoder.encode_documents(TEXTS), original.encode_document(TEXTS))


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_a_plain_masked_language_model_is_splade(tmp_path: Path, family: str) -> None:
    folder = make_model(tmp_path, family, masked=True)
    original = SparseEncoder(str(folder), device="cpu")
    encoder = load_sparse_encoder(str(folder), device="cpu")

    assert agree(encoder.encode_documents(TEXTS), original.encode_document(TEXTS))


def test_only_the_largest_weights_are_kept_where_that_is_recorded(
    tmp_path: Path, masked: Path
) -> None:
    original = save(tmp_path, network(masked), SpladePooling(), max_active_dims=5)
    encoder = load_sparse_encoder(str(tmp_path), device="cpu")
    found = encoder.encode_documents(TEXTS)

    assert {len(weights) for weights in found} == {5}
    assert agree(found, original.encode_document(TEXTS))


@pytest.mark.parametrize("at_the_root", [True, False])
def test_queries_without_a_network_have_static_weights(
    tmp_path: Path, masked: Path, at_the_root: bool
) -> None:
    tokenizer = make_tokenizer("bert")
    torch.manual_seed(3)
    static = SparseStaticEmbedding(tokenizer, weight=torch.rand(len(tokenizer)), frozen=True)
    router = Router.for_query_document([static], [network(masked), SpladePooling()])
    original = save(tmp_path, router)
    if at_the_root:  # as older versions save it, and OpenSearch's models are
        config = json.loads((tmp_path / "router_config.json").read_text())
        first = config["structure"]["document"][0]
        config["types"][""] = config["types"].pop(first)
        config["structure"]["document"][0] = ""
        (tmp_path / "router_config.json").write_text(json.dumps(config))
        for file in (tmp_path / first).iterdir():
            shutil.move(file, tmp_path / file.name)
    encoder = load_sparse_encoder(str(tmp_path), device="cpu")
    queries = [*TEXTS, "the cat the cat", "the " * 2 * MAX_TOKENS + "wing"]

    assert agree(encoder.encode_queries(queries), original.encode_query(queries))
    assert agree(encoder.encode_documents(TEXTS), original.encode_document(TEXTS))


def test_other_routes_are_refused(tmp_path: Path, masked: Path) -> None:
    router = Router.for_query_document(
        [network(masked), SpladePooling()], [network(masked), SpladePooling()]
    )
    save(tmp_path, router)

    with pytest.raises(ModelError, match="sends queries through"):
        load_sparse_encoder(str(tmp_path), device="cpu")


def make_bge_m3(folder: Path) -> tuple[Path, torch.nn.Linear]:
    make_model(folder / "checkpoint", "xlm-roberta")
    transformer = Transformer(str(folder / "checkpoint"))
    SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="cls")], device="cpu"
    ).save_pretrained(str(folder / "model"))
    torch.manual_seed(11)
    linear = torch.nn.Linear(32, 1).requires_grad_(False)
    save_file(linear.state_dict(), folder / "model" / "sparse_linear.safetensors")
    return folder / "model", linear


def test_bge_m3_weighs_the_texts_own_tokens(tmp_path: Path) -> None:
    folder, linear = make_bge_m3(tmp_path)
    original = SentenceTransformer(str(folder), device="cpu")
    encoder = load_sparse_encoder(str(folder), device="cpu")
    texts = [*TEXTS, "the cat the cat the cat"]
    expected = []
    for text in texts:  # as FlagEmbedding computes it
        ids = original.preprocess([text])["input_ids"][0].tolist()
        states = original.encode(text, output_value="token_embeddings", convert_to_tensor=True)
        weights: dict[int, float] = {}
        for token, weight in zip(ids, torch.relu(linear(states))[:, 0].tolist(), strict=True):
            if weight > 0 and token not in original.tokenizer.all_special_ids:
                weights[token] = max(weights.get(token, 0.0), weight)
        expected.append(weights)

    found = encoder.encode_documents(texts)
    assert any(expected)
    assert found == [pytest.approx(weights, abs=1e-5) for weights in expected]
    assert encoder.encode_queries(texts) == found
    assert load_encoder(str(folder), device="cpu").dimension == 32  # dense as well


def test_an_exported_bge_m3_keeps_its_weights_for_words(tmp_path: Path) -> None:
    export = pytest.importorskip("retrieve_rerank.models.export.exporting", reason="needs 'export'")
    folder, _ = make_bge_m3(tmp_path)
    expected = load_sparse_encoder(str(folder), device="cpu").encode_documents(TEXTS)
    export.export(str(folder), tmp_path / "exported", precision="fp32")
    encoder = load_sparse_encoder(str(tmp_path / "exported"), device="cpu")

    assert "OpenVINO" in repr(encoder)
    assert encoder.encode_documents(TEXTS) == [pytest.approx(each, abs=1e-5) for each in expected]


def test_the_fingerprint_follows_the_weights_for_words(tmp_path: Path) -> None:
    folder, linear = make_bge_m3(tmp_path)
    dense = load_encoder(str(folder), device="cpu").fingerprint
    before = load_sparse_encoder(str(folder), device="cpu").fingerprint
    torch.nn.init.ones_(linear.weight)
    save_file(linear.state_dict(), folder / "sparse_linear.safetensors")

    assert load_sparse_encoder(str(folder), device="cpu").fingerprint != before
    assert load_encoder(str(folder), device="cpu").fingerprint == dense


def test_a_bge_m3_with_a_pickle_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder, _ = make_bge_m3(tmp_path)
    (folder / "sparse_linear.safetensors").rename(folder / "sparse_linear.pt")

    with pytest.raises(ModelError, match=r"a pickle, which is not read: .*weights_only=True"):
        load_sparse_encoder(str(folder), device="cpu")


def test_weights_do_not_depend_on_the_batch(masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_sparse_encoder(str(masked), device="cpu")
    together = encoder.encode_documents(TEXTS)
    monkeypatch.setattr(sparse, "_NUMBERS", 1)

    assert encoder.encode_documents(TEXTS) == [pytest.approx(each, abs=1e-5) for each in together]
    assert encoder.encode_documents([]) == []


def test_tokens_are_named_as_in_the_vocabulary(masked: Path) -> None:
    encoder = load_sparse_encoder(str(masked), device="cpu")
    vocabulary = Tokenizer.from_file(str(masked / "tokenizer.json")).get_vocab()
    names = ["cat", "[SEP]", "the"]

    assert encoder.tokens([vocabulary[name] for name in names]) == names
    with pytest.raises(InputError, match="the vocabulary has no token 99999"):
        encoder.tokens([99999])


def test_an_exported_network_is_run_and_one_without_its_head_refused(
    tmp_path: Path, masked: Path
) -> None:
    pytest.importorskip("onnxscript", reason="needs 'export'")
    folder = tmp_path / "model"
    shutil.copytree(masked, folder)
    _to_onnx(folder)
    expected = load_sparse_encoder(str(masked), device="cpu").encode_documents(TEXTS)
    encoder = load_sparse_encoder(str(folder), device="cpu")

    assert "OpenVINO" in repr(encoder)
    assert encoder.encode_documents(TEXTS) == [pytest.approx(e, abs=1e-5) for e in expected]

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 999}))
    with pytest.raises(ModelError, match="numbers for each token; expected 999"):
        load_sparse_encoder(str(folder), device="cpu").encode_documents(TEXTS)


def _to_onnx(folder: Path) -> None:
    model: Any = AutoModelForMaskedLM.from_pretrained(str(folder)).eval()
    model.config.return_dict = False
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        model,
        tuple(torch.ones((2, 8), dtype=torch.int64) for _ in range(3)),
        str(folder / "model.onnx"),
        input_names=["input_ids", "attention_mask", "token_type_ids"],
        output_names=["logits"],
        dynamic_shapes=(shape, shape, shape),
        dynamo=True,
    )


def test_what_is_no_sparse_encoder_is_refused_and_the_other_way_round(
    tmp_path: Path, masked: Path, cross_encoder: Path
) -> None:
    save(tmp_path, network(masked), SpladePooling())

    with pytest.raises(ModelError, match="is no sparse encoder; expected SPLADE"):
        load_sparse_encoder("all-MiniLM-L6-v2")
    with pytest.raises(ModelError, match="is no sparse encoder"):
        load_sparse_encoder(str(cross_encoder), device="cpu")
    with pytest.raises(ModelError, match="is a sparse encoder, for --sparse-encoder"):
        load_encoder(str(tmp_path), device="cpu")


def test_a_sparse_encoder_is_described(tmp_path: Path, masked: Path) -> None:
    save(tmp_path, network(masked), SpladePooling(activation_function="log1p_relu"))
    described = describe(str(tmp_path), device="cpu")

    assert described.kind == "sparse encoder"
    assert described.dimension == len(make_tokenizer("bert"))
    assert described.pooling == ("log1p_relu", "max")
