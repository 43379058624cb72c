"""Without padding a network gives what it gives with padding."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'torch'")

import torch
from transformers import AutoModelForSequenceClassification

from retrieve_rerank.base import Vectors
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.runtimes.batching import TokenBatch, Tokens, pad
from retrieve_rerank.models.runtimes.packed import FAMILIES, pack
from tests.models.tiny import make_model

LENGTHS = (1, 7, 3, 12, 12)
WORDS = 40


def load(folder: Path, family: str, **changes: Any) -> Any:
    make_model(folder, family, labels=2)
    return AutoModelForSequenceClassification.from_pretrained(str(folder), **changes).eval()


def batch(pad_id: int, seed: int = 0) -> TokenBatch:
    chance = np.random.default_rng(seed)
    rows = [chance.integers(5, WORDS, n).tolist() for n in LENGTHS]
    rows[3][4] = pad_id  # as a text may contain the token's name
    return pad([Tokens(row, [0] * len(row), False, len(row)) for row in rows], pad_id=pad_id)


def padded(network: Any, inputs: TokenBatch) -> Vectors:
    with torch.inference_mode():
        found: Vectors = network(
            input_ids=torch.from_numpy(inputs.input_ids),
            attention_mask=torch.from_numpy(inputs.attention_mask),
        ).logits.numpy()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_scores_are_the_padded_ones(tmp_path: Path, family: str) -> None:
    network = load(tmp_path, family)
    inputs = batch(network.config.pad_token_id)
    expected = padded(network, inputs)

    packed = pack(network)
    assert packed
    with torch.inference_mode():
        assert packed.logits(inputs).numpy() == pytest.approx(expected, abs=1e-5)


def test_the_last_layer_goes_on_with_first_tokens_only(tmp_path: Path) -> None:
    network = load(tmp_path, "bert")
    packed = pack(network)
    assert packed
    shapes = []
    for layer in network.base_model.encoder.layer:
        layer.intermediate.register_forward_hook(
            lambda module, inputs, output: shapes.append(tuple(inputs[0].shape))
        )
    with torch.inference_mode():
        packed.logits(batch(0))
    assert shapes == [(1, sum(LENGTHS), 32), (1, sum(LENGTHS), 32), (len(LENGTHS), 1, 32)]


def test_a_network_that_attends_otherwise_stays_padded(tmp_path: Path) -> None:
    network = load(tmp_path, "bert", is_decoder=True)  # no token sees those after it
    inputs = batch(network.config.pad_token_id)
    expected = padded(network, inputs)

    assert pack(network) is None
    assert padded(network, inputs) == pytest.approx(expected, abs=1e-6)


def test_threads_share_a_packed_network(tmp_path: Path) -> None:
    network = load(tmp_path, "xlm-roberta")
    batches = [batch(1, seed) for seed in range(16)]
    expected = [padded(network, each) for each in batches]
    packed = pack(network)
    assert packed
    found: dict[int, Vectors] = {}

    def work(number: int) -> None:
        with torch.inference_mode():
            for _ in range(5):
                found[number] = packed.logits(batches[number]).numpy()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(16):
        assert found[number] == pytest.approx(expected[number], abs=1e-5)


@pytest.mark.parametrize(("family", "form"), [("bert", ", packed"), ("modernbert", "")])
def test_the_backend_says_how_it_runs(tmp_path: Path, family: str, form: str) -> None:
    make_model(tmp_path, family, labels=1)
    backend = load_pair_model(str(tmp_path), device="cpu").backend
    assert backend.description == f"torch on cpu, float32{form}"
