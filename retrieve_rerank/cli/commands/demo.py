"""`rr demo`: index a small real collection, search it, and measure what reranking did."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import click

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.demo import before_and_after, quality, timed
from retrieve_rerank.cli.views.progress import CountedDocuments, show_progress
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.hybrid import BM25, DENSE, Fusion
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.errors import IndexMismatchError, IndexNotFoundError
from retrieve_rerank.evaluation.evaluate import Evaluation, evaluate
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.settings.sources import load_settings

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


@click.command()
@click.argument("query", default=QUESTION, metavar="[QUESTION]")
def command(query: str) -> None:
    """Index a small real collection, search it, and measure what reranking did.

    1,069 passages of websites' privacy policies with judged questions (PolicyQA). The index stays
    under the name "demo".
    """
    console = Console()
    folder = load_settings().data_dir / "indexes" / "demo"
    with timed(console, "indexed"), _open_or_make(folder) as connector:
        corpus = Corpus([str(EXAMPLE)])
        counted = CountedDocuments(corpus, corpus)
        with show_progress(counted.share, doing="indexing", quiet=False) as advance:
            connector.index(counted, on_progress=advance)
        count = connector.count()
    console.print(f"{count:,} passages of privacy policies are in the index {folder}\n")

    with EmbeddedConnector.connect(str(folder)) as connector:
        result = Retriever(connector, DatabaseMaxSim(connector)).search(query, top_k=SHOWN)
    queries, qrels = read_folder(EXAMPLE, split="test")
    judged = next((qrels.get(id_, {}) for id_, text in queries.items() if text == query), {})
    console.print(before_and_after(result, relevant=[id_ for id_ in judged if judged[id_] > 0]))

    some = dict(list(qrels.items())[:: len(qrels) // JUDGED][:JUDGED])
    evaluations: dict[str, Evaluation] = {}
    with timed(console, "measured"):
        for name, (fusion, reranked) in PIPELINES.items():
            with EmbeddedConnector.connect(str(folder), fusion=fusion) as connector:
                rerankers = (DatabaseMaxSim(connector),) if reranked else ()
                retriever = Retriever(connector, *rerankers)
                evaluations[name] = evaluate(retriever, queries, some, measures=MEASURES)
    console.print(quality(evaluations))
    console.print(
        '\nAsk it something else:     rr search "…" --index demo --explain\n'
        "Now your own documents:    rr index FOLDER --index NAME"
    )


def _open_or_make(folder: Path) -> EmbeddedConnector:
    try:
        return EmbeddedConnector.connect(str(folder))
    except IndexMismatchError:  # an earlier release's
        shutil.rmtree(folder)
    except IndexNotFoundError:
        pass
    return EmbeddedConnector.create(folder, encoder=load_encoder())
