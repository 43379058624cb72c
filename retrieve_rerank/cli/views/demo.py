"""What `rr demo` shows: one search before and after reranking, and what it is worth."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from rich.table import Table
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.hits import movement
from retrieve_rerank.cli.views.snippets import snippet
from retrieve_rerank.cli.views.terminal import printable
from retrieve_rerank.evaluation.evaluate import Evaluation, latency
from retrieve_rerank.types import Hit, SearchResult

SNIPPET_CHARACTERS = 110
LANGUAGE = "english"


def before_and_after(result: SearchResult, *, after: str, relevant: Collection[str] = ()) -> Table:
    """Lay out the first hits of the first stage beside those after reranking, by `after`."""
    table = Table(title=f"“{result.query}”", title_justify="left", title_style="bold")
    if relevant:
        table.caption = "✓ judged to answer the question"
    table.add_column("", justify="right")
    table.add_column("before: BM25 + dense", ratio=1, overflow="fold")
    table.add_column(f"after: {after}", ratio=1, overflow="fold")
    before = result.stages[0].hits[: len(result)]
    for place, (old, new) in enumerate(zip(before, result, strict=True), start=1):
        table.add_row(
            str(place),
            Text.assemble(f"{old.score:.4f}", _tick(old, relevant), "\n", _body(old, result.query)),
            Text.assemble(
                *(
                    movement(new.first_stage.rank, place),
                    f" → {place}   {new.score:.4f}",
                    _tick(new, relevant),
                    "\n",
                ),
                _body(new, result.query),
            ),
        )
    return table


def quality(evaluations: Mapping[str, Evaluation]) -> Table:
    """Lay out a row for each pipeline and a column for each measure, and the time of a search."""
    rows = {name: evaluation.stages[-1].means for name, evaluation in evaluations.items()}
    first = next(iter(evaluations.values()))
    table = Table(title=f"{len(first.queries)} judged questions", title_justify="left")
    table.add_column("pipeline", overflow="fold")
    for measure in first.measures:
        table.add_column(measure, justify="right", overflow="fold")
    table.add_column("ms, p50", justify="right", overflow="fold")
    best = {measure: max(row[measure] for row in rows.values()) for measure in first.measures}
    for name, row in rows.items():
        cells = (
            Text(f"{row[measure]:.3f}", "bold green" if row[measure] == best[measure] else "")
            for measure in first.measures
        )
        table.add_row(name, *cells, f"{latency(evaluations[name].total_ms).p50:.1f}")
    return table


@contextmanager
def timed(console: Console, what: str) -> Iterator[None]:
    """Say how long something took."""
    started = time.perf_counter()
    yield
    console.print(f"{what} in {time.perf_counter() - started:.1f} s", style="dim")


def _tick(hit: Hit, relevant: Collection[str]) -> Text:
    return Text("   ✓" if hit.document.id in relevant else "", style="bold green")


def _body(hit: Hit, query: str) -> Text:
    body = Text()
    text = f"{hit.document.title}: {hit.document.text}" if hit.document.title else hit.document.text
    for piece in snippet(printable(text), query, language=LANGUAGE, width=SNIPPET_CHARACTERS):
        body.append(piece.text, style="black on yellow" if piece.marked else "")
    return body
