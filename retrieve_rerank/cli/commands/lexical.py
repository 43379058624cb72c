"""`rr lexical`: a ranking by words for a collection that others made."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from retrieve_rerank.cli.options import companion_option, field_options, index_option, json_option
from retrieve_rerank.cli.views.additions import show_added, show_adding, show_standing
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.connectors.lexical_store import LexicalStore
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.indexing.lexical import add_lexical, lexical_status
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import Settings, load_settings
from retrieve_rerank.text.stop_words import STOP_WORDS


@click.group("lexical")
def command() -> None:
    """Give a Qdrant collection a ranking by words, where it has none.

    BM25's weight of each word of each document is stored as a sparse vector. Searches then find
    codes and names that vectors alone miss. The documents stay as they are.
    """


@command.command()
@index_option
@click.option(
    "--language",
    type=click.Choice(sorted(STOP_WORDS)),
    metavar="NAME",
    help="Language that words are stemmed in, such as german.  [default: that of the first "
    "documents]",
)
@companion_option
@field_options
@json_option
def add(
    index: str | None,
    language: str | None,
    companion: bool | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Compute the weights that are missing or out of date, and delete those of deleted documents.

    Stopped and run again, the command goes on where it was. Afterwards `rr search` ranks by words
    too.
    """
    started = time.monotonic()
    with _open(load_settings(index=index, **fields)) as store:
        with show_adding(store, doing="weighing words", quiet=as_json) as advance:
            report = add_lexical(store, language=language, companion=companion, on_progress=advance)
        settings, location = store.lexical_settings(), store.schema().location
    show_added(
        report,
        asdict(settings) if settings else None,
        "lexical",
        location=location,
        seconds=time.monotonic() - started,
        as_json=as_json,
    )


@command.command()
@index_option
@field_options
@json_option
def status(index: str | None, as_json: bool, **fields: str | None) -> None:
    """Count the documents whose weights are there, missing or out of date; reads all documents."""
    with _open(load_settings(index=index, **fields)) as store:
        share = share_of(store.count())
        with show_progress(share, doing="reading", quiet=as_json) as advance:
            found = lexical_status(store, on_progress=advance)
        schema = store.schema()
    language = found.settings.language if found.settings else None
    show_standing(found, {"language": language}, "lexical", schema=schema, as_json=as_json)


@command.command()
@index_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@field_options
@json_option
def drop(index: str | None, yes: bool, as_json: bool, **fields: str | None) -> None:
    """Delete all weights and the room made for them; the documents stay as they are."""
    with _open(load_settings(index=index, **fields)) as store:
        location = store.schema().location
        there = store.lexical_settings()
        if there is not None:
            if not yes:
                question = f"Delete the BM25 vectors that were added to {location}?"
                click.confirm(question, abort=True, err=True)
            store.drop_lexical()
    if as_json:
        write_json({"index": location, "dropped": there is not None})
    else:
        click.echo("The BM25 vectors are deleted." if there else "No BM25 vectors were added.")


def _open(settings: Settings) -> LexicalStore:
    """Open an index that words can be weighed for; raise ConfigError for any other."""
    connector = open_index(settings)
    if isinstance(connector, LexicalStore):
        return connector
    kind = connector.schema().connector
    connector.close()
    raise ConfigError(f"an index of {kind} ranks by words itself; rr lexical is for Qdrant")
