"""What different kinds of negatives teach: learning curves, and held-out queries at the end.

    python -m benchmarks.negatives ../shared/data .cache/quality .cache/negatives --only policyqa

An encoder for MaxSim is trained from the bundled weights on the same queries each time, with three
negatives of fifteen in a step; a negative of one query is one of the others in the same forward
pass too. Indexes are built in the second folder, or completed there; what was trained is kept in
the third.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.false_negatives import Remembering
from benchmarks.machine import describe, gemm_peak
from benchmarks.quality import build
from retrieve_rerank.base import Scorer
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.evaluate import StageEvaluation, evaluate_rankings
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.rerankers.max_sim import MaxSim
from retrieve_rerank.settings.build import build_retriever
from retrieve_rerank.settings.first_stage import FirstStage, with_first_stage
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.finetuning.data import SplitJudgments, read_judged_folder
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining import DEFAULT_RULES, Rules, fit_veto, mine
from retrieve_rerank.training.slices import interval
from retrieve_rerank.training.token_encoder.network import open_max_sim, relevant_texts
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.trainers import train
from retrieve_rerank.training.trainers.objective import choose_objective
from retrieve_rerank.training.tuning import FoundCandidates, find_candidates

MEASURES = ("nDCG@10", "RR@10")
LOOKS = 5
BATCH_SIZE = 4
NEGATIVES = 15
SEED = 13


class Kind(NamedTuple):
    """One way to choose negatives."""

    groups: str
    """The name of what is mined."""
    settings: Mapping[str, Any] = {}
    """Of the trainer."""


KINDS: Mapping[str, Kind] = {
    "random": Kind("random"),
    "BM25": Kind("BM25"),
    "mined": Kind("mined"),
    "mined, margin": Kind("margin"),
    "mined, margin, veto": Kind("veto"),
    "mined, margin, harder": Kind("margin", {"curriculum": "harder"}),
    "mined, margin, wider": Kind("margin", {"curriculum": "wider"}),
    "mined, margin, remined": Kind("margin", {"remine": True}),
}


def main() -> None:
    """Mine, train on each kind, and print the curves and the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("indexes", type=Path, help="a folder to keep the indexes in")
    parser.add_argument("out", type=Path, help="a folder to keep what was trained in")
    parser.add_argument("--only", nargs="+", required=True, help="the collections")
    parser.add_argument("--queries", type=int, default=300, help="to train on")
    parser.add_argument("--dev-queries", type=int, default=60)
    parser.add_argument("--test-queries", type=int, default=200)
    parser.add_argument("--depth", type=int, default=50, help="hits that are reranked")
    arguments = parser.parse_args()
    peaks = ", ".join(f"{kind} {peak:.0f}" for kind, peak in gemm_peak().items())
    print(f"{describe('retrieve-rerank', 'torch')} · GEMM peak in GFLOP/s: {peaks}")
    for name in arguments.only:
        judged = read_judged_folder(arguments.data / name).at_most(
            train=arguments.queries, dev=arguments.dev_queries, test=arguments.test_queries
        )
        index = build(arguments.data / name, arguments.indexes / name)
        groups = {
            kind: list(its) for kind, its in mined(index, arguments.data / name, judged).items()
        }
        # The queries that every kind has negatives for.
        common = set.intersection(*({group.query for group in its} for its in groups.values()))
        for kind, its in groups.items():
            groups[kind] = [group for group in its if group.query in common]
        with closing(build_retriever(load_settings(index=str(index)))) as serving:
            first = Retriever(serving.connector)
            dev = find_candidates(first, judged.queries, judged.dev)
            test = find_candidates(first, judged.queries, judged.test)
        runs = {
            kind: run(
                groups[its.groups], its, dev, test, arguments.out / name / kind, arguments.depth
            )
            for kind, its in KINDS.items()
        }
        print(f"\n## {name}: {len(common)} queries\n", flush=True)
        print_runs(runs)


