"""Time reranking by a cross-encoder against sentence-transformers' `CrossEncoder.predict`.

    rr models export .cache/cross-encoder .cache/cross-encoder-fp32 --precision fp32
    python benchmarks/cross_encoder.py ../shared/data/policyqa .cache/cross-encoder \\
        .cache/cross-encoder-fp32

`train_cross_encoder.py` makes the model. The top 100 of BM25 + dense for held-out queries are
scored by the same weights in each, in turn. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import sentence_transformers

from benchmarks.machine import describe, gemm_peak, ratio, side_by_side
from retrieve_rerank import Hit
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.evaluate import evaluate_rankings
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.types import Qrels

CANDIDATES = 100
PEER = "sentence-transformers, fp32"
WORK = 2 * 6 * 12 * 384**2 / 1e9
"""10⁹ operations a token in the matrix products of 6 layers of 12 · 384² weights."""


def main() -> None:
    """Score the same candidates by each, in turn, and compare times, orders and quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("models", type=Path, nargs="+", help="the fp32 model, then exported ones")
    parser.add_argument("--timed", type=int, default=10, help="held-out queries to time")
    parser.add_argument("--judged", type=int, default=100, help="held-out queries to measure")
    arguments = parser.parse_args()
    queries, qrels = read_folder(arguments.data, split="test")
    qrels = dict(itertools.islice(qrels.items(), 0, None, len(qrels) // arguments.judged))
    connector = MemoryConnector(Corpus([str(arguments.data)]), encoder=load_encoder())
    candidates = {query: connector.search(queries[query], top_k=CANDIDATES) for query in qrels}

    peer = sentence_transformers.CrossEncoder(str(arguments.models[0]))
    ours = {str(path): CrossEncoder(str(path)) for path in arguments.models}
    template = next(iter(ours.values())).template
    seconds: dict[str, list[float]] = {}
    overlaps: dict[str, list[float]] = {}
    tokens: list[int] = []
    for query in list(qrels)[: arguments.timed]:
        text, hits = queries[query], candidates[query]
        passages = [template.render(hit.document) for hit in hits]
        pairs = [(text, passage) for passage in passages]
        tokens += map(len, peer.tokenizer(pairs, truncation=True)["input_ids"])
        contenders: dict[str, Callable[[], Sequence[float]]] = {
            PEER: partial(peer.predict, pairs),
            **{name: partial(model.score, text, passages) for name, model in ours.items()},
        }
        for name, runs in side_by_side(contenders, rounds=1).items():
            seconds.setdefault(name, []).extend(runs)
        expected = top_ten(contenders[PEER]())
        for name, score in contenders.items():
            overlaps.setdefault(name, []).append(len(expected & top_ten(score())) / 10)

    print(describe("openvino", "sentence-transformers", "torch"))
    print(
        f"{CANDIDATES} passages for each of {arguments.timed} queries, "
        f"{statistics.fmean(tokens):.0f} tokens a pair on average\n"
    )
    peaks = ", ".join(f"{name} {rate:.0f}" for name, rate in gemm_peak().items())
    print(f"Peak of matrix products here, 10⁹ operations a second: {peaks}\n")
    print("| | ms for 100 | times as fast | top-10 overlap | nDCG@10 | 10⁹ operations/s |")
    print("|---|---|---|---|---|---|")
    for name, runs in seconds.items():
        rate = WORK * statistics.fmean(tokens) * CANDIDATES / statistics.median(runs)
        quality = f"{ndcg(ours[name], queries, candidates, qrels):.4f}" if name in ours else ""
        print(
            f"| {name} | {statistics.median(runs) * 1000:.0f} | {ratio(seconds, PEER, name):.2f} "
            f"| {statistics.fmean(overlaps[name]):.3f} | {quality} | {rate:.0f} |"
        )
    first = {query: [hit.document.id for hit in hits] for query, hits in candidates.items()}
    means = evaluate_rankings("first stage", first, qrels, measures=["nDCG@10"]).means
    print(f"\nFirst stage alone: nDCG@10 {means['nDCG@10']:.4f} on {len(qrels)} queries.")


def top_ten(scores: Sequence[float]) -> set[int]:
    """Positions of the ten highest scores."""
    return set(sorted(range(len(scores)), key=lambda i: -scores[i])[:10])


def ndcg(
    reranker: CrossEncoder,
    queries: Mapping[str, str],
    candidates: Mapping[str, Sequence[Hit]],
    qrels: Qrels,
) -> float:
    """Measure nDCG@10 of the reranked candidates."""
    rankings = {
        query: [hit.document.id for hit in reranker.rerank(queries[query], hits)]
        for query, hits in candidates.items()
    }
    means = evaluate_rankings("reranked", rankings, qrels, measures=["nDCG@10"]).means
    return means["nDCG@10"]


if __name__ == "__main__":
    main()
