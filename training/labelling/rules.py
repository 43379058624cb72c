"""Labels from a rule that a user writes: a function in a Python file, which is run."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from inspect import isfunction
from pathlib import Path
from typing import Any, NamedTuple

from retrieve_rerank.errors import ConfigError, InputError, shown
from retrieve_rerank.training.groups import Group, GroupText

FUNCTION = "label"
"""Of a file that is named without a function."""


class Rule(NamedTuple):
    """A function of a text and its group that gives the text's label."""

    name: str
    """As labels tell where they are from."""
    function: Callable[[GroupText, Group], Any]

    def label(self, text: GroupText, group: Group) -> float | None:
        """Return the text's label, None for none.

        Raises InputError where the function fails, or returns no number.
        """
        where = f"{self.name}, for the query {shown(group.query)} and the text {shown(text.text)}"
        try:
            given = self.function(text, group)
            value = None if given is None else float(given)
        except Exception as exc:  # whatever a user's function raises
            raise InputError(f"{where}: {type(exc).__name__}: {exc}") from exc
        if value is not None and not math.isfinite(value):
            raise InputError(f"{where}: expected a number or None; got {given!r}")
        return value


def load_rule(named: str) -> Rule:
    """Load FILE.py or FILE.py:FUNCTION; the file is run.

    Raises ConfigError where it cannot be, or has no such function.
    """
    file, _, function = named.partition(".py:")
    path = Path(file if file.endswith(".py") else f"{file}.py").expanduser()
    if not path.is_file():
        raise ConfigError(
            f"there are no rules in {path}; expected a Python file with a function"
            f" {function or FUNCTION}(text, group)"
        )
    # Under a name that no other module has.
    spec = spec_from_file_location(f"rules of {path.resolve()}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and the like look their own module up
    try:
        spec.loader.exec_module(module)
    except Exception as exc:  # whatever a user's file raises
        del sys.modules[spec.name]
        raise ConfigError(f"{path} cannot be run: {type(exc).__name__}: {exc}") from exc
    found = getattr(module, function or FUNCTION, None)
    if not callable(found):
        there = ", ".join(name for name, value in vars(module).items() if isfunction(value))
        raise ConfigError(
            f"{path} has no function {function or FUNCTION}(text, group); it has: {there or 'none'}"
        )
    return Rule(f"{path.name}:{function or FUNCTION}", found)
