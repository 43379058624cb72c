"""Score pairs with one library's cross-encoder, asked line by line.

    python benchmarks/peers/cross_encoders.py LIBRARY FOLDER

Runs in an environment that has the library. The first line written names versions; from then on
each line of JSON read, {"query": …, "texts": […]}, is answered by one, {"scores": […],
"seconds": …}. Every library computes in float32 on the CPU, and has its own defaults where
nothing else is said.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

Score = Callable[[str, Sequence[str]], Any]


def load_sentence_transformers(folder: Path) -> Score:
    """Load CrossEncoder, for logits instead of their sigmoids: they can be compared."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), activation_fn=torch.nn.Identity())
    return lambda query, texts: model.predict([(query, text) for text in texts]).tolist()


def load_retrieve_rerank(folder: Path) -> Score:
    """Load ours: safetensors, or what `rr models export` wrote."""
    from retrieve_rerank.rerankers.cross_encoder import CrossEncoder

    return CrossEncoder(str(folder)).score


def load_flagembedding(folder: Path) -> Score:
    """Load FlagReranker, with the model's limit instead of its own of 512 tokens."""
    from FlagEmbedding import FlagReranker

    model = FlagReranker(str(folder), use_fp16=False)
    model.max_length = model.tokenizer.model_max_length
    return lambda query, texts: model.compute_score([(query, text) for text in texts])


def load_rerankers(folder: Path) -> Score:
    """Load the TransformerRanker."""
    from rerankers import Reranker

    model = Reranker(str(folder), model_type="cross-encoder")

    def score(query: str, texts: Sequence[str]) -> list[float]:
        hits = model.rank(query, list(texts)).results
        return [hit.score for hit in sorted(hits, key=lambda hit: hit.document.doc_id)]

    return score


def load_flashrank(folder: Path) -> Score:
    """Load Ranker, which gives sigmoids."""
    from flashrank import Ranker, RerankRequest
    from flashrank.Config import model_file_map

    model_file_map[folder.name] = "model.onnx"  # otherwise refused: not among its own models
    model = Ranker(folder.name, cache_dir=str(folder.parent))

    def score(query: str, texts: Sequence[str]) -> list[float]:
        passages = [{"id": place, "text": text} for place, text in enumerate(texts)]
        hits = model.rerank(RerankRequest(query, passages))
        return [float(hit["score"]) for hit in sorted(hits, key=lambda hit: hit["id"])]

    return score


def load_fastembed(folder: Path) -> Score:
    """Load TextCrossEncoder, with a model of one's own."""
    from fastembed.common.model_description import ModelSource
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    TextCrossEncoder.add_custom_model(
        folder.name, ModelSource(url="file://"), model_file="model.onnx"
    )
    model = TextCrossEncoder(folder.name, specific_model_path=str(folder))
    return lambda query, texts: [float(score) for score in model.rerank(query, texts)]


class Library(NamedTuple):
    """How to load a model, and the packages whose versions matter."""

    load: Callable[[Path], Score]
    packages: tuple[str, ...]


LIBRARIES: Mapping[str, Library] = {
    "sentence-transformers": Library(
        load_sentence_transformers, ("sentence-transformers", "transformers", "torch")
    ),
    "retrieve-rerank": Library(load_retrieve_rerank, ("retrieve-rerank", "torch", "openvino")),
    "FlagEmbedding": Library(load_flagembedding, ("FlagEmbedding", "transformers", "torch")),
    "rerankers": Library(load_rerankers, ("rerankers", "transformers", "torch")),
    "FlashRank": Library(load_flashrank, ("flashrank", "onnxruntime")),
    "fastembed": Library(load_fastembed, ("fastembed", "onnxruntime")),
}


def main() -> None:
    """Load, score once, and answer until standard input ends."""
    name, folder = sys.argv[1:]
    library = LIBRARIES[name]
    score = library.load(Path(folder))
    score("a query", ["a text"])
    answer({"versions": ", ".join(f"{each} {version(each)}" for each in library.packages)})
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        scores = score(request["query"], request["texts"])
        seconds = time.perf_counter() - started
        answer({"scores": scores, "seconds": seconds})


def answer(content: Mapping[str, Any]) -> None:
    """Write a line to the real standard output."""
    print(json.dumps(content), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # libraries print while they load
        main()
