"""Reading settings from all their sources, and saying in which of them one is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.version_lookup import look_in
from retrieve_rerank.settings.file import ENV_PREFIX, FOUND, config_file, read_config_file
from retrieve_rerank.settings.messages import explain
from retrieve_rerank.settings.schema import (
    ConnectionSettings,
    FieldSettings,
    IndexSettings,
    Settings,
)
from retrieve_rerank.settings.serving import ServerSettings
from retrieve_rerank.settings.stages import StageSettings

__all__ = [
    "ConnectionSettings",
    "FieldSettings",
    "IndexSettings",
    "ServerSettings",
    "Settings",
    "StageSettings",
    "load_settings",
    "settings_of",
]


def load_settings(**flags: Any) -> Settings:
    """Read all sources, `flags` that are not None before any other; raise ConfigError."""
    return settings_of(flags, config=FOUND, caller="command line")


def settings_of(given: Mapping[str, Any], *, config: Path | str | None, caller: str) -> Settings:
    """Read what is `given`, then the environment and the file `config`; raise ConfigError.

    FOUND is the file that `rr` reads; with None, neither file nor environment are read. `caller`
    is who gave what is given, for messages.
    """
    kind = Settings if config == FOUND else _reading(config)
    given = {name: value for name, value in given.items() if value is not None}
    if config is not None:
        _refuse_misspelt_environment()
    try:
        settings = kind(**given)
    except SettingsError as exc:
        raise ConfigError(f"environment: {exc}; expected JSON there") from exc
    except ValidationError as exc:
        wrong = "; ".join(
            f"{_source(error, given, config, caller)}: {_explain(error)}"
            for error in exc.errors(include_url=False)
        )
        raise ConfigError(wrong) from None  # the cause may hold a secret
    look_in(settings.data_dir)
    file = config_file() if config == FOUND else config
    if file is not None:
        for key, expected in _mistaken(read_config_file(Path(file)), settings):
            raise ConfigError(f"{file}: {key}: expected {expected}, without quotes")
    return settings


def _mistaken(written: Mapping[str, Any], settings: object) -> Iterator[tuple[str, str]]:
    """Find what a file writes as a text, or as true or false, and is read as a number or a flag.

    In an environment everything is a text; in a file that is a mistake.
    """
    for name, value in written.items():
        read = (
            settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name, None)
        )
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", kind) for key, kind in _mistaken(value, read))
        elif isinstance(read, int | float) and (
            isinstance(value, str) or isinstance(value, bool) is not isinstance(read, bool)
        ):
            yield name, "true or false" if isinstance(read, bool) else "a number"


def _reading(config: Path | str | None) -> type[Settings]:
    class Chosen(Settings):
        chosen_config: ClassVar[Path | str | None] = config

    return Chosen


def _refuse_misspelt_environment() -> None:
    """Raise on RR_TOPK, but not on another program's RR_ variable."""
    known = {f"{ENV_PREFIX}{name}".upper() for name in (*Settings.model_fields, "config")}
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(ENV_PREFIX) and upper.partition("__")[0] not in known:
            near = get_close_matches(upper, known, n=1, cutoff=0.85)
            if near:
                raise ConfigError(
                    f"environment variable {name} is not a setting; did you mean {near[0]}?"
                )


def _source(
    error: ErrorDetails, given: Mapping[str, Any], config: Path | str | None, caller: str
) -> str:
    top = str(error["loc"][0])
    variable = f"{ENV_PREFIX}{top}".upper()
    if top in given:
        return caller
    if any(name.upper().partition("__")[0] == variable for name in os.environ):
        return variable
    return str(config_file() if config == FOUND else config)


def _explain(error: ErrorDetails) -> str:
    tables: Mapping[Any, type[BaseModel]] = {"indexes": IndexSettings, "server": ServerSettings}
    nested = len(error["loc"]) > 1
    table = tables.get(error["loc"][0], Settings) if nested else Settings
    return explain(error, known=table.model_fields)
