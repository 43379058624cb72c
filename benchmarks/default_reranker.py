"""Make the reranker that comes with the package, from collections whose licences allow it.

    python -m benchmarks.default_reranker ../shared/data .cache/quality .cache/reranker

Indexes each collection into the second folder, or completes its index, mines hard negatives from
it, and trains a cross-encoder on all of them together, from the weights of all-MiniLM-L6-v2 in the
third folder. Then adds the fast form. Stopped at any moment, the same command goes on. The options
are for trying other recipes; as they stand they make what is shipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.judged import Choice, choose
from benchmarks.quality import build
from retrieve_rerank import Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.evaluation.files import read_qrels, read_queries
from retrieve_rerank.training.finishing import finish
from retrieve_rerank.training.mining import DEFAULT_RULES, Mining, Rules, mine_to_file
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.trainers import Progress, TrainerSettings, train

SOURCES = {"nqg-squad-sents": 6000, "squad11dev": 3000, "policyqa": 1500, "stackfaq": 400}
"""Collection -> how many of its training queries to take, drawn at random."""


def main() -> None:
    """Index, mine, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("indexes", type=Path, help="a folder to keep the indexes in")
    parser.add_argument("out", type=Path, help="a folder to mine and train in")
    parser.add_argument(
        "--source", action="append", metavar="NAME:QUERIES", help="in place of the default ones"
    )
    parser.add_argument("--base", default="all-MiniLM-L6-v2")
    parser.add_argument("--margin", action="store_true", help="keep the default margin in mining")
    parser.add_argument("--loss", default="lce")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=192)
    arguments = parser.parse_args()
    sources = dict(SOURCES)
    if arguments.source:
        pairs = (source.rpartition(":") for source in arguments.source)
        sources = {name: int(queries) for name, _, queries in pairs}
    rules = DEFAULT_RULES if arguments.margin else Rules()
    files = [
        mined(arguments.data / name, arguments.indexes / name, arguments.out, queries, rules)
        for name, queries in sources.items()
    ]
    groups = [group for file in files for group in read_groups(file)]
    trained = train(
        groups,
        base=arguments.base,
        output=arguments.out,
        settings=TrainerSettings(
            loss=arguments.loss,
            learning_rate=arguments.learning_rate,
            group_size=arguments.group_size,
            max_tokens=arguments.max_tokens,
        ),
        on_progress=tell,
    )
    print(f"{trained.steps} steps at {trained.pairs_per_s:.1f} pairs a second: {trained.model}")
    finished = finish(trained.model, groups=groups, calibration=None)
    print(finished.export, *finished.notes, sep="\n")


def mined(data: Path, index: Path, out: Path, queries: int, rules: Rules) -> Path:
    """Mine negatives for so many of a collection's training queries; return the file of groups."""
    qrels = read_qrels(data / "qrels" / "train.tsv.gz")
    some = {query: qrels[query] for query in choose(qrels, Choice("train", sampled=queries))}
    file = out / f"{data.name}.jsonl.gz"
    with EmbeddedConnector.connect(str(build(data, index))) as connector:
        report = mine_to_file(
            Mining(
                retriever=Retriever(connector),
                queries=read_queries(data / "queries.jsonl.gz"),
                qrels=some,
                rules=rules,
            ),
            file,
        )
    print(f"{data.name}: {report.groups} groups, {report.negatives} negatives", flush=True)
    return file


def tell(progress: Progress) -> None:
    """Say now and then how far training is."""
    if progress.step % 10 == 0:
        print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
