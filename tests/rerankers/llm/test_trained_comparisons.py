"""A tiny model, trained here to compare number words, really orders documents in every way.

It learns to write which of two or three items is the largest, and all of them in order; in
between it never sees a ranking of more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from torch.nn.functional import cross_entropy, softplus
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from retrieve_rerank import Document, rank
from retrieve_rerank.models.causal.torch_language_model import (
    TorchLanguageModel,
    load_language_model,
)
from retrieve_rerank.rerankers.llm.comparer import Comparer
from retrieve_rerank.rerankers.llm.comparison_prompts import ComparisonPrompt
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.setwise import Setwise

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
TOKENS = ["<pad>", "</s>", "<unk>", *"ABC", "[", "]", ">", ":", "largest", "best", "order", *WORDS]
NUMBER = {token: number for number, token in enumerate(TOKENS)}
A = NUMBER["A"]
STEPS, BATCH = 300, 32

BEST = ComparisonPrompt(
    source="this test",
    messages=[(None, "{query} : {documents} best :")],
    separator=" ",
    names=tuple("ABC"),
    answers=tuple("ABC"),
    first_token=True,
)
ORDER = ComparisonPrompt(
    source="this test",
    messages=[(None, "{query} : {documents} order :")],
    separator=" ",
    names=tuple("ABC"),
)
FIRST = ComparisonPrompt(
    source="this test",
    messages=[(None, "{query} : {documents} order : [")],
    separator=" ",
    names=tuple("ABC"),
    answers=tuple("ABC"),
    first_token=True,
)


def batch(count: int, task: str) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Token ids (batch, tokens), where the answers start, and the orders (batch, count)."""
    rows, orders = [], []
    for _ in range(BATCH):
        values = random.sample(range(len(WORDS)), count)
        order = sorted(range(count), key=lambda item: -values[item])
        asked = " ".join(f"[ {'ABC'[n]} ] {WORDS[value]}" for n, value in enumerate(values))
        listed = " > ".join(f"[ {'ABC'[item]} ]" for item in order)
        answer = listed if task == "order" else "ABC"[order[0]]
        rows.append(
            [NUMBER[token] for token in f"largest : {asked} {task} : {answer} </s>".split()]
        )
        orders.append(order)
    return torch.tensor(rows), 4 * count + 4, torch.tensor(orders)


def train(network: Any) -> None:
    """Teach it both answers, and FIRST's loss: of two names the better is the likelier first."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.006)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.006, total_steps=STEPS, pct_start=0.2
    )
    for _ in range(STEPS):
        loss: Any = 0.0
        for task in ("order", "best"):
            count = random.choice((2, 3))
            ids, start, order = batch(count, task)
            logits = network(input_ids=ids).logits
            loss = loss + cross_entropy(
                logits[:, start - 1 : -1].flatten(0, 1), ids[:, start:].flatten()
            )
            if task == "order":
                names = logits[:, start, A : A + count].gather(1, order)
                better, worse = torch.triu_indices(count, count, 1)
                loss = loss + softplus(names[:, worse] - names[:, better]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TorchLanguageModel:
    folder: Path = tmp_path_factory.mktemp("trained")
    tokenizer = Tokenizer(WordLevel(NUMBER, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast  # its constructor has no types
    fast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=len(TOKENS),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        intermediate_size=128,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network only waits for others
    random.seed(0)
    torch.manual_seed(0)
    kind: Any = AutoModelForCausalLM
    network = kind.from_config(config)
    train(network)
    network.save_pretrained(folder)
    torch.set_num_threads(threads)
    return load_language_model(str(folder), device="cpu", threads=1)


WAYS: dict[str, Callable[[TorchLanguageModel], Comparer]] = {
    "pairwise heap": lambda m: Pairwise(m, prompt=BEST, top_k=8),
    "pairwise bubble": lambda m: Pairwise(m, prompt=BEST, method="bubble", top_k=8),
    "pairwise wins": lambda m: Pairwise(m, prompt=BEST, method="wins"),
    "pairwise sym-sum": lambda m: Pairwise(m, prompt=BEST, method="sym-sum"),
    "pairwise written": lambda m: Pairwise(m, prompt=BEST, top_k=8, scoring="generation"),
    "setwise heap": lambda m: Setwise(m, prompt=BEST, top_k=8),
    "setwise written": lambda m: Setwise(m, prompt=BEST, top_k=8, scoring="generation"),
    "listwise": lambda m: Listwise(m, prompt=ORDER, window=3, step=1, passes=4),
    "first": lambda m: Listwise(m, prompt=FIRST, window=3, step=1, passes=4),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_trained_model_orders(
    trained: TorchLanguageModel, way: Callable[[TorchLanguageModel], Comparer]
) -> None:
    reranker = way(trained)
    shuffle = random.Random(1)
    right = total = 0
    for _ in range(6):
        values = shuffle.sample(range(len(WORDS)), 8)
        hits = rank((Document(str(value), WORDS[value]), 0.0) for value in values)
        reranked = reranker.rerank("largest", hits)
        found = [int(hit.document.id) for hit in reranked]
        assert sorted(found) == sorted(values)
        right += sum(found[i] > found[j] for i in range(8) for j in range(i + 1, 8))
        total += 28
    assert right / total > 0.9, "of the pairs are in order; by chance a half would be"
