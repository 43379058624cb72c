"""Check and time on a CUDA machine what the other benchmarks measure on CPUs, in eight minutes.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --device cpu --tiny     # the same code on tiny networks, in seconds

What the device computes is checked against float32 on the CPU: scores of cross-encoders, gradients
without padding, an LLM's scores behind a shared prefix, and the loss curve of a training. Then the
same is timed beside sentence-transformers and transformers. Networks have known shapes and random
weights; nothing is downloaded. Where there is no GPU it says so, and ends with exit code 0; the
exit code is 1 where a check fails. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from sentence_transformers import CrossEncoder as Peers

from benchmarks.gradients import Passes
from benchmarks.llm_prefix import Peer
from benchmarks.machine import describe, side_by_side
from benchmarks.random_networks import (
    BGE_BASE,
    MINILM,
    QWEN3,
    TINY,
    TINY_DECODER,
    Shape,
    make_decoder,
    make_encoder,
    make_texts,
    stored_in,
)
from benchmarks.trainings import Clock, train_ours, train_theirs
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.loading import load_tokenizer
from retrieve_rerank.models.runtimes.batching import pad
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.llm.pair_prompts import YesNoPrompt
from retrieve_rerank.rerankers.llm.yes_no import YesNo
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.trainers import TrainerSettings

Vector: TypeAlias = np.ndarray[Any, np.dtype[Any]]

NO_MORE_AFTER_S = 400
"""No part is begun later, so that all ends within eight minutes."""

TOLERANCES = {"float32": 1e-3, "bfloat16": 0.15}
"""How far from the CPU's float32 scores may be, in deviations of these, gradients, in their norm,
and losses, of themselves: float32 sums in another order, and bfloat16 has 8 bits, whose rounding
each layer adds to."""

GROUPS = 8
"""Groups a step, and texts a group, in training."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    encoders: Sequence[Shape]
    decoder: Shape
    pairs: int
    words: tuple[int, int]
    """Of a passage, the fewest and the most."""
    prefix: int
    documents: int
    steps: int
    rounds: int


WHOLE = Size((MINILM, BGE_BASE), QWEN3, 1000, (20, 200), 150, 100, 24, 3)
SMALL = Size((TINY,), TINY_DECODER, 12, (3, 12), 15, 6, 3, 1)


@dataclass(slots=True)
class Bench:
    """What is run on, and what was found."""

    device: str
    size: Size
    folder: Path
    begun: float = field(default_factory=time.monotonic)
    failed: list[str] = field(default_factory=list)

    @property
    def floats(self) -> Mapping[str, torch.dtype]:
        """Types of floats to compute in: on the CPU, where bfloat16 is emulated, only one."""
        both = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        return both if self.device == "cuda" else {"float32": torch.float32}

    def check(self, what: str, difference: float, floats: str, *, beside: float = 0.0) -> None:
        """Print how far from the CPU's a result is, and keep what is too far.

        Twice as far as a peer in the same floats, which is so far `beside`, is near enough.
        """
        tolerance = max(TOLERANCES[floats], 2 * beside)
        holds = difference <= tolerance  # not so for NaN
        print(f"- {'right' if holds else '**WRONG**'}: {what}, {difference:.1e} apart", end="")
        print(f" (at most {tolerance:g})")
        if not holds:
            self.failed.append(what)

    def time(self, count: int, contenders: Mapping[str, Callable[[], object]], of: str) -> None:
        """Time the contenders in turn; what each returns is on the CPU, and so done."""
        print_rates(count, side_by_side(contenders, rounds=self.size.rounds), of)


