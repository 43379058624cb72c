"""Search results for people: a table of hits, and what each stage did."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.snippets import snippet
from retrieve_rerank.cli.views.terminal import printable
from retrieve_rerank.pipeline.result_json import stage_hits
from retrieve_rerank.types import Hit, SearchResult

SNIPPET_CHARACTERS = 240


def print_result(result: SearchResult, *, language: str, explain: bool = False) -> None:
    """Print the hits, each with how far reranking moved it, and with `explain` the stages."""
    console = Console()
    if not result.hits:
        console.print("Nothing found.")
    else:
        console.print(hits_table(result, language=language, explain=explain))
    if explain:
        console.print(stages_table(result))


def hits_table(result: SearchResult, *, language: str, explain: bool = False) -> Table:
    """Lay out the hits: rank, where they came from, score, title and snippet."""
    placed = stage_hits(result)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("rank", justify="right", style="bold", overflow="fold")
    table.add_column("was", justify="right", overflow="fold")
    table.add_column("score", justify="right", overflow="fold")
    table.add_column("document", ratio=1, overflow="fold")  # no cell is ever cut
    for hit in result:
        id_, title, text = map(printable, (hit.document.id, hit.document.title, hit.document.text))
        body = Text.assemble((title or id_, "bold"), (f"  {id_}" if title else "", "dim"), "\n")
        for piece in snippet(text, result.query, language=language, width=SNIPPET_CHARACTERS):
            body.append(piece.text, style="black on yellow" if piece.marked else "")
        if explain:
            body.append(f"\n{_path(hit, placed[hit.document.id])}", style="dim")
        was = next(iter(placed[hit.document.id].values())).rank
        table.add_row(str(hit.rank), movement(was, hit.rank), f"{hit.score:.4f}", body)
    return table


def stages_table(result: SearchResult) -> Table:
    """Lay out what each stage did."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage", overflow="fold")
    for name in ("ms", "in", "scored", "truncated"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("error", style="red", overflow="fold")
    for stage in result.stages:
        table.add_row(
            stage.name,
            f"{stage.ms:.1f}",
            str(stage.candidates),
            str(stage.scored),
            str(stage.truncated),
            stage.error or "",
        )
    return table


def movement(was: int, rank: int) -> Text:
    """Show the rank that the first stage gave, and which way the hit went from there."""
    if was > rank:
        return Text(f"↑ {was}", style="green")
    if was < rank:
        return Text(f"↓ {was}", style="red")
    return Text(f"= {was}", style="dim")


def _path(hit: Hit, stages: dict[str, Hit]) -> str:
    """Say how a hit came to its rank: dense 3, bm25 1 → first-stage 2 → max-sim 1 (alone 4)."""
    first = hit.first_stage.sources
    path = [", ".join(f"{name} {placed.rank}" for name, placed in first.items())] if first else []
    for name, rank in ((name, was.rank) for name, was in stages.items()):
        alone = hit.sources[name].rank if name in hit.sources.keys() - first.keys() else rank
        path.append(f"{name} {rank}" + (f" (alone {alone})" if alone != rank else ""))
    return " → ".join(path)
