"""`rr models`: show, fetch and export models, and choose which version of one serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from retrieve_rerank.cli.commands.model_versions import (
    list_trained,
    list_versions,
    promote,
    push,
    rollback,
)
from retrieve_rerank.cli.options import json_option
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import write_beside, write_rows
from retrieve_rerank.errors import MissingExtraError
from retrieve_rerank.models.checkpoints.description import ModelDescription, aliases, describe
from retrieve_rerank.settings.sources import load_settings


@click.group("models")
def command() -> None:
    """Show, fetch and export models, and choose which version of one serves.

    A model is an alias, a folder, a hub id such as BAAI/bge-m3, or one that was trained here:
    docs-reranker is its promoted version, docs-reranker@2 another.
    """
    load_settings()  # which say where models that were trained here are


command.add_command(promote)
command.add_command(push)
command.add_command(rollback)


@command.command("list")
@click.argument("name", required=False)
@json_option
def list_models(name: str | None, as_json: bool) -> None:
    """List the models that have short names, and which are on this machine.

    With the NAME of one that was trained here, list its versions.
    """
    if name is not None:
        list_versions(name, as_json=as_json)
        return
    list_trained(as_json=as_json)
    for alias in aliases():
        if as_json:
            write_json(asdict(alias))
        else:
            where = "present" if alias.present else "to download"
            facts = f"{alias.name:<30}{alias.kind:<18}{where:<13}"
            write_beside(facts, alias.about, indent=len(facts))


@command.command()
@click.argument("name")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto (a GPU where there is one), cpu or cuda.",
)
@json_option
def info(name: str, device: str, as_json: bool) -> None:
    """Show what a model is, what it reads, and what runs it; download it if need be."""
    description = describe(name, device=device)
    if as_json:
        write_json(asdict(description))
        return
    write_rows(_rows(description))


@command.command()
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    type=click.Choice(["int8", "bf16", "fp32"]),
    default="int8",
    show_default=True,
    help="What the CPU computes in, where it can.",
)
@click.option(
    "--calibrate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON lines {"query": …, "documents": […]} of your own field; half of them calibrate,'
    " the others check.  [default: Python's manual]",
)
@click.option("--force", is_flag=True, help="Write the model even if its fidelity is too low.")
@json_option
def export(
    model: str, out: Path, precision: str, calibrate: Path | None, force: bool, as_json: bool
) -> None:
    """Write the fast form of MODEL into the new folder OUT, and compare it with the original.

    The result is loaded like any model, and needs neither torch nor a GPU.
    """
    written = _exporting().export(model, out, precision=precision, calibrate=calibrate, force=force)
    facts = {**asdict(written), "folder": str(written.folder)}
    if as_json:
        write_json(facts)
        return
    fidelity = facts.pop("fidelity")
    write_rows(
        (title.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else value)
        for title, value in {**facts, **fidelity}.items()
    )


def _exporting() -> ModuleType:
    try:
        return import_module("retrieve_rerank.models.export.exporting")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError("rr models export", "export") from exc


def _rows(description: ModelDescription) -> Iterator[tuple[str, Any]]:
    for name, value in asdict(description).items():
        if name == "export":
            for fact in ("precision", "recipe", "source", "texts"):
                if value.get(fact):
                    yield f"exported {fact}", value[fact]
        elif value not in (None, (), []):
            quoted = name.endswith("prompt") or name == "template"
            listed = ", ".join(value) if isinstance(value, (list, tuple)) else value
            yield name.replace("_", " "), repr(value) if quoted else listed
