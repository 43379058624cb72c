"""Measure encoders' tensors behind the default first stage, on collections not trained on.

    python -m benchmarks.zero_shot_tensors ../shared/data .cache/quality .cache/tokens MODEL ...

Takes dev queries, or with `--test` the held-out ones, and reranks a hundred hits of each by MaxSim
of the bundled encoder's tokens and of each model's, as an index keeps tensors by default.
Collections are indexed into the second folder, or completed there; tokens are kept in the third.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import fmean

from benchmarks.judged import choose
from benchmarks.machine import describe, gemm_peak
from benchmarks.quality import build
from benchmarks.zero_shot import DEV, TEST
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.evaluation.files import read_qrels, read_queries
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.token_projection.candidates import texts_of
from retrieve_rerank.training.token_projection.proof import Difference, Measured, difference
from retrieve_rerank.training.token_projection.ranking import TensorRanking


def main() -> None:
    """Index what is missing, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("indexes", type=Path, help="a folder to keep the indexes in")
    parser.add_argument("tokens", type=Path, help="a folder to keep token vectors in")
    parser.add_argument("models", nargs="+", help="encoders: folders or aliases")
    parser.add_argument("--only", nargs="+", help="so many of the collections")
    parser.add_argument("--test", action="store_true", help="the held-out queries")
    arguments = parser.parse_args()
    peaks = ", ".join(f"{kind} {peak:.0f}" for kind, peak in gemm_peak().items())
    print(f"{describe('openvino', 'torch')} · GEMM peak in GFLOP/s: {peaks}")
    found: dict[str, list[Measured]] = {}
    for name, choice in (TEST if arguments.test else DEV).items():
        if arguments.only is None or name in arguments.only:
            qrels = read_qrels(arguments.data / name / "qrels" / f"{choice.split}.tsv.gz")
            judged = SplitJudgments(
                queries=read_queries(arguments.data / name / "queries.jsonl.gz"),
                train={},
                dev={},
                calibration={},
                test={query: qrels[query] for query in choose(qrels, choice)},
            )
            index = build(arguments.data / name, arguments.indexes / name)
            with EmbeddedConnector.connect(str(index)) as connector:
                found[name] = [
                    measure(connector, judged, model, arguments.tokens / name)
                    for model in (DEFAULT_ENCODER, *arguments.models)
                ]
            print(name, *(f"{each.mean:.4f}" for each in found[name]), file=sys.stderr, flush=True)
    for place, model in enumerate(arguments.models, 1):
        print(f"\n## {model}\n")
        print_table({name: (each[0], each[place]) for name, each in found.items()})


def measure(
    connector: EmbeddedConnector, judged: SplitJudgments, model: str, tokens: Path
) -> Measured:
    """Rank the judged queries by the tokens of a model."""
    defaults = EncoderSettings(base=model)
    ranking = TensorRanking(
        connector,
        judged,
        load_encoder(model),
        tokens,
        candidates=defaults.candidates,
        pooling_factor=defaults.pooling_factor,
        dtype=defaults.dtype,
        watch=Watch(),
    )
    with closing(ranking):
        texts = texts_of(ranking.search(judged.test, "judged"))
        ranking.encode(judged.test, texts)
        return ranking.measure(model, None, judged.test, texts)


def print_table(found: Mapping[str, tuple[Measured, Measured]]) -> None:
    """Lay out the collections, before and after, with the paired differences."""
    print("| nDCG@10 (queries) | first stage | max-sim | with the model | difference | 95 % |")
    print("|---|---:|---:|---:|---:|---|")
    gains: list[Difference] = []
    for name, (before, after) in found.items():
        gains.append(gain := difference(before, after))
        print(
            f"| {name} ({len(before.scores)}) | {fmean(before.first_stage.values()):.4f}"
            f" | {before.mean:.4f} | {after.mean:.4f} | {gain.gain:+.4f}"
            f" | {gain.low:+.4f} to {gain.high:+.4f} |"
        )
    print(
        f"\nBetter on {sum(each.gain > 0 for each in gains)} of {len(gains)};"
        f" {fmean(each.gain for each in gains):+.4f} in the mean,"
        f" {min(each.gain for each in gains):+.4f} at worst."
    )


if __name__ == "__main__":
    main()
