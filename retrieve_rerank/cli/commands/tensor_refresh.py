"""The part of `rr tensors` that makes an index's tensors anew while the old ones serve."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeAlias

import click

from retrieve_rerank.base import (
    IndexSchema,
    TensorRefreshing,
    TensorReplacing,
    TensorSettings,
)
from retrieve_rerank.cli.new_tensors import EMBEDDED_DTYPE, choose, embedded_pooling
from retrieve_rerank.cli.options import NumberRange, field_options, index_option, json_option
from retrieve_rerank.cli.views.progress import duration, share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, write
from retrieve_rerank.errors import ConfigError, RetrieveRerankError
from retrieve_rerank.indexing.tensor_refresh import RefreshCost, refresh_cost, refresh_tensors
from retrieve_rerank.indexing.token_tensors import tensor_settings
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.build import refresh_tensors as refresh_embedded
from retrieve_rerank.settings.sources import Settings, load_settings

Put: TypeAlias = Callable[[dict[str, Any]], None]
"""Takes what is to be written as JSON."""


@click.command()
@index_option
@click.option(
    "--model",
    required=True,
    help="What is to make the tensors: a model of rr tensors train, say, or the index's own "
    "encoder, for those of all dimensions.",
)
@click.option(
    "--rate",
    type=NumberRange(min=0, min_open=True),
    metavar="DOCUMENTS",
    help="At a server, encode and write at most so many documents a second.  [default: as fast as "
    "it goes]",
)
@click.option("--dry-run", is_flag=True, help="Say what it takes, and change nothing.")
@field_options
@json_option
def refresh(
    index: str | None,
    model: str,
    rate: float | None,
    dry_run: bool,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Make all token tensors of an index anew, by another model or a projection.

    The old ones serve until the new are complete; no search mixes them. Stopped at any moment, the
    same command goes on where it was; an embedded index is as it was, and begins anew.
    """
    settings = load_settings(index=index, **fields)
    refresh_index(settings, model=model, rate=rate, dry_run=dry_run, as_json=as_json)


def refresh_index(
    settings: Settings,
    *,
    model: str,
    rate: float | None = None,
    dry_run: bool = False,
    as_json: bool,
    put: Put = write_json,
) -> None:
    """Give an index the tensors of a model, and print what it took; the index must be closed.

    With `as_json` what was done is given to `put`.
    """
    with open_index(settings) as connector:
        if isinstance(connector, TensorReplacing):
            _refresh_at_server(
                connector, model=model, rate=rate, dry_run=dry_run, as_json=as_json, put=put
            )
            return
        schema = connector.schema()
        if not isinstance(connector, TensorRefreshing):
            raise ConfigError(
                f"{schema.location} keeps no old token tensors while new ones are made: rr tensors "
                f"drop, then rr tensors add --model {model}"
            )
        if rate is not None:
            raise ConfigError("--rate is for an index at a server; an embedded one serves alone")
        pooling_factor = embedded_pooling(schema)
        encoder = load_encoder(model)
        new = tensor_settings(encoder, dtype=EMBEDDED_DTYPE, pooling_factor=pooling_factor)
        cost = refresh_cost(connector, encoder, new)
    if dry_run or not as_json:
        _show_cost(cost, new, schema, model, dry_run=dry_run, as_json=as_json)
    if not dry_run:
        _refresh_embedded(
            settings, encoder, documents=cost.documents, model=model, as_json=as_json, put=put
        )


def _refresh_at_server(
    store: TensorReplacing,
    *,
    model: str,
    rate: float | None,
    dry_run: bool,
    as_json: bool,
    put: Put,
) -> None:
    started = time.monotonic()
    schema = store.schema()
    if store.tensor_settings() is None:
        raise ConfigError(
            f"{schema.location} has no token tensors to make anew; rr tensors add --model {model} "
            "makes the first"
        )
    encoder, settings = choose(store, model=model, dtype=None, pool=None)
    cost = refresh_cost(store, encoder, settings, documents_per_s=rate)
    if dry_run or not as_json:
        _show_cost(cost, settings, schema, model, dry_run=dry_run, as_json=as_json)
    if dry_run:
        return
    try:
        report = refresh_tensors(
            store,
            encoder,
            settings,
            progress=lambda doing: show_progress(
                share_of(cost.documents), doing=doing, quiet=as_json
            ),
            documents_per_s=rate,
        )
    except KeyboardInterrupt:
        click.echo("\nWhat is written is kept, and the same command goes on from there.", err=True)
        raise
    seconds = time.monotonic() - started
    if as_json:
        put(
            {
                "index": schema.location,
                "model": model,
                **asdict(report),
                "dimension": settings.dimension,
                "settings": asdict(settings),
                "seconds": round(seconds, 3),
            }
        )
    else:
        _show_done(report.documents - report.refused, settings.dimension, model, seconds)
        write(f"{report.added + report.replaced:,} of them were made now; the old ones are deleted")
    if report.refused:
        for id_, reason in report.refusals.items():
            say(f"{id_}: {reason}")
        raise RetrieveRerankError(
            f"{report.refused:,} tensors of documents that have changed since were refused; "
            "rr tensors add tries them again"
        )


def _refresh_embedded(
    settings: Settings,
    encoder: TextEncoder,
    *,
    documents: int,
    model: str,
    as_json: bool,
    put: Put,
) -> None:
    started = time.monotonic()
    with show_progress(share_of(documents), doing="making tensors", quiet=as_json) as advance:
        report = refresh_embedded(settings, encoder, on_progress=advance)
    with open_index(settings) as connector:
        schema = connector.schema()
    if as_json:
        put(
            {
                "index": schema.location,
                "model": model,
                "documents": report.indexed,
                "dimension": encoder.token_dimension,
                "bytes_on_disk": schema.bytes_on_disk,
            }
        )
    else:
        _show_done(report.indexed, encoder.token_dimension, model, time.monotonic() - started)


def _show_cost(
    cost: RefreshCost,
    settings: TensorSettings,
    schema: IndexSchema,
    model: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if as_json:
        write_json(
            {"index": schema.location, "model": model, **asdict(cost), "settings": asdict(settings)}
        )
        return
    show = write if dry_run else say
    show(
        f"{cost.documents:,} documents, about {cost.bytes / 1e6:,.1f} MB of tensors of "
        f"{settings.dimension} {settings.dtype} numbers a token, pooled by "
        f"{settings.pooling_factor}, and about {duration(cost.seconds)}"
    )
    if schema.bytes_on_disk is not None:
        show(f"The disk holds the index twice meanwhile, now {schema.bytes_on_disk / 1e6:,.1f} MB")
    else:
        show("They lie beside the old ones, which serve until these are complete.")


def _show_done(documents: int, dimension: int, model: str, seconds: float) -> None:
    write(
        f"{documents:,} documents have tensors of {dimension} numbers a token, made by {model}, "
        f"in {seconds:,.1f} s"
    )