def main() -> int:
    """Run each part while there is time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and few texts")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("skipped: torch finds no CUDA device here (--device cpu --tiny tries the script out)")
        return 0
    print(describe("torch", "transformers", "sentence-transformers"))
    if arguments.device == "cuda":
        print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments.device, SMALL if arguments.tiny else WHOLE, Path(folder))
        first, *others = bench.size.encoders
        parts = [(scoring, first), (passes, first), (language_model, bench.size.decoder)]
        parts += [(training, first)]
        parts += [(part, other) for other in others for part in (scoring, passes)]
        for part, shape in parts:
            print(f"\n## {shape.name}: {part.__doc__}\n", flush=True)
            if time.monotonic() - bench.begun > NO_MORE_AFTER_S:
                print("left out: too little time is left of eight minutes")
                continue
            part(bench, shape)
    print(f"\n{time.monotonic() - bench.begun:.0f} s; checks that failed: {bench.failed or 'none'}")
    return 1 if bench.failed else 0


def scoring(bench: Bench, shape: Shape) -> None:
    """Scores of a cross-encoder."""
    query, *texts = make_texts(bench.size.pairs + 1, words=bench.size.words)
    some, pairs = texts[:64], [(query, text) for text in texts]
    folder = make_encoder(bench.folder / shape.name, shape)
    expected = np.array(CrossEncoder(str(folder), device="cpu").score(query, some))
    contenders: dict[str, Callable[[], object]] = {}
    for name, dtype in bench.floats.items():
        stored = stored_in(folder, dtype)
        ours = CrossEncoder(str(stored), device=bench.device)
        theirs = Peers(str(stored), device=bench.device, model_kwargs={"dtype": dtype})
        found = theirs.predict([(query, text) for text in some], activation_fn=torch.nn.Identity())
        difference, beside = apart(ours.score(query, some), expected), apart(found, expected)
        bench.check(f"scores, {name}", difference, name, beside=beside)
        contenders[f"ours, {name}"] = partial(ours.score, query, texts)
        contenders[f"CrossEncoder.predict, {name}"] = partial(theirs.predict, pairs, batch_size=64)
    bench.time(len(texts), contenders, "pairs")


def passes(bench: Bench, shape: Shape) -> None:
    """Forward and backward passes of a cross-encoder."""
    folder = make_encoder(bench.folder / shape.name, shape)
    query, *texts = make_texts(min(bench.size.pairs, 128) + 1, words=bench.size.words, seed=1)
    tokenizer = load_tokenizer(read_folder(folder))
    sequences = tokenizer.encode_pairs([(query, text) for text in texts])
    batch, some = (pad(each, pad_id=tokenizer.pad_id) for each in (sequences, sequences[:16]))
    expected = Passes(folder, "cpu", torch.float32, packed=False).gradient(some)
    contenders: dict[str, Callable[[], object]] = {}
    for name, dtype in bench.floats.items():
        beside = 0.0
        forms = ["padded"] + ["without padding"] * (bench.device == "cpu")
        for form in forms:
            network = Passes(folder, bench.device, dtype, packed=form != "padded")
            if form != "padded" and not network.packed:
                bench.failed.append(f"{shape.name} cannot be run without padding, {name}")
                continue
            far = float((network.gradient(some) - expected).norm() / expected.norm())
            bench.check(f"gradient {form}, {name}", far, name, beside=beside)
            beside = far
            contenders[f"{form}, {name}"] = partial(network.run, batch)
    bench.time(len(texts), dict(reversed(contenders.items())), "pairs, forward and backward")


def language_model(bench: Bench, shape: Shape) -> None:
    """Yes or no of a language model, after a prefix that all prompts share."""
    size = bench.size
    instruction, query = make_texts(2, words=(size.prefix, size.prefix), seed=2)
    texts = make_texts(size.documents, words=(size.words[1] // 2, size.words[1]), seed=3)
    prompts = [f"{instruction} {query} {text} answer :" for text in texts]
    folder = make_decoder(bench.folder / shape.name, shape)
    prompt = YesNoPrompt(
        messages=[(None, "{instruction} {query} {document} answer :")],
        instruction=instruction,
        yes="yes",
        no="no",
    )
    some = texts[:6]
    expected = np.array(YesNo(str(folder), prompt=prompt, device="cpu").score(query, some))
    ours = YesNo(str(folder), prompt=prompt, device=bench.device)
    peer = Peer(folder, device=bench.device, batch=16)
    name = "bfloat16" if bench.device == "cuda" else "float32"  # as both of them choose
    beside = apart(peer.score(prompts[:6], lean=True), expected)
    bench.check(f"scores, {name}", apart(ours.score(query, some), expected), name, beside=beside)
    contenders: dict[str, Callable[[], object]] = {
        f"ours, the prefix read once, {name}": partial(ours.score, query, texts),
        f"transformers, the last token's logits, {name}": partial(peer.score, prompts, lean=True),
    }
    bench.time(len(texts), contenders, "documents")


def training(bench: Bench, shape: Shape) -> None:
    """Training of a cross-encoder."""
    base = str(make_encoder(bench.folder / shape.name, shape, dropout=0.0))
    count = bench.size.steps * GROUPS
    texts = make_texts(count * GROUPS, words=bench.size.words, seed=4)
    groups = [
        Group(
            query, tuple(GroupText(text, float(n == 0)) for n, text in enumerate(texts[i::count]))
        )
        for i, query in enumerate(make_texts(count, words=(4, 12), seed=5))
    ]
    settings = TrainerSettings(
        max_steps=bench.size.steps, batch_size=GROUPS, group_size=GROUPS, bf16=False, device="cpu"
    )
    few = replace(settings, max_steps=3, batch_size=2, learning_rate=1e-5)
    curves = [
        np.array(train_ours(groups[:6], replace(few, device=on), base=base, clock=Clock()))
        for on in ("cpu", bench.device)
    ]
    far = float(np.abs(curves[1] / curves[0] - 1).max())
    bench.check("losses of three steps, float32", far, "float32")
    for name in bench.floats:
        timed = replace(settings, device=bench.device, bf16=name == "bfloat16")
        contenders: dict[str, Callable[..., object]] = {
            "ours": train_ours,
            "CrossEncoderTrainer": train_theirs,
        }
        seconds: dict[str, list[float]] = {f"{who}, {name}": [] for who in contenders}
        for _ in range(bench.size.rounds):
            for who, train in contenders.items():
                clock = Clock()
                train(groups, timed, base=base, clock=clock)
                seconds[f"{who}, {name}"].append(clock.seconds)
        print_rates((bench.size.steps - 1) * GROUPS**2, seconds, "pairs trained")


def apart(found: Sequence[float] | Vector, expected: Vector) -> float:
    """Return the largest difference, in deviations of what is expected."""
    return float(np.abs(np.array(found) - expected).max() / expected.std())


def print_rates(count: int, seconds: Mapping[str, Sequence[float]], of: str) -> None:
    """Print how many things a second each contender did, and how many times the last one's."""
    print(
        f"\n| {of} | a second, median | least … most | times the last row's |\n|---|---:|---|---:|"
    )
    peer = statistics.median(list(seconds.values())[-1])
    for name, runs in seconds.items():
        median = statistics.median(runs)
        print(
            f"| {name} | {count / median:,.1f} | {count / max(runs):,.1f} …"
            f" {count / min(runs):,.1f} | {peer / median:.2f} |"
        )


if __name__ == "__main__":
    sys.exit(main())
