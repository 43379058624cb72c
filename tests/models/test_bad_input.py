"""Checkpoints and texts that other libraries stumble over."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'torch'")

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError, OutOfMemoryError, ScoreError
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.runtimes.batching import PACKED, TORCH_CPU, Batching, TokenBatch, Tokens
from retrieve_rerank.models.runtimes.engine import run_all
from retrieve_rerank.models.runtimes.torch import TorchBackend
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from tests.models.tiny import MAX_TOKENS, QUERY, TEXTS, make_model


class Small:
    """A backend with memory for so many tokens; says of each sequence how long it is."""

    description = "small"

    def __init__(self, tokens: int, *, batching: Batching = TORCH_CPU) -> None:
        self.tokens = tokens
        self.batching = batching
        self.seen: list[int] = []
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: TokenBatch) -> Vectors:
        assert sys.exception() is None, "an exception would hold the memory of the failed batch"
        self.shapes.append(batch.input_ids.shape)
        if batch.input_ids.size > self.tokens:
            raise OutOfMemoryError(f"{batch.input_ids.size} tokens")
        self.seen += batch.input_ids[:, 0].tolist()
        lengths: Vectors = batch.attention_mask.sum(axis=1, keepdims=True).astype(np.float32)
        return lengths


def sequences(lengths: Sequence[int]) -> list[Tokens]:
    return [Tokens([n] * length, [0] * length, False, length) for n, length in enumerate(lengths)]


def test_where_memory_runs_out_batches_halve_and_the_first_is_not_computed_twice() -> None:
    lengths = [9, 3, 10, 10, 2, 10, 8, 1]
    backend = Small(tokens=25)
    found = dict(run_all(backend, sequences(lengths), pad_id=0, budget=40))

    assert [int(found[n][0]) for n in range(len(lengths))] == lengths
    assert sorted(backend.seen) == list(range(len(lengths))), "each sequence once"
    assert backend.shapes == [(4, 10), (1, 10), (2, 10), (2, 9), (3, 3)], "as few as have room"
    assert all(rows * tokens <= 20 for rows, tokens in backend.shapes[1:])


def test_without_padding_batches_halve_too_whatever_the_lengths_in_them() -> None:
    lengths = [20, 1, 1, 1, 1]  # half of their number times the longest is more than all of them
    backend = Small(tokens=25, batching=PACKED)
    found = dict(run_all(backend, sequences(lengths), pad_id=0, budget=40))

    assert [int(found[n][0]) for n in range(len(lengths))] == lengths
    assert sorted(backend.seen) == list(range(len(lengths)))


def test_a_sequence_that_alone_does_not_fit_is_an_error() -> None:
    with pytest.raises(OutOfMemoryError, match="30 tokens"):
        dict(run_all(Small(tokens=25), sequences([30, 3]), pad_id=0, budget=100))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemoryError),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            ),
            OutOfMemoryError,
        ),
        (RuntimeError("shapes do not match"), ModelError),
    ],
)
def test_torchs_errors_are_told_apart(
    tmp_path: Path, error: Exception, expected: type[Exception]
) -> None:
    backend = TorchBackend(
        make_model(tmp_path, "bert", labels=1), head="scores", device="cpu", threads=None
    )

    def fail(module: object, inputs: object) -> None:
        raise error

    backend._network.register_forward_pre_hook(fail)
    batch = TokenBatch(*[np.ones((2, 3), dtype=np.int64)] * 3)
    with pytest.raises(ModelError) as raised:
        backend.run(batch)
    assert type(raised.value) is expected


def test_a_decoder_without_a_pad_token_scores_as_alone(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "qwen3", labels=1)
    for file, key in (("config.json", "pad_token_id"), ("tokenizer_config.json", "pad_token")):
        settings = json.loads((folder / file).read_text())
        settings[key] = None
        (folder / file).write_text(json.dumps(settings))
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    expected = []
    with torch.no_grad():
        for text in TEXTS:
            inputs = tokenizer(QUERY, text, truncation=True, return_tensors="pt")
            expected.append(model(input_ids=inputs["input_ids"]).logits[0, 0].item())

    found = CrossEncoder(str(folder), device="cpu").score(QUERY, TEXTS)
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_model_that_gives_no_number_is_an_error(tmp_path: Path, value: str) -> None:
    folder = make_model(tmp_path, "bert", labels=1)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.constant_(model.classifier.bias, float(value))
    model.save_pretrained(folder)

    with pytest.raises(ScoreError, match=f"gave text 1 of 2 the score {value}; expected a number"):
        load_pair_model(str(folder), device="cpu").score([(QUERY, "a"), (QUERY, "b")])


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "qwen3"])
def test_a_query_without_end_leaves_room_for_the_document(tmp_path: Path, family: str) -> None:
    reranker = CrossEncoder(str(make_model(tmp_path, family, labels=1)), device="cpu")
    query = "wing flutter was measured at supersonic speeds " * MAX_TOKENS
    scores = reranker.score(query, [TEXTS[0], TEXTS[1], TEXTS[3], ""])

    assert len({round(score, 6) for score in scores}) == 4, "each document is read"


def test_one_document_empty_ones_and_equal_ones_are_scored_each(tmp_path: Path) -> None:
    reranker = CrossEncoder(str(make_model(tmp_path, "bert", labels=1)), device="cpu")
    empty, cat, again, blank = reranker.score(QUERY, ["", TEXTS[0], TEXTS[0], " "])

    assert cat == pytest.approx(again, abs=1e-6)
    assert empty == pytest.approx(blank, abs=1e-6)
    assert reranker.score(QUERY, [TEXTS[0]]) == pytest.approx([cat], abs=1e-5)
