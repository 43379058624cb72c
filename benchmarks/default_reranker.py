"""Make a reranker that may come with the package, from collections whose licences allow it.

    python -m benchmarks.default_reranker mine ../shared/data .cache/quality .cache/reranker
    python -m benchmarks.default_reranker train .cache/reranker
    python -m benchmarks.default_reranker halfway .cache/reranker --name NAME

The first command indexes each collection into the second folder, or completes its index, and mines
hard negatives from it into the third. The second needs nothing but these groups, so that it can run
on another machine with a GPU: it trains a cross-encoder, or an encoder for MaxSim, on all of them
together, from the weights of all-MiniLM-L6-v2, and adds its fast form. Each goes on where it was
stopped. The third averages such an encoder with what it was trained from. The options are for
trying other recipes. `benchmarks.zero_shot` and `benchmarks.zero_shot_tensors` tell what has come
of it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file, save_file

from benchmarks.quality import build
from retrieve_rerank import Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.evaluation.files import read_qrels, read_queries
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.training.finishing import finish
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.mining import DEFAULT_RULES, Mining, Rules, mine_to_file
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.token_encoder.network import open_max_sim, relevant_texts
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.trainers import Progress, TrainerSettings, train
from retrieve_rerank.training.trainers.base import load_encoder_base
from retrieve_rerank.training.trainers.opening import Opens, open_network

SOURCES = ("nqg-squad-sents", "squad11dev", "medquad", "policyqa", "stackfaq")
"""English collections with training queries that may be shipped."""

NEGATIVES = 15


def main() -> None:
    """Mine, train, or average."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="mine|train|halfway")
    mining = commands.add_parser("mine")
    mining.add_argument("data", type=Path, help="a folder of BEIR folders")
    mining.add_argument("indexes", type=Path, help="a folder to keep the indexes in")
    mining.add_argument("out", type=Path, help="a folder for the groups")
    mining.add_argument("--only", nargs="+", choices=SOURCES, default=[*SOURCES])
    mining.add_argument("--margin", action="store_true", help="keep the default margin")
    mining.set_defaults(run=mine)
    training = commands.add_parser("train")
    training.add_argument("out", type=Path, help="the folder of the groups")
    training.add_argument("--name", default="default", help="of the folder in it to train in")
    training.add_argument("--form", choices=["cross-encoder", "max-sim"], default="cross-encoder")
    training.add_argument("--queries", type=int, help="at most so many of each collection")
    training.add_argument("--base", default="all-MiniLM-L6-v2")
    training.add_argument("--loss", default="lce")
    training.add_argument("--learning-rate", type=float, default=1e-4)
    training.add_argument("--batch-size", type=int, default=16)
    training.add_argument("--group-size", type=int, default=8)
    training.add_argument("--max-tokens", type=int, default=192)
    training.add_argument("--epochs", type=float, default=1)
    training.add_argument("--token-budget", type=int)
    training.set_defaults(run=learn)
    halfway = commands.add_parser("halfway")
    halfway.add_argument("out", type=Path, help="the folder of the groups")
    halfway.add_argument("--name", required=True, help="of the folder in it, of an encoder")
    halfway.add_argument("--base", default="all-MiniLM-L6-v2")
    halfway.set_defaults(run=go_halfway)
    arguments = parser.parse_args()
    arguments.run(arguments)


def mine(arguments: argparse.Namespace) -> None:
    """Mine negatives for all training queries of each collection."""
    for name in arguments.only:
        data = arguments.data / name
        with EmbeddedConnector.connect(str(build(data, arguments.indexes / name))) as connector:
            report = mine_to_file(
                Mining(
                    retriever=Retriever(connector),
                    queries=read_queries(data / "queries.jsonl.gz"),
                    qrels=read_qrels(data / "qrels" / "train.tsv.gz"),
                    negatives=NEGATIVES,
                    rules=DEFAULT_RULES if arguments.margin else Rules(),
                ),
                arguments.out / f"{name}.jsonl.gz",
                on_progress=Counted(name),
            )
        print(f"{name}: {report.groups} groups, {report.negatives} negatives", flush=True)


def learn(arguments: argparse.Namespace) -> None:
    """Train on the groups that were mined, and add the fast form."""
    draw = random.Random(0)
    groups: list[Group] = []
    for file in sorted(arguments.out.glob("*.jsonl.gz")):
        its = list(read_groups(file))
        draw.shuffle(its)
        groups += its[: arguments.queries]
    max_sim = arguments.form == "max-sim"
    trained = train(
        groups,
        base=arguments.base,
        output=arguments.out / arguments.name,
        settings=TrainerSettings(
            loss=arguments.loss,
            learning_rate=arguments.learning_rate,
            batch_size=arguments.batch_size,
            group_size=arguments.group_size,
            max_tokens=arguments.max_tokens,
            epochs=arguments.epochs,
            token_budget=arguments.token_budget,
        ),
        on_progress=tell,
        opens=opens_max_sim(groups) if max_sim else open_network,
    )
    print(f"{trained.steps} steps at {trained.pairs_per_s:.1f} pairs a second: {trained.model}")
    draw.shuffle(groups)
    finished = finish(trained.model, groups=groups, calibration=None, tokens=max_sim)
    if (made := finished.export) is not None:
        print(
            f"fast form: {made.recipe or made.precision}, {made.megabytes:.0f} MB, top-10 overlap"
            f" {made.fidelity.top_10_overlap:.3f}, Kendall's tau {made.fidelity.kendall_tau:.3f}"
        )
    print(*finished.notes, sep="\n", end="")


def go_halfway(arguments: argparse.Namespace) -> None:
    """Save an encoder with the mean of the weights before training and after.

    As in https://arxiv.org/abs/2109.01903.
    """
    trained, out = (arguments.out / arguments.name / folder for folder in ("model", "halfway"))
    shutil.copytree(trained, out, ignore=shutil.ignore_patterns("openvino"), dirs_exist_ok=True)
    before = load_encoder_base(arguments.base, TrainerSettings()).network.state_dict()
    after = load_file(trained / "model.safetensors")
    mean = {name: (weights + before[name]) / 2 for name, weights in after.items()}
    save_file(mean, out / "model.safetensors", metadata={"format": "pt"})
    settings = read_settings(out / SETTINGS_FILE, OURS)
    settings.pop("export", None)  # of a fast form that was left behind
    write_json(out / SETTINGS_FILE, settings)
    print(out)


def opens_max_sim(groups: Sequence[Group]) -> Opens:
    """Return what opens an encoder to be trained for tensors as an index keeps them by default."""
    defaults = EncoderSettings(base="")
    return partial(
        open_max_sim,
        relevant=relevant_texts(groups),
        pooling_factor=defaults.pooling_factor,
        dtype=defaults.dtype,
        projection=None,
    )


class Counted:
    """Says now and then for how many queries of a collection was mined."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = 0

    def __call__(self, count: int) -> None:
        """Count so many more."""
        before, self.done = self.done, self.done + count
        if self.done // 500 > before // 500:
            print(f"{self.name}: {self.done:,} queries", file=sys.stderr, flush=True)


def tell(progress: Progress) -> None:
    """Say now and then how far training is."""
    if progress.step % 10 == 0:
        print(
            f"{progress.step} of {progress.steps} steps, loss {progress.loss:.3f},"
            f" {progress.pairs_per_s:.1f} pairs/s, {progress.seconds_left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
