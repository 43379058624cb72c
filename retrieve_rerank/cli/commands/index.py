"""`rr index`: add documents to an index, and make it where there is none."""

from __future__ import annotations

import time

import click

from retrieve_rerank.base import Optimizable
from retrieve_rerank.cli.absent import deal_with_absent
from retrieve_rerank.cli.new_index import NO_ENCODER, open_or_make, require_embedded
from retrieve_rerank.cli.options import json_option, setting
from retrieve_rerank.cli.views.index_summary import Summary, source_lines
from retrieve_rerank.cli.views.progress import CountedDocuments, show_progress, show_wait
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, write
from retrieve_rerank.connectors.batches import sample
from retrieve_rerank.data.corpus import FORMATS, Corpus, until_broken
from retrieve_rerank.data.passages import Cut
from retrieve_rerank.data.records import Fields
from retrieve_rerank.errors import InputError, RetrieveRerankError
from retrieve_rerank.indexing.documents import index_cut
from retrieve_rerank.models.loading import DEFAULT_ENCODER
from retrieve_rerank.settings.sources import load_settings


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@setting(
    "index", type=click.STRING, help="Name, folder or URL of the index; made where there is none."
)
@click.option(
    "--encoder",
    metavar="MODEL",
    help="Model of a new index: an alias, a hub id or a folder; "
    f"{NO_ENCODER} for search by words alone.  [default: {DEFAULT_ENCODER}; "
    f"{NO_ENCODER} where the documents are not English]",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="Format of the sources.  [default: by their names; jsonl from standard input]",
)
@click.option("--id-field", help="Field of the ids.  [default: _id, id, docid, …]")
@click.option("--text-field", help="Field of the texts.  [default: text, contents, content, …]")
@click.option("--title-field", help="Field of the titles.  [default: title]")
@click.option(
    "--passages",
    type=click.IntRange(min=1),
    metavar="WORDS",
    help="Split texts into passages of at most so many words.  [default: not split]",
)
@click.option(
    "--recreate",
    is_flag=True,
    help="Make the index anew; the one that is there stays in use until the new one is complete.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Delete what the index holds and the sources do not, once all of them are read.",
)
@click.option(
    "--skip-bad", is_flag=True, help="Exit with 0 even if records had to be left out as unusable."
)
@json_option
def command(
    sources: tuple[str, ...],
    index: str | None,
    encoder: str | None,
    format: str | None,
    id_field: str | None,
    text_field: str | None,
    title_field: str | None,
    passages: int | None,
    recreate: bool,
    prune: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Add documents to an index, and make it where there is none.

    A SOURCE is a BEIR folder (corpus.jsonl), a file of JSON lines, CSV or TSV, gzipped or not, a
    folder of .txt and .md files, or - for standard input. Fields other than id, text and title
    become metadata, by which `rr search --filter` selects.

    Documents that the index already holds are passed over: stopped and run again, the command
    goes on where it was. With --passages, passages that a document no longer has are deleted.
    Documents that the sources no longer have stay, and are named; --prune deletes them, unless a
    source could not be read whole, and --recreate starts anew. In CSV and TSV every value is text;
    JSON lines keep numbers, which ranges need. Records that cannot be used are left out and
    reported, and the exit code is 1 unless --skip-bad is given.
    """
    settings = load_settings(index=index)
    if settings.index is None:
        raise click.UsageError("name the index to make or to add to: --index NAME")
    if recreate:
        require_embedded(settings)
    corpus = Corpus(sources, format=format, fields=Fields(id_field, text_field, title_field))
    broken: list[InputError] = []
    cut = Cut(until_broken(corpus, broken), words=passages)
    counted = CountedDocuments(cut, corpus)
    first, documents = sample(counted)
    if not first:
        for line in source_lines(corpus):
            say(line)
        raise broken[0] if broken else InputError("there is no document to index")
    started = time.monotonic()
    try:
        with open_or_make(settings, encoder=encoder, sample=first, recreate=recreate) as connector:
            with show_progress(counted.share, doing="indexing", quiet=as_json) as advance:
                report = index_cut(connector, cut, documents, on_progress=advance)
            if broken and recreate:
                raise InputError(f"{broken[0]}. The index is as it was") from broken[0]
            absent = deal_with_absent(
                connector, corpus, cut, whole=not broken, asked_to_prune=prune
            )
            if isinstance(connector, Optimizable) and connector.needs_optimizing():
                with show_wait("making the graph for fast search", quiet=as_json):
                    connector.optimize()
            connector.activate()
            summary = Summary(
                report, corpus, absent, connector.schema(), seconds=time.monotonic() - started
            )
    except KeyboardInterrupt:
        if recreate:
            click.echo("\nThe index is as it was; the same command starts over.", err=True)
            raise
        kept = f"{cut.written:,} documents of the sources are in the index and stay there"
        click.echo(f"\n{kept}; the same command goes on from there.", err=True)
        raise
    if as_json:
        write_json(summary.as_json())
    else:
        write(summary.text())
    for line in (*summary.notes(), *source_lines(corpus)):
        say(line)
    if broken:
        raise InputError(f"{broken[0]}. What stands before is indexed") from broken[0]
    if corpus.skipped and not skip_bad:
        raise RetrieveRerankError(
            f"{corpus.skipped.total()} records were left out; --skip-bad accepts that"
        )
