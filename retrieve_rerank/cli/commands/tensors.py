"""`rr tensors`: token tensors for an index that is there already."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import get_args

import click

from retrieve_rerank.base import TensorDtype, TensorReplacing
from retrieve_rerank.cli.commands.tensor_projections import train
from retrieve_rerank.cli.commands.tensor_refresh import refresh
from retrieve_rerank.cli.new_tensors import as_store, choose, has_its_own, open_store, own_status
from retrieve_rerank.cli.options import (
    NumberRange,
    companion_option,
    field_options,
    index_option,
    json_option,
)
from retrieve_rerank.cli.views.additions import show_added, show_adding, show_standing
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.indexing.token_tensors import (
    POOLING_FACTOR,
    add_tensors,
    tensor_status,
)
from retrieve_rerank.models.loading import DEFAULT_ENCODER
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings


@click.group("tensors")
def command() -> None:
    """Give an index token tensors to rerank by, or smaller ones.

    A token tensor holds a vector for each token of a document, by which max-sim reranks. They are
    stored beside the documents, which stay as they are.
    """


command.add_command(train)
command.add_command(refresh)


@command.command()
@index_option
@click.option(
    "--model",
    help="Model that makes the tensors: an alias, a hub id or a folder.  [default: that of the "
    f"tensors there are, else the index's own if it runs here, else {DEFAULT_ENCODER}]",
)
@click.option(
    "--pool",
    type=click.IntRange(min=1),
    help="How many neighbouring tokens are averaged into one.  [default: as the tensors there "
    f"are, else {POOLING_FACTOR}]",
)
@click.option(
    "--dtype",
    type=click.Choice(get_args(TensorDtype)),
    help="How each number is stored.  [default: as the tensors there are, else int8 "
    "where the backend has it]",
)
@click.option(
    "--rate",
    type=NumberRange(min=0, min_open=True),
    metavar="DOCUMENTS",
    help="Encode and write at most so many documents a second.  [default: as fast as it goes]",
)
@companion_option
@field_options
@json_option
def add(
    index: str | None,
    model: str | None,
    pool: int | None,
    dtype: TensorDtype | None,
    rate: float | None,
    companion: bool | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Compute the tensors that are missing or out of date, and delete those of deleted documents.

    Stopped and run again, the command goes on where it was. Afterwards `rr search` reranks by
    max-sim.
    """
    started = time.monotonic()
    with open_store(load_settings(index=index, **fields)) as store:
        encoder, settings = choose(store, model=model, dtype=dtype, pool=pool)
        with show_adding(store, doing="adding tensors", quiet=as_json) as advance:
            report = add_tensors(
                store,
                encoder,
                settings,
                documents_per_s=rate,
                companion=companion,
                on_progress=advance,
            )
        location = store.schema().location
    cut = "are of the beginning of their texts: the model reads no more"
    show_added(
        report,
        asdict(settings),
        "tensors",
        location=location,
        seconds=time.monotonic() - started,
        as_json=as_json,
        notes=[f"{report.truncated:,} {cut}"] if report.truncated else [],
    )


@command.command()
@index_option
@field_options
@json_option
def status(index: str | None, as_json: bool, **fields: str | None) -> None:
    """Count the documents whose tensors are there, missing or out of date; reads all documents.

    An embedded index writes its tensors with the documents, so that all are there.
    """
    with open_index(load_settings(index=index, **fields)) as connector:
        if has_its_own(connector.schema()):
            found = own_status(connector.schema())
        else:
            store = as_store(connector)
            share = share_of(store.count())
            with show_progress(share, doing="reading", quiet=as_json) as advance:
                found = tensor_status(store, on_progress=advance)
        schema = connector.schema()
        drafted = connector.drafted() if isinstance(connector, TensorReplacing) else None
    made = {}
    if found.settings is not None:
        made["model"] = found.settings.encoder
        made["stored as"] = (
            f"{found.settings.dimension} {found.settings.dtype} numbers a token, pooled by "
            f"{found.settings.pooling_factor}"
        )
    if drafted is not None:
        made["being made"] = (
            f"others, by {drafted.encoder}: rr tensors refresh goes on with them; with the model "
            "of those there are, it gives them up"
        )
    show_standing(found, made, "tensors", schema=schema, as_json=as_json)


@command.command()
@index_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@field_options
@json_option
def drop(index: str | None, yes: bool, as_json: bool, **fields: str | None) -> None:
    """Delete all tensors and the room made for them; the documents stay as they are."""
    with open_store(load_settings(index=index, **fields)) as store:
        location = store.schema().location
        there = store.tensor_settings()
        if there is not None:
            if not yes:
                question = f"Delete the token tensors that {there.encoder} made for {location}?"
                click.confirm(question, abort=True, err=True)
            store.drop_tensors()
    if as_json:
        write_json({"index": location, "dropped": there is not None})
    else:
        click.echo("The token tensors are deleted." if there else "There are no token tensors.")
