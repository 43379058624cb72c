"""What the settings choose to be served, and what is wrong with it before any of it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from retrieve_rerank.connectors.embedded.folder import SCHEME, folder_of, load_manifest
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.settings.build import check_stage, index_names, locate, reranker_of
from retrieve_rerank.settings.serving import ModelSettings
from retrieve_rerank.settings.sources import Settings

DEFAULT_MODEL = "max-sim"
"""The model that is served where none is set: MaxSim with the bundled encoder."""


def models_of(settings: Settings) -> Mapping[str, ModelSettings]:
    """Return the models by the names that requests give them, the default first."""
    return settings.server.models or {DEFAULT_MODEL: ModelSettings(reranker="max-sim")}


def indexes_of(settings: Settings) -> list[str]:
    """Return the names of the indexes, the default first."""
    chosen = settings.server.indexes
    if chosen is None:
        chosen = index_names(settings)
        if settings.index is not None:
            chosen = [settings.index, *(name for name in chosen if name != settings.index)]
    return chosen


def check_served(settings: Settings) -> None:
    """Find what is wrong with what is to be served, without loading a model or opening an index."""
    for model in models_of(settings).values():
        if model.reranker:
            check_stage(model)
        if model.reranker in ("", "cross-encoder", "max-sim"):  # others may run at a service
            reranker_of(model.options.get("model"))
    check_indexes(settings)
    for stage in settings.stages or ():
        check_stage(stage)


def check_indexes(settings: Settings) -> None:
    """Raise for indexes that are unknown, not there, or chosen twice; no server is asked."""
    known = index_names(settings)
    chosen = indexes_of(settings)
    folders: dict[Path, str] = {}
    for name in chosen:
        if chosen.count(name) > 1:
            raise ConfigError(f"index {name} is given twice")
        if name not in known and not {"/", "."} & set(name):  # neither a URL nor a folder
            raise ConfigError(f"no index {name}; known: {', '.join(known) or 'none'}")
        url = locate(settings.model_copy(update={"index": name})).url
        if "://" in url.removeprefix(SCHEME):
            continue
        folder = folder_of(url).resolve()
        load_manifest(folder)
        if folder in folders:
            raise ConfigError(
                f"indexes {folders[folder]} and {name} are the same folder, {folder}, which can be "
                "open once at a time; name those to serve with --index, or in [server] indexes"
            )
        folders[folder] = name
