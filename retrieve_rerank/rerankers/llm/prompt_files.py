"""Prompts that are data: known by name, or a user's own from TOML or JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from retrieve_rerank.data.lines import read_settings_text
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.checkpoints.resolving import local_folder
from retrieve_rerank.models.language_model import Role
from retrieve_rerank.text.template import Template

T = TypeVar("T")


class Published(Protocol):
    """A prompt that models were trained with."""

    @property
    def models(self) -> Sequence[str]:
        """Their hub ids."""


P = TypeVar("P", bound=Published)


def published(known: Mapping[str, P], model: str) -> P | None:
    """Return the prompt that a model was trained with, by its hub id; None where none is known.

    Servers call it by that too: `openai:Qwen/Qwen3-Reranker-0.6B?thinking=off`.
    """
    hub_id = model.partition(":")[2].partition("?")[0] or model
    return next((prompt for prompt in known.values() if hub_id in prompt.models), None)


def recorded(model: str) -> Mapping[str, Any]:
    """Return what a model's folder records of how it reads; empty where there is no such folder."""
    folder = local_folder(model)
    return read_settings(folder / SETTINGS_FILE, OURS) if folder else {}


def recorded_template(model: str) -> Template:
    """Return how a model's folder has documents laid out, else the default."""
    pattern = recorded(model).get("template")
    return Template(pattern) if pattern else Template()


def to_record(prompt: Any) -> dict[str, Any]:
    """Return what a file would hold for a prompt; `find_prompt` makes the same of it."""
    told = {field.name: (getattr(prompt, field.name), field.default) for field in fields(prompt)}
    record = {
        name: list(value) if isinstance(value, tuple) else value
        for name, (value, default) in told.items()
        if name not in ("messages", "models", "source") and value != default
    }
    messages = [
        text if role is None else {"role": role, "text": text} for role, text in prompt.messages
    ]
    return {"messages": messages, **record}


def find_prompt(
    prompt: Mapping[str, Any] | Path | str,
    known: Mapping[str, T],
    kind: type[T],
    check: Callable[[T, str], None],
) -> T:
    """Return one of `known`, or make one of a mapping, or of a .toml or .json file.

    `kind` is a dataclass with `messages`. `check` is given what was made, and what to call it;
    like it, this raises ConfigError for one that cannot be used.
    """
    if isinstance(prompt, Mapping):
        return _made(prompt, kind, check, where="the prompt")
    if prompt in known:
        return known[str(prompt)]
    path = Path(prompt).expanduser()
    if path.suffix not in (".toml", ".json"):
        raise ConfigError(
            f"unknown prompt {str(prompt)!r}; known: {', '.join(known)}, or a .toml or .json file"
        )
    try:
        text = read_settings_text(path)
        read = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError) as exc:
        raise ConfigError(f"cannot read the prompt {path}: {exc}") from exc
    return _made(read, kind, check, where=str(path))


def _made(values: Any, kind: type[T], check: Callable[[T, str], None], *, where: str) -> T:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is a {type(values).__name__}; expected names and values")
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise ConfigError(f"{where} sets {', '.join(unknown)}; known: {', '.join(names)}")
    try:
        messages = [
            (None, entry) if isinstance(entry, str) else (entry.get("role"), entry["text"])
            for entry in values.get("messages", ())
        ]
    except (TypeError, KeyError, AttributeError) as exc:
        raise ConfigError(
            f"{where} cannot be used: {exc}; messages are texts, or have a role and a text"
        ) from exc
    roles = [role for role, _ in messages]
    if not set(roles) <= {None, *get_args(Role)}:
        raise ConfigError(f"{where} has roles {roles}; known: {', '.join(get_args(Role))}")
    if None in roles and len(set(roles)) > 1:
        raise ConfigError(f"{where} gives some messages a role and others none")
    try:
        prompt = TypeAdapter(kind).validate_python({**values, "messages": messages})
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}; got {error['input']!r:.60}"
            for error in exc.errors()
        )
        raise ConfigError(f"{where} cannot be used: {wrong}") from exc
    check(prompt, where)
    return prompt
