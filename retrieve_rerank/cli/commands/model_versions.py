"""The part of `rr models` that deals with versions of models trained here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from retrieve_rerank.cli.options import json_option
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, write, write_rows
from retrieve_rerank.errors import ModelError, ModelNotFoundError
from retrieve_rerank.models.checkpoints.description import kind_of
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.version_lookup import find_version, known_models
from retrieve_rerank.models.checkpoints.version_record import Record
from retrieve_rerank.models.checkpoints.versions import ModelVersions, Version
from retrieve_rerank.models.loading import find_checkpoint
from retrieve_rerank.settings.sources import load_settings

_VERSION = re.compile(r"(?P<name>[^@]+)@(?P<number>\d+)", re.ASCII)
_NUMBER = click.IntRange(min=1)
_NUMBER.name = "version number"  # as errors call it, in place of "integer range"


@click.command()
@click.argument("name")
@click.argument("version", type=_NUMBER, required=False)
@json_option
def promote(name: str, version: int | None, as_json: bool) -> None:
    """Have searches use a version of a model trained here; the newest, where none is given.

    NAME 2 and NAME@2 are its second version. From the next search on, the index that it was
    measured on is searched with it, in place of the stages that it was measured against.
    """
    if version is None and (address := _VERSION.fullmatch(name)):
        name, version = address["name"], int(address["number"])
    versions = find_versions(name)
    chosen = max(versions.numbers, default=1) if version is None else version
    if chosen in versions.numbers:
        find_checkpoint(str(versions.path(chosen)))  # which raises what is wrong with it
    versions.promote(chosen)
    _tell(versions, as_json=as_json)


@click.command()
@click.argument("name")
@json_option
def rollback(name: str, as_json: bool) -> None:
    """Go back to the version that was promoted before, or to none where there was none."""
    versions = find_versions(name)
    versions.rollback()
    _tell(versions, as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("repository")
@click.option("--public", is_flag=True, help="Let anyone read it.  [default: private]")
@json_option
def push(name: str, repository: str, public: bool, as_json: bool) -> None:
    """Upload a version of a model trained here to the Hugging Face hub, for you alone to read.

    NAME is the promoted version, NAME@2 another; REPOSITORY is owner/name, and is made where it
    is not there. The whole folder is uploaded, card and provenance included: these name the index,
    its address and the settings. The token is taken from the variable HF_TOKEN.
    """
    model = name.partition("@")[0]
    find_versions(model)
    folder = find_version(name)
    assert folder is not None  # as the model is known
    hub = import_module("retrieve_rerank.models.checkpoints.hub_upload")  # which takes a while
    url = hub.upload(
        folder, repository, public=public, message=f"Add {model}, version {folder.name}"
    )
    if as_json:
        write_json({"name": model, "version": int(folder.name), "commit": url})
    else:
        write(f"Uploaded {model}@{folder.name}: {url}")


def find_versions(name: str) -> ModelVersions:
    """Return the versions of a model that was trained here; raise ModelNotFoundError."""
    data_dir = load_settings().data_dir
    versions = ModelVersions(data_dir, name)
    if not versions.numbers and versions.promoted is None:
        known = ", ".join(each.name for each in known_models(data_dir) if each.numbers)
        raise ModelNotFoundError(
            f"no model {name!r} was trained here; known: {known or 'none, rr finetune trains one'}"
        )
    return versions


def list_versions(name: str, *, as_json: bool) -> None:
    """Show the versions of a model."""
    versions = find_versions(name)
    if (promoted := versions.promotion) and promoted.version not in versions.numbers:
        say(f"Warning: {promoted.address} is promoted, and its folder is not there")
    for version in versions.list():
        if as_json:
            write_json(version_as_json(version))
        else:
            mark = "  promoted" if version.promoted else ""
            write(f"{version.address}{mark}")
            write_rows((f"  {title}", value) for title, value in _facts(version.record))


def list_trained(*, as_json: bool) -> None:
    """Show the models that were trained here."""
    for versions in known_models(load_settings().data_dir):
        if not versions.numbers:
            continue
        facts = {"name": versions.name, "kind": _kind(versions.path(versions.numbers[-1]))}
        numbers = {"versions": versions.numbers, "promoted": versions.promoted}
        if as_json:
            write_json({**facts, "present": True, **numbers})
        else:
            promoted = versions.promoted
            state = "none promoted" if promoted is None else f"version {promoted} promoted"
            count = len(versions.numbers)
            about = f"trained here; {count} version{'s' * (count != 1)}, {state}"
            write(f"{versions.name:<30}{facts['kind']:<18}{'present':<13}{about}")


def version_as_json(version: Version) -> dict[str, Any]:
    """Say everything of a version."""
    return {
        "name": version.name,
        "version": version.number,
        "promoted": version.promoted,
        "folder": str(version.folder),
        **asdict(version.record),
    }


def _tell(versions: ModelVersions, *, as_json: bool) -> None:
    promoted = next((each for each in versions.list() if each.promoted), None)
    if as_json:
        write_json(
            {"name": versions.name, "version": None, "promoted": False}
            if promoted is None
            else version_as_json(promoted)
        )
    elif promoted is None:
        write(
            f"No version of {versions.name} is promoted any more: searches use the stages that are "
            "set."
        )
    else:
        write(f"{promoted.address} is promoted.")
        write_rows(_facts(promoted.record))
        if _kind(promoted.folder) in ("encoder", "late interaction"):
            say(
                "Note: no search reranks by an encoder; to have an index's token tensors made by "
                f"it: rr tensors refresh --index INDEX --model {promoted.address}"
            )
        elif promoted.record.serving is None:
            say("Note: it was measured on no index: it is used where it is named, and not else")


def _kind(folder: Path) -> str:
    try:
        return kind_of(read_folder(folder))
    except ModelError:  # whoever uses it is told why
        return "unreadable"


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    if record.created:
        yield "made", record.created[:16].replace("T", " ")
    if record.verdict:
        yield "verdict", record.verdict
    if record.gain is not None:
        interval = (
            ""
            if record.low is None or record.high is None
            else f", 95 % interval {record.low:+.3f} to {record.high:+.3f}"
        )
        yield "gain", f"{record.gain:+.3f}{interval}".replace("-", "−")
    if record.serving is not None:
        place = [
            f"{name} {value:g}"
            for name, value in (("depth", record.serving.depth), ("weight", record.serving.weight))
            if value is not None
        ]
        yield "serves", ", ".join([record.serving.index, *place])
