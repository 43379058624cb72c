"""`rr info`: what an index holds, and what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.cli.installation import extras, versions
from retrieve_rerank.cli.options import field_options, index_option, json_option
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, write_rows
from retrieve_rerank.errors import IndexCorruptError
from retrieve_rerank.models.checkpoints.version_lookup import promotion_for
from retrieve_rerank.models.runtimes.devices import devices
from retrieve_rerank.settings.build import index_names, locate, open_index, verify_index
from retrieve_rerank.settings.file import APP, config_file
from retrieve_rerank.settings.promoted import index_address, problem
from retrieve_rerank.settings.sources import Settings, load_settings


@click.command()
@index_option
@field_options
@click.option(
    "--verify", is_flag=True, help="Look at every file and document of an embedded index first."
)
@json_option
def command(index: str | None, verify: bool, as_json: bool, **fields: str | None) -> None:
    """Show what an index holds, and what is installed.

    Without --index, shows the default index, or the only one there is, or else lists them. Opening
    an embedded index compares the sizes of its files with those recorded, and the contents of those
    that have changed since; --verify compares all contents, and looks at each document.
    """
    settings = load_settings(index=index, **fields)
    if verify:
        _verify(settings)
    there, installation = _index(settings), _installation(settings)
    promoted = None if there is None else _promoted(settings)
    if as_json:
        write_json({**installation, "index": there, "promoted": promoted})
        return
    if there is not None:
        write_rows((*_index_rows(there), *_promoted_rows(promoted)))
        click.echo()
    write_rows(_installation_rows(installation))


def _verify(settings: Settings) -> None:
    documents, damage = verify_index(settings)
    for finding in damage:
        say(finding)
    if damage:
        where = settings.index or locate(settings).url
        raise IndexCorruptError(
            f"the index at {where} is damaged; make it anew from its sources "
            f"(rr index SOURCE --index {where} --recreate), or restore it from a backup"
        )
    say(f"{documents:,} documents verified: nothing is missing or other than it was written")


def _installation(settings: Settings) -> dict[str, Any]:
    file = config_file()
    return {
        "versions": versions(),
        "extras": extras(),
        "devices": devices(),
        "config_file": str(file) if file else None,
        "data_dir": str(settings.data_dir),
        "indexes": index_names(settings),
    }


def _index(settings: Settings) -> dict[str, Any] | None:
    names = index_names(settings)
    if settings.index is None and len(names) != 1:
        return None
    with open_index(settings) as connector:
        return _as_json(connector.schema())


def _as_json(schema: IndexSchema) -> dict[str, Any]:
    """Say everything; what every backend tells stands among the details too, as it always has."""
    details = {"language": schema.language, "bytes_on_disk": schema.bytes_on_disk}
    told = {name: value for name, value in details.items() if value is not None}
    added = {
        name: {**(schema.details.get(name) or {}), "kept_in": index}
        for name, index in schema.kept_in.items()
    }
    return {**asdict(schema), "details": {**told, **schema.details, **added}}


def _promoted(settings: Settings) -> dict[str, Any] | None:
    """Return what is promoted for the index, and why it does not serve where it does not."""
    promotion = promotion_for(
        settings.data_dir, index_address(locate(settings)), segment=settings.segment
    )
    if promotion is None:
        return None
    return {
        "model": promotion.address,
        "since": promotion.since,
        "folder": str(promotion.folder),
        **(asdict(promotion.serving) if promotion.serving else {}),
        "problem": problem(promotion, settings.stages),
    }


def _promoted_rows(promoted: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if promoted is None:
        return
    place = ", ".join(f"{n} {promoted[n]}" for n in ("depth", "weight") if promoted[n] is not None)
    yield "reranker", f"{promoted['model']}, promoted {promoted['since'][:10]}; {place}"
    if promoted["problem"]:
        yield "note", promoted["problem"]


def _installation_rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    packages = [f"{name} {version}" for name, version in facts["versions"].items()]
    yield "versions", ", ".join(packages)
    for extra, missing in facts["extras"].items():
        state = f"pip install '{APP}[{extra}]'" if missing else "installed"
        yield f"extra {extra}", state
    yield "devices", "; ".join(facts["devices"])
    yield "settings", facts["config_file"] or "none (rr.toml)"
    yield "data", facts["data_dir"]
    yield "indexes", ", ".join(facts["indexes"]) or "none; make one: rr index SOURCE --index NAME"


def _index_rows(index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("location", "connector", "documents", "encoder", "dimension", "token_tensors"):
        yield name.replace("_", " "), _in_words(index[name])
    yield "rankings", ", ".join(index["rankings"])
    for name, value in index["details"].items():
        for part in value if isinstance(value, list) and value else [value]:
            yield name.replace("_", " "), _in_words(part)
    for name, kind in index["fields"].items():
        yield f"field {name}", kind
    for note in index["notes"]:
        yield "note", note


def _in_words(value: Any) -> str:
    """Write a fact as a person would read it: name dense, dimensions 384."""
    if isinstance(value, dict):
        known = {name: part for name, part in value.items() if part not in (None, {}, [])}
        return ", ".join(f"{name} {_in_words(part)}" for name, part in known.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    return "none" if value is None else str(value)
