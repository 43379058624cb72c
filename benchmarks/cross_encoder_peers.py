"""Time the same cross-encoder in the libraries that offer one, in turn.

    rr models export .cache/cross-encoder .cache/cross-encoder-fp32 --precision fp32
    python -m benchmarks.cross_encoder_peers ../shared/data/policyqa .cache/cross-encoder \\
        .cache/cross-encoder-fp32

`train_cross_encoder.py` makes the model. The other libraries are installed into environments of
their own in .cache/peers, each in a process that stays; FlashRank and fastembed, which read ONNX
files alone, get an export of the same weights. All read at most as many tokens as the model was
trained with, and are asked in turn for each query; the first round is not counted. Ours has kept
the tokens of the passages by then, as it does for its users: a hundredth of the time. A library
that cannot be installed or cannot read the model has the reason in its row. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from benchmarks.machine import describe, ratio
from retrieve_rerank import Template
from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.models.export.fidelity import compare
from retrieve_rerank.models.loading import find_checkpoint
from retrieve_rerank.models.runtimes.torch import input_names, load_network

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "peers" / "cross_encoders.py"
WORK = ROOT / ".cache" / "peers"
OURS = "retrieve-rerank"
REFERENCE = "sentence-transformers"
REQUIREMENTS = {
    "FlagEmbedding": "FlagEmbedding",
    "rerankers": "rerankers[transformers]",
    "FlashRank": "flashrank",
    "fastembed": "fastembed",
}
"""What pip installs into a library's environment; the others are in this one."""
ONNX_ONLY = ("FlashRank", "fastembed")
GIVES_SIGMOIDS = ("FlashRank",)
SETTLING_S = 0.2
"""Before each request: threads of onnxruntime spin for 50 ms after an answer."""


class Request(NamedTuple):
    """A query with the passages to score."""

    query: str
    texts: Sequence[str]


class UnavailableError(Exception):
    """A library cannot be installed, or cannot read the model; says why."""


