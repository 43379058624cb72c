"""Exported models give what the originals give; what strays too far is not written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("nncf", reason="needs the extra 'export'")
pytest.importorskip("sentence_transformers", reason="needs the extra 'export'")

import openvino as ov
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from retrieve_rerank.errors import FidelityError, InputError
from retrieve_rerank.models.export import exporting
from retrieve_rerank.models.export.exporting import export
from retrieve_rerank.models.export.quantization import RECIPES
from retrieve_rerank.models.loading import Checkpoint, load_encoder, load_pair_model
from retrieve_rerank.training.trainers import TrainerSettings
from retrieve_rerank.training.trainers.base import load_base
from tests.models.tiny import FAMILIES, QUERY, TEXTS, make_model


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Four queries with the same documents."""
    file = tmp_path / "samples.jsonl"
    lines = [{"query": query, "documents": TEXTS} for query in (QUERY, "cat", "model", "reads")]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_pair_models_of_every_family_survive_export(
    tmp_path: Path, samples: Path, family: str
) -> None:
    folder = make_model(tmp_path / family, family, labels=1)
    original = load_pair_model(str(folder), device="cpu")
    export(str(folder), tmp_path / "out", precision="fp32", calibrate=samples)
    exported = load_pair_model(str(tmp_path / "out"))
    pairs = [(QUERY, text) for text in [*TEXTS, *(text[:40] for text in TEXTS)]]

    assert exported.backend.description.startswith("OpenVINO")
    assert exported.score(pairs).scores == pytest.approx(original.score(pairs).scores, abs=1e-4)


def test_training_goes_on_from_what_was_exported(tmp_path: Path, samples: Path) -> None:
    folder = make_model(tmp_path / "original", "bert", labels=1)
    weights = load_file(folder / "model.safetensors")
    for number, weight in enumerate(weights.values()):  # not the 0 and 1 of a new network
        weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    export(str(folder), tmp_path / "out", precision="fp32", calibrate=samples)

    base = load_base(str(tmp_path / "out"), TrainerSettings())
    assert not base.new_head
    for name, weight in base.network.state_dict().items():
        assert torch.allclose(weight, weights[name], atol=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "pooling"), [("bert", "mean"), ("modernbert", "cls"), ("qwen3", "lasttoken")]
)
def test_encoders_survive_export_with_all_their_settings(
    tmp_path: Path, samples: Path, family: str, pooling: str
) -> None:
    transformer = Transformer(str(make_model(tmp_path / family, family)))
    model = SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode=pooling), Normalize()],
        prompts={"query": "query: ", "document": ""},
        device="cpu",
    )
    model.save_pretrained(str(tmp_path / "encoder"))
    export(str(tmp_path / "encoder"), tmp_path / "out", precision="fp32", calibrate=samples)
    encoder = load_encoder(str(tmp_path / "out"))

    assert encoder.embed_documents(TEXTS) == pytest.approx(model.encode_document(TEXTS), abs=1e-4)
    assert encoder.embed_queries([QUERY]) == pytest.approx(model.encode_query([QUERY]), abs=1e-4)


def test_int8_is_small_and_says_how_close_it_is(
    cross_encoder: Path, tmp_path: Path, samples: Path
) -> None:
    written = export(str(cross_encoder), tmp_path / "out", calibrate=samples, force=True)
    recorded = json.loads((tmp_path / "out" / "retrieve_rerank.json").read_text())["export"]

    assert written.recipe in RECIPES
    assert written.fidelity.documents == 12
    assert recorded["precision"] == "int8"
    assert "computed in int8" in recorded["checked"]
    assert recorded["fidelity"]["top_10_overlap"] == written.fidelity.top_10_overlap
    assert not (tmp_path / "out" / "model.safetensors").exists()
    original = (cross_encoder / "model.safetensors").stat().st_size
    assert (tmp_path / "out" / "openvino" / "openvino_model.bin").stat().st_size < original / 2
    pairs = [(QUERY, text) for text in TEXTS]
    assert load_pair_model(str(tmp_path / "out")).score(pairs).scores == pytest.approx(
        load_pair_model(str(cross_encoder), device="cpu").score(pairs).scores, abs=0.1
    )


def test_what_strays_too_far_is_not_written(
    cross_encoder: Path, tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reversing(checkpoint: Checkpoint) -> ov.Model:
        network = convert(checkpoint)  # with every logit's sign turned
        result = network.outputs[0].get_node()
        negated = ov.opset13.negative(result.input_value(0))
        result.input(0).replace_source_output(negated.output(0))
        return network

    convert = exporting._network
    monkeypatch.setattr(exporting, "_network", reversing)
    out = tmp_path / "out"
    with pytest.raises(FidelityError, match=r"strays too far: .* tau -1.000 \(at least 0.8\)"):
        export(str(cross_encoder), out, precision="fp32", calibrate=samples)
    assert sorted(tmp_path.iterdir()) == [samples]

    assert export(str(cross_encoder), out, precision="fp32", calibrate=samples, force=True)
    assert out.is_dir()


def test_an_existing_folder_is_left_alone(exported: Path, cross_encoder: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        export(str(cross_encoder), exported)


def test_an_export_is_not_exported_again(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is an export already"):
        export(str(exported), tmp_path / "out")


def test_an_unknown_precision_names_the_known_ones(cross_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown precision 'int4'; known: int8, bf16, fp32"):
        export(str(cross_encoder), tmp_path / "out", precision="int4")


def test_bf16_halves_the_file(cross_encoder: Path, exported: Path, tmp_path: Path) -> None:
    written = export(str(cross_encoder), tmp_path / "out", precision="bf16")
    full = sum(file.stat().st_size for file in (exported / "openvino").glob("*.bin"))
    half = sum(file.stat().st_size for file in (tmp_path / "out" / "openvino").glob("*.bin"))

    assert half < full * 0.6
    assert written.fidelity.acceptable
