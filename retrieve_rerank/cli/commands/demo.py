"""`rr demo`: index a small real collection, search it, measure what reranking did, train on it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import click

from retrieve_rerank.cli.commands import finetune
from retrieve_rerank.cli.finetuning import load_training
from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.demo import before_and_after, quality, timed
from retrieve_rerank.cli.views.progress import CountedDocuments, show_progress
from retrieve_rerank.cli.views.stage_messages import stage_messages
from retrieve_rerank.cli.views.terminal import say, write
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.hybrid import BM25, DENSE, Fusion
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.errors import IndexMismatchError, IndexNotFoundError
from retrieve_rerank.evaluation.evaluate import Evaluation, evaluate
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.settings.build import build_retriever, locate
from retrieve_rerank.settings.promoted import index_address, promoted_in, with_promoted
from retrieve_rerank.settings.sources import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "policyqa"
QUESTION = "style.com: Does the company collect user's contact information?"
SHOWN = 5
JUDGED = 100
MEASURES = ("nDCG@10", "MRR@10", "Recall@100")

PIPELINES: Mapping[str, tuple[Fusion, bool]] = {
    "BM25": (Fusion(weights={DENSE: 0.0}), False),
    "dense": (Fusion(weights={BM25: 0.0}), False),
    "BM25 + dense": (Fusion(), False),
    "BM25 + dense → MaxSim": (Fusion(), True),
}
"""What is compared: the first stage's fusion, and whether MaxSim reranks."""

FINETUNE = (
    *("--index", "demo", "--data", str(EXAMPLE), "--minutes", "8", "--base", DEFAULT_ENCODER),
    *("--test-queries", "100", "--dev-queries", "40", "--depth", "10", "--learning-rate", "1e-4"),
)
"""How `rr finetune` is called: two cores then have about half of the time left to train, and a head
that begins with random weights has to move within some dozen steps. It starts from the encoder, as
the bundled reranker has learnt these training queries already."""


@click.command()
@click.argument("query", default=QUESTION, metavar="[QUESTION]")
@click.option(
    "--finetune",
    "finetunes",
    is_flag=True,
    help="Then train a reranker on it, as rr finetune does: less than ten minutes on two cores.",
)
@click.pass_context
def command(ctx: click.Context, query: str, finetunes: bool) -> None:
    """Index a small real collection, search it, and measure what reranking did.

    1,069 passages of websites' privacy policies with judged questions (PolicyQA). The index stays
    under the name "demo".
    """
    if finetunes:
        load_training()
    console = Console()
    folder = load_settings().data_dir / "indexes" / "demo"
    with timed(console, "indexed"), _open_or_make(folder) as connector:
        corpus = Corpus([str(EXAMPLE)])
        counted = CountedDocuments(corpus, corpus)
        with show_progress(counted.share, doing="indexing", quiet=False) as advance:
            connector.index(counted, on_progress=advance)
        count = connector.count()
    console.print(f"{count:,} passages of privacy policies are in the index {folder}\n")

    queries, qrels = read_folder(EXAMPLE, split="test")
    judged = next((qrels.get(id_, {}) for id_, text in queries.items() if text == query), {})
    relevant = [id_ for id_ in judged if judged[id_] > 0]
    with EmbeddedConnector.connect(str(folder)) as connector:
        result = Retriever(connector, DatabaseMaxSim(connector)).search(query, top_k=SHOWN)
    console.print(before_and_after(result, after="MaxSim", relevant=relevant))

    some = dict(list(qrels.items())[:: len(qrels) // JUDGED][:JUDGED])
    evaluations: dict[str, Evaluation] = {}
    with timed(console, "measured"):
        for name, (fusion, reranked) in PIPELINES.items():
            with EmbeddedConnector.connect(str(folder), fusion=fusion) as connector:
                rerankers = (DatabaseMaxSim(connector),) if reranked else ()
                retriever = Retriever(connector, *rerankers)
                evaluations[name] = evaluate(retriever, queries, some, measures=MEASURES)
    console.print(quality(evaluations))
    if finetunes:
        _finetune(ctx, console, query, relevant)
        return
    console.print(
        '\nAsk it something else:     rr search "…" --index demo --explain\n'
        "Train a reranker on it:    rr demo --finetune\n"
        "Now your own documents:    rr index FOLDER --index NAME"
    )


def _finetune(ctx: click.Context, console: Console, query: str, relevant: Collection[str]) -> None:
    """Run `rr finetune` on the index; where its model serves by then, ask the question again."""
    if (serving := promoted_in(_settings().stages)) is None:
        write(f"\nNow a reranker is trained on it:\n\n    rr finetune {shlex.join(FINETUNE)}\n")
        write("Stop it with Ctrl-C if you like: the same command goes on from there.\n")
        with finetune.command.make_context("finetune", [*FINETUNE], parent=ctx) as called:
            finetune.command.invoke(called)
    else:
        write(
            f"\n{serving.promotion.address} was trained on it before, and serves it. To give it up:"
            f" rr models rollback {serving.promotion.name}"
        )
    settings = _settings()
    if (serving := promoted_in(settings.stages)) is not None:
        with build_retriever(settings) as retriever:
            result = retriever.search(query, top_k=SHOWN)
        for message in stage_messages(result, retriever.stages):
            say(message)
        console.print(before_and_after(result, after=serving.promotion.address, relevant=relevant))
    write(
        '\nAsk it something else:     rr search "…" --index demo --explain\n'
        "What was trained:          rr models list demo-reranker\n"
        "Now your own documents:    rr index FOLDER --index docs\n"
        "                           rr finetune --index docs --data judged/"
    )


def _settings() -> Settings:
    """Return how the index is searched by now, with what is promoted for it."""
    settings = load_settings(index="demo")
    return with_promoted(settings, index_address(locate(settings)))


def _open_or_make(folder: Path) -> EmbeddedConnector:
    try:
        return EmbeddedConnector.connect(str(folder))
    except IndexMismatchError:  # an earlier release's
        shutil.rmtree(folder)
    except IndexNotFoundError:
        pass
    return EmbeddedConnector.create(folder, encoder=load_encoder())