class Contender:
    """A library with its model, in a process of its own; raises UnavailableError."""

    def __init__(self, library: str, model: Path, exits: ExitStack) -> None:
        python = environment(library)
        self._log = WORK / f"{library}-{model.name}.log"
        self._process = exits.enter_context(  # which ends it by closing its standard input
            subprocess.Popen(
                [python, str(SCRIPT), library, str(model)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=exits.enter_context(self._log.open("w", encoding="utf-8")),
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                text=True,
            )
        )
        self.versions: str = self._answer()["versions"]
        self.seconds: list[float] = []
        self.scores: list[Vectors] = []

    def run(self, request: Request) -> None:
        """Score the passages of a query."""
        time.sleep(SETTLING_S)
        print(json.dumps(request._asdict()), file=self._process.stdin, flush=True)
        answer = self._answer()
        self.seconds.append(answer["seconds"])
        self.scores.append(np.array(answer["scores"]))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UnavailableError(last_line(self._log.read_text(encoding="utf-8")))
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Start all, ask them in turn, and compare times and orders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("models", type=Path, nargs="+", help="the fp32 model, then exported ones")
    parser.add_argument("--queries", type=int, default=6, help="held-out queries")
    parser.add_argument("--passages", type=int, default=100, help="for each query")
    parser.add_argument("--rounds", type=int, default=3, help="over all queries, after one more")
    arguments = parser.parse_args()
    requests = list(islice(read_requests(arguments.data, arguments.passages), arguments.queries))
    original = arguments.models[0].resolve()
    onnx = write_onnx(original)
    chosen = [(f"{OURS}, {path.name}", OURS, path.resolve()) for path in arguments.models]
    for library in (REFERENCE, *REQUIREMENTS):
        chosen.append((library, library, onnx if library in ONNX_ONLY else original))

    contenders: dict[str, Contender] = {}
    failures: dict[str, str] = {}
    with ExitStack() as exits:
        for name, library, model in chosen:
            try:
                contenders[name] = Contender(library, model, exits)
            except UnavailableError as exc:
                if library not in REQUIREMENTS:
                    raise
                failures[name] = str(exc)
        for _ in range(arguments.rounds + 1):
            for request in requests:
                for contender in contenders.values():
                    contender.run(request)

    print(describe("openvino", "sentence-transformers", "torch"))
    print(
        f"{arguments.passages} passages for each of {len(requests)} queries, medians of "
        f"{arguments.rounds} rounds, {mean_tokens(original, requests):.0f} tokens a pair on "
        "average\n"
    )
    print_table(contenders, failures, queries=len(requests), passages=arguments.passages)


def print_table(
    contenders: Mapping[str, Contender],
    failures: Mapping[str, str],
    *,
    queries: int,
    passages: int,
) -> None:
    """Compare medians of the rounds after the first, and scores, which are the same in all."""
    print(
        f"| | versions | ms for {passages} | pairs a second | times as fast "
        "| top-10 overlap | Kendall's tau | largest difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    seconds = {
        name: [
            sum(contender.seconds[start : start + queries])
            for start in range(queries, len(contender.seconds), queries)
        ]
        for name, contender in contenders.items()
    }
    expected = contenders[REFERENCE].scores[:queries]
    fastest_first = sorted(seconds, key=lambda name: statistics.median(seconds[name]))
    for name in fastest_first:
        agreement = compare(expected, contenders[name].scores[:queries])
        a_request = statistics.median(seconds[name]) / queries
        difference = "sigmoids" if name in GIVES_SIGMOIDS else f"{agreement.max_difference:.1g}"
        print(
            f"| {name} | {contenders[name].versions} | {a_request * 1000:.0f} "
            f"| {passages / a_request:.1f} | {ratio(seconds, REFERENCE, name):.2f} "
            f"| {agreement.top_10_overlap:.3f} | {agreement.kendall_tau:.4f} | {difference} |"
        )
    for name, reason in failures.items():
        print(f"| {name} | not measured: {reason} | | | | | | |")


def read_requests(data: Path, passages: int) -> Iterator[Request]:
    """Draw held-out queries at random, of those for which BM25 finds enough passages."""
    queries, qrels = read_folder(data, split="test")
    connector = MemoryConnector(Corpus([str(data)]))
    for query in random.Random(0).sample(sorted(qrels), len(qrels)):
        hits = connector.search(queries[query], top_k=passages)
        if len(hits) == passages:
            yield Request(queries[query], [Template().render(hit.document) for hit in hits])


def mean_tokens(model: Path, requests: Sequence[Request]) -> float:
    """Count the tokens of a pair, after truncation."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    pairs = [(query, text) for query, texts in requests for text in texts]
    return statistics.fmean(sum(each.attention_mask) for each in tokenizer.encode_batch(pairs))


def environment(library: str) -> Path:
    """Return the Python that has the library, in an environment made at its first use."""
    if library not in REQUIREMENTS:
        return Path(sys.executable)
    folder = WORK / library
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt")]
        done = subprocess.run([*pip, REQUIREMENTS[library]], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise UnavailableError(last_line(done.stderr))
        (folder / "made").touch()
    return folder / "bin" / "python"


def write_onnx(model: Path) -> Path:
    """Export the weights, in float32, with the files that FlashRank and fastembed read."""
    folder = WORK / f"onnx-{find_checkpoint(str(model), device='cpu').fingerprint}"
    last = folder / "special_tokens_map.json"  # where it is, the others are whole
    if last.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    network = load_network(model, head="scores", dtype=torch.float32)
    # Fused attention is exported with checks for rows without tokens: a tenth slower.
    network.set_attn_implementation("eager")
    inputs = {name: torch.ones((2, 8), dtype=torch.int64) for name in input_names(network)}
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        network,
        kwargs=inputs,
        f=str(folder / "model.onnx"),
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_shapes=dict.fromkeys(inputs, shape),
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    for file in ("config.json", "tokenizer.json"):
        shutil.copy(model / file, folder)
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    # A leftover of an earlier training, which fastembed would take for the model's limit.
    settings.pop("max_length", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    named = {name: token for name, token in settings.items() if name.endswith("_token")}
    last.write_text(json.dumps(named), encoding="utf-8")
    return folder


def last_line(text: str) -> str:
    """Return what a traceback or pip says last, fit for a cell of the table."""
    lines = text.strip().splitlines() or ["it ended without a word"]
    return lines[-1].replace("|", "/")


if __name__ == "__main__":
    main()
