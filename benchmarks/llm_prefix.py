"""Time an LLM's yes-or-no scores of one query's documents against transformers, pair by pair.

    python benchmarks/llm_prefix.py

The model is made here, like Qwen3 and with random weights: how long it takes does not depend on
what it has learned. 100 documents of 120 tokens follow a prefix of 150 that they share; both
sides tokenise, in float32 on the CPU and in bfloat16 on a GPU. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from benchmarks.machine import describe, ratio, side_by_side
from retrieve_rerank.rerankers.llm.pair_prompts import YesNoPrompt
from retrieve_rerank.rerankers.llm.yes_no import YesNo

INSTRUCTION, QUERY, DOCUMENT, DOCUMENTS = 130, 20, 120, 100  # tokens, and how many
PEER = "transformers, all logits, as model cards do"
LEAN = "transformers, the last token's logits"
OURS = "ours"


def main() -> None:
    """Score the same documents by each, in turn; compare times and scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16, help="pairs in a batch of transformers")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chance = random.Random(0)
    words = [f"w{number}" for number in range(5000)]
    instruction, query, *texts = (
        " ".join(chance.choices(words, k=size))
        for size in (INSTRUCTION, QUERY, *[DOCUMENT] * DOCUMENTS)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = make_model(Path(name), words)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        prompt = YesNoPrompt(
            messages=[(None, "{instruction} {query} {document} answer :")],
            instruction=instruction,
            yes="yes",
            no="no",
        )
        scorer = YesNo(str(folder), prompt=prompt, device=device)
        peer = Peer(folder, device=device, batch=arguments.batch)
        pairs = [f"{instruction} {query} {text} answer :" for text in texts]
        contenders: dict[str, Callable[[], list[float]]] = {
            PEER: partial(peer.score, pairs, lean=False),
            LEAN: partial(peer.score, pairs, lean=True),
            OURS: partial(scorer.score, query, texts),
        }
        found: dict[str, list[float]] = {}
        keeping = {
            name: partial(lambda name, score: found.update({name: score()}), name, score)
            for name, score in contenders.items()
        }
        seconds = side_by_side(keeping, rounds=arguments.rounds)
    print(describe("torch", "transformers"))
    print(
        f"{peer.parameters / 1e6:.0f} million parameters, {device}, {arguments.threads} threads;"
        f" {DOCUMENTS} documents of {DOCUMENT} tokens, {INSTRUCTION + QUERY} shared before them;"
        f" batches of {arguments.batch} in transformers; {arguments.rounds} rounds\n"
    )
    print("| | ms for 100, median | each round | times as fast | largest difference |")
    print("|---|---|---|---|---|")
    for name, runs in seconds.items():
        apart = max(abs(a - b) for a, b in zip(found[name], found[LEAN], strict=True))
        rounds = ", ".join(f"{run * 1000:.0f}" for run in runs)
        print(
            f"| {name} | {statistics.median(runs) * 1000:.0f} | {rounds} "
            f"| {ratio(seconds, PEER, name):.2f} | {apart:.1e} |"
        )


class Peer:
    """The same model through transformers: left padding, one row for each pair."""

    def __init__(self, folder: Path, *, device: str, batch: int) -> None:
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
        self._model = model.to(device).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), padding_side="left")
        self._batch = batch
        self.parameters = sum(each.numel() for each in self._model.parameters())

    def score(self, pairs: list[str], *, lean: bool) -> list[float]:
        """Return log-odds of yes; `lean` computes the last token's logits only."""
        yes, no = self._tokenizer.convert_tokens_to_ids(["yes", "no"])
        scores: list[float] = []
        for start in range(0, len(pairs), self._batch):
            batch = pairs[start : start + self._batch]
            inputs = self._tokenizer(batch, padding=True, return_tensors="pt")
            inputs = inputs.to(self._model.device)
            with torch.inference_mode():
                keep = {"logits_to_keep": 1} if lean else {}
                logits = self._model(**inputs, **keep).logits[:, -1].float()
            scores += (logits[:, yes] - logits[:, no]).tolist()
        return scores


def make_model(folder: Path, words: list[str]) -> Path:
    """Save a random decoder of about 80 million parameters, each word one of its tokens."""
    vocabulary = ["<pad>", "<unk>", "yes", "no", "answer", ":", *words]
    tokenizer = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(vocabulary)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast: Any = PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=32000,
        hidden_size=640,
        intermediate_size=1920,
        num_hidden_layers=12,
        num_attention_heads=10,
        num_key_value_heads=5,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
