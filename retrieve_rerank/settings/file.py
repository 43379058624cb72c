"""`rr.toml`: where it is, and what is in it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from retrieve_rerank.data.lines import read_settings_text
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.resolving import ALIASES

APP = "retrieve-rerank"
CONFIG_FILE = "rr.toml"
ENV_PREFIX = "RR_"

FOUND = "found"
"""In place of a file's path: the one that `config_file` finds."""

_PATHS = ("data_dir", "ca_certs", "client_cert", "client_key", "cache", "calibration", "keys")
_MODELS = ("encoder", "sparse_encoder", "model")
_PROMPT_FILES = (".toml", ".json")


def config_file() -> Path | None:
    """Find `rr.toml`: what RR_CONFIG names, else the nearest one from here upward, else the user's.

    Raises ConfigError where RR_CONFIG names no file.
    """
    named = os.environ.get(f"{ENV_PREFIX}CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"RR_CONFIG names {named}, which is not a file")
        return Path(named)
    here = Path.cwd()
    folders = [here, *here.parents, platformdirs.user_config_path(APP)]
    return next((f / CONFIG_FILE for f in folders if (f / CONFIG_FILE).is_file()), None)


def read_config_file(path: Path | None) -> dict[str, Any]:
    """Read rr.toml, with paths in it, which are relative to the file, made absolute.

    Empty where there is none. Raises ConfigError where it cannot be read.
    """
    if path is None:
        return {}
    try:
        values = tomllib.loads(read_settings_text(path))
    except (OSError, ValueError, RecursionError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}") from exc
    folder = path.parent.absolute()
    for table in _tables(values):
        for name, value in table.items():
            if isinstance(value, str) and _is_path(name, value, folder):
                table[name] = str(folder / os.path.expanduser(value))
    return values


def _tables(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the top level and the tables in it that name files; what is wrong is found later."""
    yield values
    server = values.get("server")
    if isinstance(server, dict):
        yield server
        models = server.get("models")
        if isinstance(models, dict):
            # A model alone is short for a table of it.
            models.update({n: {"model": m} for n, m in models.items() if isinstance(m, str)})
            yield from (model for model in models.values() if isinstance(model, dict))
    indexes, stages = values.get("indexes"), values.get("stages")
    entries = [*indexes.values()] if isinstance(indexes, dict) else []
    entries += stages if isinstance(stages, list) else []
    yield from (entry for entry in entries if isinstance(entry, dict))


def _is_path(name: str, value: str, folder: Path) -> bool:
    """Whether a setting is a file or folder, and not a name: of ours, a hub's or a service's."""
    if name in _PATHS:
        return True
    if name == "url":
        return "://" not in value
    if name == "index":
        return "://" not in value and ("/" in value or value.startswith((".", "~")))
    if name == "prompt":
        return value.endswith(_PROMPT_FILES)
    if name in _MODELS:
        looks_like_one = value.startswith((".", "~", "/"))
        return looks_like_one or (value not in ALIASES and os.path.isdir(folder / value))
    return False
