"""Which parts of a network become int8, and that they are so only where the CPU is able."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nncf", reason="needs the extra 'export'")

import openvino as ov

from retrieve_rerank.models.export.conversion import convert
from retrieve_rerank.models.export.quantization import RECIPES, quantise
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.runtimes import openvino as openvino_backend
from retrieve_rerank.models.runtimes.batching import pad
from retrieve_rerank.models.runtimes.openvino import OpenVINOBackend, drop_activation_quantisers
from tests.models.tiny import QUERY, TEXTS


def quantisers(network: ov.Model) -> int:
    return sum(node.get_type_name() == "FakeQuantize" for node in network.get_ops())


def test_recipes_round_less_and_less(cross_encoder: Path, tmp_path: Path) -> None:
    model = load_pair_model(str(cross_encoder), device="cpu")
    sequences = model.tokenize([(QUERY, text) for text in TEXTS])
    network = convert(cross_encoder, pairs=True)
    first, second, third = (
        quantise(network.clone(), sequences, pad_id=model.pad_id, recipe=recipe)
        for recipe in RECIPES
    )

    # Of three layers two have one quantiser before query, key and value, and one before each
    # feed-forward layer; the last layer computes for every token only keys and values.
    assert quantisers(first) == 3 + 3 + 1
    assert quantisers(second) == 2 + 2 + 1
    assert quantisers(third) == 0
    files = [tmp_path / f"{number}.xml" for number in range(3)]
    for quantised, file in zip((first, second, third), files, strict=True):
        ov.save_model(quantised, file)

    batch = pad(sequences, pad_id=model.pad_id)
    exact = model.backend.run(batch)
    for file in files:
        backend = OpenVINOBackend(file, precision="int8", threads=None, emulate_int8=True)
        assert abs(backend.run(batch) - exact).max() < 0.1


def test_without_int8_instructions_activations_stay_in_floating_point(
    cross_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_pair_model(str(cross_encoder), device="cpu")
    sequences = model.tokenize([(QUERY, text) for text in TEXTS])
    network = convert(cross_encoder, pairs=True)
    quantised = quantise(network, sequences, pad_id=model.pad_id, recipe=RECIPES[0])
    ov.save_model(quantised, tmp_path / "model.xml")
    batch = pad(sequences, pad_id=model.pad_id)
    monkeypatch.setattr(openvino_backend, "cpu_flags", lambda: frozenset({"avx2"}))

    rounded = OpenVINOBackend(
        tmp_path / "model.xml", precision="int8", threads=None, emulate_int8=True
    )
    kept = OpenVINOBackend(tmp_path / "model.xml", precision="int8", threads=None)
    drop_activation_quantisers(quantised)
    ov.save_model(quantised, tmp_path / "weights-only.xml")
    weights_only = OpenVINOBackend(tmp_path / "weights-only.xml", precision="int8", threads=None)

    assert "computed in int8" in rounded.description
    assert "lacks int8 dot products" in kept.description
    assert quantisers(quantised) == 0
    # Which of the two is nearer to float32 is chance for so small a network, the more so where
    # floats are bf16: so it is held against the same weights that never had quantisers.
    assert abs(kept.run(batch) - weights_only.run(batch)).max() < 1e-6
    assert abs(kept.run(batch) - rounded.run(batch)).max() > 1e-6
