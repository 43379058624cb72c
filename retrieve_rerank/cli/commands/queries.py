"""`rr queries`: queries from an index's own documents, for a collection without judgments."""

from __future__ import annotations

from pathlib import Path

import click

from retrieve_rerank.cli.options import field_options, index_option, json_option
from retrieve_rerank.cli.views.progress import show_progress
from retrieve_rerank.cli.views.queries import print_yields
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, wide_console
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.training.queries import SOURCES, Source, generate, write_folder
from retrieve_rerank.training.queries.folder import check_new
from retrieve_rerank.training.queries.generate import LIMIT, TOP_K


@click.command()
@index_option
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="BEIR folder to write, for rr mine --data: queries.jsonl, qrels/ and cuts.jsonl.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=LIMIT,
    show_default=True,
    help="Queries to keep, at most.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=TOP_K,
    show_default=True,
    help="A query is kept where the index's first stage returns its document among so many hits.",
)
@click.option(
    "--source",
    "sources",
    type=click.Choice(SOURCES),
    multiple=True,
    help="What to take queries from; can be given several times.  [default: all]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="What chance draws by.")
@field_options
@json_option
def command(
    index: str | None,
    output: Path,
    limit: int,
    top_k: int,
    sources: tuple[Source, ...],
    seed: int,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Take queries from the documents of an index: titles, headings, questions, sentences.

    Each is searched for in its document without the span that it came from, and kept if that
    document comes back. What was taken from where stands in cuts.jsonl, by which training leaves
    the spans out. The queries are divided by document into train, dev, calibration and test.
    """
    check_new(output)
    with open_index(load_settings(index=index, **fields)) as connector:
        total = connector.count()
        with show_progress(
            lambda done: min(1.0, done / (total + 2 * limit)),  # about half do not find back
            doing="reading and searching",
            quiet=as_json,
            things="documents and queries",
        ) as advance:
            generated = generate(
                connector,
                limit=limit,
                top_k=top_k,
                sources=sources or SOURCES,
                seed=seed,
                on_progress=advance,
            )
    write_folder(generated, output)
    if as_json:
        write_json(
            {
                "documents": generated.documents,
                "queries": len(generated.queries),
                "splits": generated.split_sizes,
                "yields": {name: its.to_dict() for name, its in generated.yields.items()},
                "output": str(output),
            }
        )
    else:
        print_yields(wide_console(), generated)
        say(f"Queries: {output}")
