"""What a component is given, as a pipeline's file holds it: plain values, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from os import PathLike, fspath
from typing import Any

from haystack import default_to_dict
from haystack.utils import Secret

from retrieve_rerank.base import Range
from retrieve_rerank.errors import InputError, NotPicklableError
from retrieve_rerank.network.addresses import without_credentials

SECRET = {"password", "api_key", "bearer_token", "cloud_id", "key"}
"""Names of settings that are secrets."""


def with_secrets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap secrets that are given as texts, so that nothing shows or writes them."""
    return {
        name: Secret.from_token(value) if name in SECRET and isinstance(value, str) else value
        for name, value in given.items()
    }


def resolved(value: Any) -> Any:
    """Return what a secret holds; other values as they are."""
    return value.resolve_value() if isinstance(value, Secret) else value


def written(it: Any, **given: Any) -> dict[str, Any]:
    """Return a component as a pipeline's file has it, with what its constructor was given.

    Raises InputError for secrets that are texts, NotPicklableError for objects.
    """
    plain = {
        name: value.to_dict() if isinstance(value, Secret) else _plain(name, value)
        for name, value in given.items()
    }
    data: dict[str, Any] = default_to_dict(it, **plain)
    return data


def _plain(name: str, value: Any) -> Any:
    """Return what a file can hold; raise InputError for secrets, NotPicklableError for objects."""
    if isinstance(value, str):
        if name in SECRET or without_credentials(value) != value:
            raise InputError(
                f"{name} holds a secret, which no file may; give it by Secret.from_env_var, as a "
                "setting of its own, or leave it to the environment"
            )
        return value
    if isinstance(value, Range):
        value = {bound: limit for bound, limit in asdict(value).items() if limit is not None}
    if isinstance(value, Mapping):
        return {each: _plain(each, inner) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, inner) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PathLike):
        return fspath(value)
    if value is None or isinstance(value, int | float):
        return value
    raise NotPicklableError(value)
