from __future__ import annotations

import re
from pathlib import Path

import pytest

from retrieve_rerank.errors import ConfigError, ModelError, ModelNotFoundError
from retrieve_rerank.models.causal.checkpoints import find_language_model
from retrieve_rerank.models.checkpoints.network_files import (
    choose_network,
    missing_network,
    wants_gpu,
)
from retrieve_rerank.models.checkpoints.resolving import ALIASES, prompts_of, resolve
from retrieve_rerank.models.loading import BUNDLED_RERANKER, DEFAULT_ENCODER, find_checkpoint


@pytest.mark.parametrize("name", [DEFAULT_ENCODER, BUNDLED_RERANKER])
def test_the_bundled_models_need_no_network(name: str) -> None:
    assert (resolve(name) / "config.json").is_file()


def test_a_folder_is_found_by_its_path(tmp_path: Path) -> None:
    assert resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["nonsense", "./absent", "/absent/folder", "a/b/c", "", "a/"])
def test_what_is_no_model_says_what_was_expected(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="expected a folder, a hub id such as"):
        resolve(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tei:http://u:PASSWORD@h",
            r"^tei:http://\*\*\*@h is run by a service: nothing to load or inspect is",
        ),
        ("cohere:rerank-v3.5", "^cohere:rerank-v3.5 is run by a service"),
        ("openai:text-embedding-3-small", "^openai:text-embedding-3-small is run by a service"),
        (
            "teii:http://u:PASSWORD@h",
            r"^no model 'teii:http://\*\*\*@h'; expected a folder, a hub id",
        ),
        ("tei:u:PASSWORD@h/x", r"^tei:\*\*\*@h/x is run by a service"),
    ],
)
def test_what_a_service_runs_is_no_folder_and_its_password_is_not_shown(
    name: str, message: str
) -> None:
    with pytest.raises(ModelNotFoundError, match=message) as caught:
        resolve(name)
    assert "PASSWORD" not in str(caught.value)


def test_gguf_says_how_it_is_served_and_made_to_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "tiny.Q4_1.gguf"
    file.write_bytes(b"GGUF")
    for name in (str(file), str(tmp_path)):
        with pytest.raises(ModelError, match=r"is GGUF, .* openai:MODEL or ollama:MODEL; or make"):
            find_language_model(name)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    for find in (find_language_model, find_checkpoint):
        with pytest.raises(ModelError, match="is GGUF"):
            find(str(tmp_path), device="cpu")


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "a" * 5000])
def test_a_path_that_cannot_be_is_no_model(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no model"):
        resolve(name)


def test_aliases_are_hub_ids_and_short() -> None:
    for alias, model in ALIASES.items():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repository) or alias == BUNDLED_RERANKER
        assert "/" not in alias
        assert model.kind in ("encoder", "cross-encoder", "late interaction")


def test_prompts_are_known_by_alias_and_by_hub_id() -> None:
    assert prompts_of("multilingual-e5-small")["document"] == "passage: "
    assert prompts_of("intfloat/multilingual-e5-small")["query"] == "query: "
    assert prompts_of("bge-m3") == {}
    assert prompts_of("somebody/else") == {}


OPENVINO = ["openvino/openvino_model.xml", "openvino/openvino_model.bin"]
ONNX = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_O3.onnx"]
SAFETENSORS = ["model.safetensors"]


@pytest.mark.parametrize(
    ("files", "on_gpu", "main"),
    [
        (OPENVINO + ONNX + SAFETENSORS, False, "openvino/openvino_model.xml"),
        (ONNX + SAFETENSORS, False, "onnx/model.onnx"),
        (SAFETENSORS, False, "model.safetensors"),
        (["model.safetensors.index.json"], False, "model.safetensors.index.json"),
        (OPENVINO + ONNX + SAFETENSORS, True, "model.safetensors"),
    ],
)
def test_the_fastest_form_is_chosen(files: list[str], on_gpu: bool, main: str) -> None:
    network = choose_network(files, on_gpu=on_gpu)
    assert network is not None
    assert network.main == main


def test_no_network_means_an_error_that_says_what_is_there() -> None:
    assert choose_network(["pytorch_model.bin"], on_gpu=False) is None
    assert choose_network(OPENVINO, on_gpu=True) is None
    assert "pickles" in str(missing_network(["pytorch_model.bin"], where="x", on_gpu=False))
    assert "use device 'cpu'" in str(missing_network(OPENVINO, where="x", on_gpu=True))
    assert "holds no network" in str(missing_network(["config.json"], where="x", on_gpu=False))


def test_an_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown device 'tpu'; known: auto, cpu, cuda"):
        wants_gpu("tpu")
    assert wants_gpu("cuda:1")
    assert not wants_gpu("cpu")