def mined(index: Path, data: Path, judged: SplitJudgments) -> dict[str, list[Group]]:
    """Return the groups of each kind of mining, by its name."""

    def by(which: FirstStage, rules: Rules, *, vetoed: bool = False) -> list[Group]:
        settings = with_first_stage(load_settings(index=str(index)), which)
        with closing(build_retriever(settings)) as retriever:
            arguments = (retriever, judged.queries, judged.train)
            veto = None
            if vetoed:  # by the untrained encoder's tokens
                scorer = MaxSim(Remembering(load_encoder()))
                veto = fit_veto(scorer, *arguments, seed=SEED)
            return list(mine(*arguments, negatives=NEGATIVES, rules=rules, veto=veto, seed=SEED))

    found = {
        "BM25": by("lexical", Rules()),
        "mined": by("hybrid", Rules()),
        "margin": by("hybrid", DEFAULT_RULES),
        "veto": by("hybrid", DEFAULT_RULES, vetoed=True),
    }
    texts = [Template().render(document) for document in Corpus([str(data)])]
    return {"random": [at_random(group, texts) for group in found["mined"]], **found}


def at_random(group: Group, texts: list[str]) -> Group:
    """Return a group with negatives from anywhere in the collection."""
    relevant = {each.text for each in group.positives}
    drawn = random.Random(f"{SEED} {group.query_id}").sample(texts, NEGATIVES + len(relevant))
    others = [text for text in drawn if text not in relevant][:NEGATIVES]
    negatives = (GroupText(text, 0.0) for text in others)
    return Group(group.query, (*group.positives, *negatives), group.query_id)


class Run(NamedTuple):
    """What one training came to."""

    curve: list[tuple[int, float]]
    """Steps, and MEASURES' last over dev queries, the first before any."""
    test: Mapping[str, Mapping[str, float]]
    """Measure -> held-out query -> value, of the state that was best on dev queries."""


def run(
    groups: list[Group],
    kind: Kind,
    dev: FoundCandidates,
    test: FoundCandidates,
    output: Path,
    depth: int,
) -> Run:
    """Train on some groups, and measure on the way and at the end."""
    defaults = EncoderSettings(base=DEFAULT_ENCODER)
    steps = len(groups) // BATCH_SIZE
    settings = replace(
        defaults.trainer,
        loss="lce",
        batch_size=BATCH_SIZE,
        max_steps=steps,
        evaluate_every=-(-steps // LOOKS),
        seed=SEED,
        **kind.settings,
    )
    opens = partial(
        open_max_sim,
        relevant=relevant_texts(groups),
        pooling_factor=defaults.pooling_factor,
        dtype=defaults.dtype,
        projection=None,
    )
    trained = train(
        groups,
        base=DEFAULT_ENCODER,
        output=output,
        settings=settings,
        evaluator=lambda scorer: measure(dev, scorer, depth).means[MEASURES[-1]],
        opens=opens,
    )
    best = opens(str(trained.model), settings, choose_objective("lce", groups)).scorer()
    curve = [(point.step, point.measure) for point in trained.curve if point.measure is not None]
    return Run(curve, measure(test, best, depth).scores)


def measure(found: FoundCandidates, scorer: Scorer, depth: int) -> StageEvaluation:
    """Rerank so many hits of each query by a scorer alone."""
    rankings = found.scored({"": scorer}, depth=depth).rankings(Stage(scorer, depth))
    return evaluate_rankings("", rankings, found.qrels, measures=MEASURES)


def print_runs(runs: Mapping[str, Run]) -> None:
    """Print the curves, and then the held-out queries, each kind against the first."""
    steps = [step for step, _ in next(iter(runs.values())).curve]
    print(f"| {MEASURES[-1]} on dev, after steps | {' | '.join(map(str, steps))} |")
    print("|---" + "|---:" * len(steps) + "|")
    for name, its in runs.items():
        print(f"| {name} | {' | '.join(f'{value:.4f}' for _, value in its.curve)} |")
    print(f"\n| held out | {' | '.join(MEASURES)} | {MEASURES[0]} over {next(iter(runs))} (95 %) |")
    print("|---" + "|---:" * len(MEASURES) + "|---|")
    first = next(iter(runs.values())).test[MEASURES[0]]
    for name, its in runs.items():
        means = " | ".join(f"{fmean(its.test[each].values()):.4f}" for each in MEASURES)
        deltas = [its.test[MEASURES[0]][query] - value for query, value in first.items()]
        low, high = interval(deltas)
        print(
            f"| {name} | {means} | {fmean(deltas):+.4f} ({low:+.4f} to {high:+.4f}) |", flush=True
        )


if __name__ == "__main__":
    main()
