"""`rr audit`: what approximate vector search loses on an index."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from retrieve_rerank.base import Connector, VectorSearch
from retrieve_rerank.cli.judgments import FILE, exclude_self_option, say_judges
from retrieve_rerank.cli.options import NumberRange, field_options, index_option, json_option
from retrieve_rerank.cli.outputs import keep_inputs
from retrieve_rerank.cli.views.audit import print_audit
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, wide_console
from retrieve_rerank.evaluation.audit.audit import TARGET_RECALL, TOP_KS, Audit, audit
from retrieve_rerank.evaluation.audit.report import render_audit
from retrieve_rerank.evaluation.files import make_folder_for, read_qrels, read_queries, write_text
from retrieve_rerank.evaluation.judges import llm_judges
from retrieve_rerank.evaluation.report.plots import save_recall_by_latency
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.types import Qrels

FORMATS = (".png", ".svg", ".pdf")
QUERIES = 500
_POLL_S = 2.0


@click.command("audit")
@index_option
@click.option(
    "--queries", type=FILE, required=True, help="Queries: JSON lines, or lines of id<TAB>text."
)
@click.option(
    "--qrels",
    type=FILE,
    help="Judgments, in BEIR's form or TREC's: what the encoder itself misses.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=QUERIES,
    show_default=True,
    help="Use at most so many of the queries, evenly spread.",
)
@click.option(
    "--top-k",
    "top_ks",
    type=click.IntRange(min=1),
    multiple=True,
    default=TOP_KS,
    show_default=True,
    help="How many of the nearest documents are wanted; can be given several times.",
)
@click.option(
    "--target-recall",
    type=NumberRange(0, 1, min_open=True),
    default=TARGET_RECALL,
    show_default=True,
    help="Share of them that must be found.",
)
@exclude_self_option
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until the graph is built, where the server is still building it.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Picture to write: {', '.join(FORMATS)}.",
)
@field_options
@json_option
def command(
    index: str | None,
    queries: Path,
    qrels: Path | None,
    limit: int,
    top_ks: tuple[int, ...],
    target_recall: float,
    exclude_self: bool,
    wait: bool,
    report: Path | None,
    plot: Path | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Measure what approximate vector search loses on an index.

    Compares it with exact search, for every setting worth trying, and names the fastest one that
    finds enough. An index that is searched all the time gives other times than a quiet one.
    """
    if plot is not None and plot.suffix.lower() not in FORMATS:
        raise click.UsageError(f"--plot writes {', '.join(FORMATS)}; got {plot.name!r}")
    for path in (report, plot):
        if path is not None:
            keep_inputs(path, queries, qrels)
            make_folder_for(path)
    settings = load_settings(index=index, **fields)
    judgments = read_qrels(qrels) if qrels else None
    say_judges(llm_judges(qrels) if qrels else {})
    asked = _spread(read_queries(queries), limit, judgments)
    with open_index(settings) as connector:
        if wait:
            _wait_for_graph(connector)
        found = _audit(
            connector,
            asked,
            judgments,
            top_ks=top_ks,
            target_recall=target_recall,
            exclude_self=exclude_self,
            quiet=as_json,
        )
    named = settings.index in settings.indexes
    if as_json:
        write_json(found.to_dict())
    else:
        print_audit(wide_console(), found, name=str(settings.index) if named else "NAME")
    if plot is not None:
        save_recall_by_latency(found, plot)
        say(f"Plot: {plot}")
    if report is not None:
        write_text(report, render_audit(found, title=settings.index or found.location))
        say(f"Report: {report}")


def _wait_for_graph(connector: Connector) -> None:
    """Look again every few seconds until the graph is finished, and tell what has changed."""
    said = ""
    while isinstance(connector, VectorSearch) and (graph := connector.graph()).unfinished:
        if graph.said != said:
            say(f"Waiting for the graph: {graph.said}")
        said = graph.said
        time.sleep(_POLL_S)


def _spread(queries: Mapping[str, str], limit: int, qrels: Qrels | None) -> dict[str, str]:
    """Keep at most `limit` queries, evenly spread, the judged ones where there are judgments."""
    usable = [query for query in queries if query in qrels] if qrels else []
    usable = usable or list(queries)
    limit = min(limit, len(usable))
    chosen = (usable[i * len(usable) // limit] for i in range(limit))
    return {query: queries[query] for query in chosen}


def _audit(
    connector: Connector,
    queries: Mapping[str, str],
    qrels: Qrels | None,
    *,
    top_ks: tuple[int, ...],
    target_recall: float,
    exclude_self: bool,
    quiet: bool,
) -> Audit:
    """Audit, and show how far the exact searches are, then the others."""
    with ExitStack() as shown:
        of_exact = shown.enter_context(
            show_progress(lambda done: None, doing="searching exactly", quiet=quiet, things="steps")
        )
        of_searches: Callable[[int], None] | None = None

        def searched(count: int, total: int) -> None:
            nonlocal of_searches
            if of_searches is None:
                shown.close()
                of_searches = shown.enter_context(
                    show_progress(
                        share_of(total), doing="searching", quiet=quiet, things="searches"
                    )
                )
            of_searches(count)

        return audit(
            connector,
            queries,
            qrels=qrels,
            top_ks=top_ks,
            target_recall=target_recall,
            exclude_self=exclude_self,
            on_exact=of_exact,
            on_search=searched,
        )
