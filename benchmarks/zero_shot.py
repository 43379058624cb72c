"""Measure a cross-encoder behind the default pipeline, on collections that it was not trained on.

    python -m benchmarks.zero_shot ../shared/data .cache/quality MODEL [MODEL ...]
    python -m benchmarks.zero_shot ../shared/data .cache/quality MODEL --test --depth 20

Without `--test` it takes dev queries, and says what the models are worth behind hybrid + MaxSim at
several depths and weights, so that these can be chosen, and models compared. With `--test` it
measures the choice once, on the test queries. Collections are indexed into the second folder, or
completed there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from benchmarks.judged import CHOOSING, Choice, choose
from benchmarks.machine import describe, gemm_peak
from benchmarks.quality import build
from retrieve_rerank import Retriever
from retrieve_rerank.base import Reranker
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.evaluation.compare import compare, deltas
from retrieve_rerank.evaluation.evaluate import StageEvaluation
from retrieve_rerank.evaluation.files import read_qrels, read_queries
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.training.slices import interval
from retrieve_rerank.training.tuning import (
    PRIMARY,
    WEIGHTS,
    FoundCandidates,
    ScoredCandidates,
    find_candidates,
    tune,
)

QUERIES = 100
"""Dev queries of a collection, at most: a model takes a second for each and more."""
DEV = {name: choice._replace(sampled=QUERIES) for name, choice in CHOOSING.items()}
TEST: Mapping[str, Choice] = {
    "scifact": Choice("test"),
    "cranfield": Choice("test"),
    "covidqa": Choice("test", sampled=300),
    "csfcube": Choice("test"),
    "dbpedia50": Choice("test"),
    "liveqa-med": Choice("test"),
    "mediqa2019": Choice("test"),
    "noveleval": Choice("test"),
    "vaswani": Choice("test"),
    "wikiqa": Choice("test"),
    "squadshifts-reddit": Choice("test", sampled=300),
    "squadshifts-wiki": Choice("test", sampled=300),
    "policyqa": Choice("test", sampled=300),
    "stackfaq": Choice("test", sampled=300),
}
DEPTHS = (10, 20, 30)
BEFORE = "hybrid + MaxSim"


class Judged(NamedTuple):
    """A collection's chosen queries, and the hits that come to the model."""

    name: str
    found: FoundCandidates
    queries: int


def main() -> None:
    """Index what is missing, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("indexes", type=Path, help="a folder to keep the indexes in")
    parser.add_argument("models", nargs="+", help="cross-encoders: folders or aliases")
    parser.add_argument("--only", nargs="+", help="so many of the collections")
    parser.add_argument("--test", action="store_true", help="the held-out queries")
    parser.add_argument("--queries", type=int, help="at most so many of each collection")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--weight", type=float, default=0.5)
    arguments = parser.parse_args()
    choices = TEST if arguments.test else DEV
    chosen = {
        name: choice._replace(sampled=arguments.queries or choice.sampled)
        for name, choice in choices.items()
        if arguments.only is None or name in arguments.only
    }
    judged = list(load(arguments.data, arguments.indexes, chosen))
    peaks = ", ".join(f"{kind} {peak:.0f}" for kind, peak in gemm_peak().items())
    print(f"{describe('openvino', 'torch')} · GEMM peak in GFLOP/s: {peaks}")
    for name in arguments.models:
        model = CrossEncoder(name)
        print(f"\n## {name}\n")
        if arguments.test:
            print_test(judged, Stage(model, arguments.depth, arguments.weight))
        else:
            print_choice(model, judged)


def load(data: Path, indexes: Path, choices: Mapping[str, Choice]) -> Iterator[Judged]:
    """Search for the chosen queries of each collection by the default pipeline."""
    for name, choice in choices.items():
        qrels = read_qrels(data / name / "qrels" / f"{choice.split}.tsv.gz")
        some = {query: qrels[query] for query in choose(qrels, choice)}
        with EmbeddedConnector.connect(str(build(data / name, indexes / name))) as connector:
            retriever = Retriever(connector, DatabaseMaxSim(connector))
            found = find_candidates(retriever, read_queries(data / name / "queries.jsonl.gz"), some)
        yield Judged(name, found, len(some))


def score(model: Reranker, each: Judged, depth: int) -> tuple[ScoredCandidates, float]:
    """Score the first hits of a collection's queries; and the milliseconds that a query takes."""
    started = time.perf_counter()
    scored = each.found.scored({"model": model}, depth=depth)
    ms = 1000 * (time.perf_counter() - started) / each.queries
    print(f"{each.name}: {ms:.0f} ms a query", file=sys.stderr, flush=True)
    return scored, ms


def print_choice(model: CrossEncoder, judged: Sequence[Judged]) -> None:
    """Lay out what each depth and weight is worth, the ten best of them, and each set's own."""
    scored = {each.name: score(model, each, max(DEPTHS))[0] for each in judged}
    before = {each.name: mean(evaluation(scored[each.name], None)) for each in judged}
    values: dict[tuple[int, float], dict[str, float]] = {}
    for each in judged:
        for trial in tune(scored[each.name], model, "model", depths=DEPTHS).trials:
            values.setdefault((trial.depth, trial.weight), {})[each.name] = trial.value
    best = sorted(values, key=lambda setting: -fmean(values[setting].values()))
    rows = {f"depth {depth}, weight {weight:g}": values[depth, weight] for depth, weight in best}
    alone = {f"depth {depth}, weight 1": values[depth, max(WEIGHTS)] for depth in DEPTHS}
    names = [each.name for each in judged]
    print(f"| nDCG@10 | {' | '.join(names)} | mean |\n{'|---' * (len(names) + 2)}|")
    for label, row in {BEFORE: before, **dict(list(rows.items())[:6]), **alone}.items():
        cells = " | ".join(f"{row[name]:.4f}" for name in names)
        print(f"| {label} | {cells} | {fmean(row.values()):.4f} |")


def print_test(judged: Sequence[Judged], stage: Stage) -> None:
    """Lay out the collections before and after, with the paired differences, one by one."""
    assert stage.depth is not None
    print(f"Depth {stage.depth}, weight {stage.weight:g}.\n")
    print(f"| nDCG@10 (queries) | {BEFORE} | with the model | difference (p) | 95 % |")
    print("|---|---:|---:|---:|---|")
    gains, times = [], []
    for each in judged:
        its, ms = score(stage.reranker, each, stage.depth)
        before, after = evaluation(its, None), evaluation(its, stage)
        difference = next(d for d in compare([after], before) if d.measure == PRIMARY)
        low, high = interval(list(deltas(after, before, PRIMARY).values()))
        gains.append(difference.delta)
        times.append(ms)
        print(
            f"| {each.name} ({each.queries}) | {mean(before):.4f} | {mean(after):.4f}"
            f" | {difference.delta:+.4f} ({difference.p:.3f}) | {low:+.4f} to {high:+.4f} |",
            flush=True,
        )
    better = sum(gain > 0 for gain in gains)
    print(
        f"\nBetter on {better} of {len(gains)}; {fmean(gains):+.4f} in the mean,"
        f" {min(gains):+.4f} at worst. Scoring {stage.depth} hits takes {median(times):.0f} ms, the"
        " median over the collections' means."
    )


def evaluation(scored: ScoredCandidates, stage: Stage | None) -> StageEvaluation:
    """Measure the hits as they come, or as the model's stage leaves them."""
    return scored.evaluation("after" if stage else BEFORE, stage, "model")


def mean(measured: StageEvaluation) -> float:
    """Return the mean of the primary measure."""
    return measured.means[PRIMARY]


if __name__ == "__main__":
    main()
