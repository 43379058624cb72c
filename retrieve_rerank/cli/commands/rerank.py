"""`rr rerank`: rerank lists of documents, one JSON object a line."""

from __future__ import annotations

from collections import Counter

import click

from retrieve_rerank.base import RerankResult
from retrieve_rerank.cli.views.rerank_lines import read_task
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.connecting import reranker_for
from retrieve_rerank.data.lines import STDIN, LineFile
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError, RequestError, RetrieveRerankError, ScoreError
from retrieve_rerank.registry import RERANKERS
from retrieve_rerank.settings.sources import load_settings


@click.command()
@click.option(
    "--model",
    help="Model of the reranker: an alias, a hub id, a folder, or a service's, such as "
    "cohere:rerank-v3.5.",
)
@click.option(
    "--reranker",
    metavar="NAME",
    help=f"{', '.join(RERANKERS)}.  [default: what the model is made for]",
)
@click.option(
    "--prompt",
    help="What a language model is asked: the name of a published prompt, or a .toml or .json "
    "file.  [default: what the model was trained with]",
)
@click.option(
    "--label",
    help="Which of a model's several labels is the score: its number or name, or expectation.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Documents to return.  [default: all]")
@click.option(
    "--input",
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    default=STDIN,
    help="File to read; gzipped ones end in .gz.  [default: standard input]",
)
def command(
    model: str | None,
    reranker: str | None,
    prompt: str | None,
    label: str | None,
    top_k: int | None,
    path: str,
) -> None:
    """Rerank lists of documents, one JSON object a line.

    Reads {"query": "…", "documents": ["text" or {"id", "title", "text", …}, …]}, or what
    `rr search --json` writes, and writes the same with the documents best first, each with its
    rank, score and original position (from 0), and its probability of relevance where the model
    is calibrated. What a document had of these before is kept under "previous", so that one
    `rr rerank` can read another's output. A line that cannot be used, or that a service refuses,
    is named on standard error and left out, and the exit code is 1. What would go wrong with
    every line, such as a refused key, ends the run.
    """
    load_settings()  # which say where models that were trained here are
    number = int(label) if label is not None and label.isdecimal() else label
    scorer = reranker_for(model, reranker, {"prompt": prompt, "label": number})
    done = failed = texts = truncated = truncated_queries = 0
    notes: Counter[str] = Counter()
    for number, line in LineFile(path).lines():
        if isinstance(line, bytes) and not line.strip():
            continue
        task = read_task(line)
        try:
            told = task if isinstance(task, Reason) else scorer.rerank(task.query, task.hits)
        except (InputError, RequestError, ScoreError) as exc:
            told = Reason("no scores", str(exc))
        except RetrieveRerankError as exc:
            raise RetrieveRerankError(
                f"stopped at line {number}, with {done} done and {failed} left out: {exc}"
            ) from exc
        if isinstance(task, Reason) or not isinstance(told, RerankResult):
            say(f"Error: line {number}: {told}")
            failed += 1
            continue
        for note in (*task.notes, *told.notes):
            if note not in notes:
                say(f"Note: line {number}: {note}")
        notes.update((*task.notes, *told.notes))
        done += 1
        texts += len(task.hits)
        truncated += told.truncated
        truncated_queries += told.query_truncated
        hits = told.hits[:top_k]
        write_json(task.answer(hits, scorer.probabilities([hit.score for hit in hits])))
    for note, lines in notes.items():
        if lines > 1:
            say(f"Note: the same of {lines} lines: {note}")
    if truncated:
        say(f"{truncated} of {texts} texts were cut to what the model reads.")
    if truncated_queries:
        say(f"{truncated_queries} of {done} queries were cut to what the model reads.")
    if failed:
        those = "1 line" if failed == 1 else f"{failed} lines"
        raise RetrieveRerankError(f"{those} could not be reranked; the rest is done")
