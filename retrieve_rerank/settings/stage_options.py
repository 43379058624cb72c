"""The options of a stage: whether its reranker has them, and can use what they are set to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from retrieve_rerank.base import Reranker
from retrieve_rerank.concurrency.deadline import LONGEST_S
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.registry import RERANKERS
from retrieve_rerank.settings.file import CONFIG_FILE
from retrieve_rerank.settings.messages import expected, suggest
from retrieve_rerank.text.template import Template

_RANGES: Mapping[str, Any] = {
    "threads": Field(ge=1),
    "max_length": Field(ge=1),
    "max_tokens": Field(ge=1),
    "timeout_s": Field(gt=0, le=LONGEST_S),
    "half_life_days": Field(gt=0),
}
"""What options of these names can be in all of our own rerankers."""

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_SCALARS = (str, int, float, bool, NoneType)


def check_options(name: str, reranker: type[Reranker], options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that the reranker lacks, needs or cannot use.

    No model is loaded for that.
    """
    known = _parameters(reranker)
    for option in options:
        if option not in known:
            raise ConfigError(
                f"reranker {name!r} has no option {option!r}{suggest(option, known)}; "
                f"it has: {', '.join(sorted(known)) or 'none'}"
            )
    for option, parameter in known.items():
        if option in options:
            kind = _kind(parameter.annotation)
            if name in RERANKERS and option in _RANGES:
                kind = Annotated[kind, _RANGES[option]]
            _check(name, option, kind, options[option])
        elif parameter.default is parameter.empty:
            flag = " (or by --model)" if option == "model" else ""
            raise ConfigError(
                f"reranker {name!r} needs the option {option!r}{flag}: set it in {CONFIG_FILE}, "
                f'below [[stages]] and reranker = "{name}"'
            )
    if isinstance(options.get("template"), str) and name in RERANKERS:
        Template(options["template"])
    reranker.check(options)


def _parameters(reranker: type[Reranker]) -> dict[str, inspect.Parameter]:
    """Return what can be configured: the arguments of `configure` and those it passes on."""
    own = _signature(reranker.configure)
    passed_on = _signature(reranker)
    if reranker.configure.__func__ is not Reranker.configure.__func__:  # type: ignore[attr-defined]  # class methods have it
        passed_on = [each for each in passed_on if each.kind is each.KEYWORD_ONLY]
    return {
        each.name: each
        for each in (*passed_on, *own)
        if each.kind is not each.VAR_KEYWORD
        and each.name != "connector"
        and get_origin(each.annotation) is not Callable  # which no file can hold
    }


def _signature(function: Any) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError:  # a plugin's annotation that only type checkers can read
        signature = inspect.signature(function)
    return list(signature.parameters.values())


def _kind(annotation: Any) -> Any:
    """Return that part of an annotation which a file of settings can hold; Any where none is."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    kinds: list[Any] = []
    for part in parts:
        if part is Path:
            kinds.append(str)
        elif part in _SCALARS or get_origin(part) is Literal:
            kinds.append(part)
        elif get_origin(part) is Mapping:
            kinds.append(Mapping)
        elif not isinstance(part, type) or part.__module__ == "builtins":
            kinds.append(Any)  # lists and the like, which plugins check themselves
    return Union[tuple(kinds)] if set(kinds) - {NoneType} else Any  # noqa: UP007  # from a list


def _check(name: str, option: str, kind: Any, value: Any) -> None:
    try:
        TypeAdapter(kind, config=_STRICT).validate_python(value)
    except ValidationError as exc:
        wanted = dict.fromkeys(expected(each).removeprefix("expected ") for each in exc.errors())
        # What takes a text may be a secret.
        secret = kind is str or str in get_args(kind) or not isinstance(value, str | int | float)
        got = f"a value of type {type(value).__name__}" if secret else repr(value)
        raise ConfigError(
            f"reranker {name!r}: {option}: expected {' or '.join(wanted)}; got {got}"
        ) from None  # the cause shows the value
