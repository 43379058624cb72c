"""`rr rerank`: rerank lists of documents, one JSON object a line."""

from __future__ import annotations

from typing import Any

import click

from retrieve_rerank.base import Reranker
from retrieve_rerank.cli.results import write_json
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ScoreError
from retrieve_rerank.registry import reranker_class
from retrieve_rerank.sources.lines import STDIN, LineFile
from retrieve_rerank.sources.records import Fields, Reason, parse_json, read_content
from retrieve_rerank.types import Document, rank

PLACEMENT = ("rank", "score", "position")


@click.command()
@click.option("--model", help="Model of the reranker: an alias, a hub id or a folder.")
@click.option("--reranker", default="max-sim", show_default=True, help="max-sim or cross-encoder.")
@click.option("--top-k", type=click.IntRange(min=1), help="Documents to return.  [default: all]")
@click.option(
    "--input",
    "path",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    default=STDIN,
    help="File to read; gzipped ones end in .gz.  [default: standard input]",
)
def command(model: str | None, reranker: str, top_k: int | None, path: str) -> None:
    """Rerank lists of documents, one JSON object a line.

    Reads {"query": "…", "documents": ["text" or {"id", "title", "text", …}, …]} from standard
    input and writes the same to standard output, line for line: the documents best first, each
    with its rank, score and original position (from 0). What they had of these before stands
    under "previous", so that one `rr rerank` can read another's output.
    """
    options = {} if model is None else {"model": model}
    scorer = reranker_class(reranker).configure(MemoryConnector(), **options)
    failed = texts = truncated = 0
    for number, line in LineFile(path).lines():
        if isinstance(line, bytes) and not line.strip():
            continue
        task = line if isinstance(line, Reason) else parse_json(line)
        answer = task if isinstance(task, Reason) else _rerank(scorer, task, top_k)
        if isinstance(answer, Reason):
            click.echo(f"Error: line {number}: {answer}", err=True)
            failed += 1
            continue
        ranked, cut = answer
        texts, truncated = texts + len(task["documents"]), truncated + cut
        write_json({**task, "documents": ranked})
    if truncated:
        click.echo(f"{truncated} of {texts} texts were cut to what the model can read.", err=True)
    if failed:
        raise click.ClickException(f"{failed} lines could not be reranked")


def _rerank(
    reranker: Reranker, task: dict[str, Any], top_k: int | None
) -> tuple[list[dict[str, Any]], int] | Reason:
    """Order one line's documents; also say how many of their texts were truncated."""
    query, records = task.get("query"), task.get("documents")
    if not isinstance(query, str) or not query.strip():
        return Reason("no query", 'expected {"query": "…", "documents": […]}')
    if not isinstance(records, list):
        return Reason("no documents", 'expected {"query": "…", "documents": […]}')
    documents = []
    for position, record in enumerate(records):
        fields = {"text": record} if isinstance(record, str) else record
        if not isinstance(fields, dict):
            return Reason(f"document {position}", "expected text or an object")
        content = read_content(fields, Fields())
        if isinstance(content, Reason):
            return Reason(f"document {position}", str(content))
        documents.append(Document(str(position), *content))
    try:
        hits = rank((document, 0.0) for document in documents)
        judgment = reranker.judge(query, hits)
    except ScoreError as exc:
        return Reason("no scores", str(exc))
    ranked = []
    for hit in judgment.hits[:top_k]:
        record = records[int(hit.document.id)]
        fields = {"text": record} if isinstance(record, str) else record
        previous = {name: fields[name] for name in (*PLACEMENT, "previous") if name in fields}
        ranked.append(
            {
                **{name: value for name, value in fields.items() if name not in previous},
                "rank": hit.rank,
                "score": hit.score,
                "position": int(hit.document.id),
                **({"previous": previous} if previous else {}),
            }
        )
    return ranked, judgment.truncated
