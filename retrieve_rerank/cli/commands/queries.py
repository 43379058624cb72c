"""`rr queries`: queries from an index's own documents, for a collection without judgments."""

from __future__ import annotations

from pathlib import Path

import click

from retrieve_rerank.cli.options import field_options, index_option, json_option
from retrieve_rerank.cli.spending import SpendingChoice, spending_options
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.queries import print_yields
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, wide_console
from retrieve_rerank.cli.written_queries import write_by_model
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.training.queries import ALL_SOURCES, SOURCES, Source, generate, write_folder
from retrieve_rerank.training.queries.folder import check_new
from retrieve_rerank.training.queries.generate import LIMIT, TOP_K, TRIED
from retrieve_rerank.types import Document


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
    "--queries",
    "sources",
    type=click.Choice(ALL_SOURCES),
    multiple=True,
    help="What to take queries from; can be given several times. With llm, --model writes them.  "
    "[default: all but llm]",
)
@click.option("--model", help="Language model that writes: openai:MODEL, ollama:MODEL, a folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="What chance draws by.")
@spending_options
@field_options
@json_option
def command(
    index: str | None,
    output: Path,
    limit: int,
    top_k: int,
    sources: tuple[Source, ...],
    seed: int,
    model: str | None,
    chosen_spending: SpendingChoice,
    dry_run: bool,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Take queries from the documents of an index: titles, headings, questions, sentences.

    Or have a language model write them: --source llm --model openai:MODEL.

    Each is searched for in its document without the span that it came from, and kept if that
    document comes back. What was taken from where stands in cuts.jsonl, by which training leaves
    the spans out. The queries are divided by document into train, dev, calibration and test.
    """
    if ("llm" in sources) != (model is not None):
        raise click.UsageError(
            "--source llm needs the --model that writes, and --model --source llm"
        )
    if dry_run and model is None:
        raise click.UsageError("--dry-run is for --source llm; the other sources ask nobody")
    check_new(output)
    settings = load_settings(index=index, **fields)
    with open_index(settings) as connector:
        total = connector.count()
        written: list[tuple[Document, str]] = []
        if model is not None:
            spending = chosen_spending.open(settings)
            written = write_by_model(
                connector,
                model,
                spending,
                documents=TRIED * limit // len(sources),
                seed=seed,
                dry_run=dry_run,
                quiet=as_json,
            )
            if dry_run:
                return
        with show_progress(
            share_of(total + 2 * limit),  # about half do not find back
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
                written=written,
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
