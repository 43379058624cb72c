"""What a JSON value is expected to be, checked as a whole before anyone looks into it.

A shape is written as such a value is: str, bool, int, dict, list, or float for any finite number;
`[shape]` for a list of such; `{"key": shape, "other?": shape}` for an object, which may have more
keys; or a check.

A check takes all values of one place at once, such as the ids of all hits: one by one would take
longer than reading them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Sequence[Any]], None]
"""Raises WrongShapeError where one of several values is not as it should be."""

Shape: TypeAlias = "type | list[Shape] | dict[str, Shape] | Check"

DEEPEST = 200
"""Levels of what is passed on as it is, and walked by functions that call themselves. Elasticsearch
takes documents of 20 by default, and of 1,000 in objects that it does not look into."""

_WANTED: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
}
_EMPTY: dict[type, str] = {dict: "an empty object", list: "an empty list"}


class WrongShapeError(ValueError):
    """A value is not what was expected; says where in the answer."""

    def __init__(self, words: str, number: int = 0, place: str = "") -> None:
        """`number` is which of the values that were checked at once is wrong."""
        super().__init__(words)
        self.number = number
        self._words = words
        self._place = place

    def within(self, place: str, number: int = 0) -> WrongShapeError:
        """Say the same of what the value stands in."""
        return WrongShapeError(self._words, number, place + self._place)

    def __str__(self) -> str:
        return f"the answer{self._place[-100:]} {self._words}"


def matches(value: Any, check: Check) -> None:
    """Check one whole answer; one nested without end is as wrong as any other."""
    try:
        check([value])
    except RecursionError:
        raise WrongShapeError("is nested too deeply") from None


def shape(of: Shape) -> Check:
    """Make the check of a shape, once for all values."""
    if isinstance(of, dict):
        return _object(of)
    if isinstance(of, list):
        return _list(shape(of[0]))
    if of is float:
        return _finite
    return _typed(of) if isinstance(of, type) else of


def values(of: Shape) -> Check:
    """Check objects with any keys by their values."""
    inner, objects = shape(of), _typed(dict)

    def check(those: Sequence[dict[str, Any]]) -> None:
        objects(those)
        found = [each for value in those for each in value.values()]
        if found:
            try:
                inner(found)
            except WrongShapeError as exc:
                keys = [(number, key) for number, value in enumerate(those) for key in value]
                number, key = keys[exc.number]
                raise exc.within(f".{key:.40}", number) from None

    return check


def maybe(of: Shape) -> Check:
    """Check what may be null instead."""
    return where(lambda value: value is not None, of)


def where(fits: Callable[[Any], object], of: Shape) -> Check:
    """Check those values alone that pass a test."""
    inner = shape(of)

    def check(those: Sequence[Any]) -> None:
        numbers = [number for number, value in enumerate(those) if fits(value)]
        if numbers:
            try:
                inner([those[number] for number in numbers])
            except WrongShapeError as exc:
                raise exc.within("", numbers[exc.number]) from None

    return check


def either(fits: Callable[[Any], object], of: Shape, otherwise: Shape) -> Check:
    """Check values that pass a test by one shape, and the others by another."""
    return every(where(fits, of), where(lambda value: not fits(value), otherwise))


def first(of: Shape) -> Check:
    """Check lists by what comes first in them, which must be there."""
    inner = shape(of)

    def check(those: Sequence[Any]) -> None:
        _FILLED_LISTS(those)
        try:
            inner([value[0] for value in those])
        except WrongShapeError as exc:
            raise exc.within("[0]", exc.number) from None

    return check


def filled(of: Shape) -> Check:
    """Check what may not be empty."""
    return every(of, each(bool, "at least one entry"))


def every(*shapes: Shape) -> Check:
    """Check values by several shapes, in this order."""
    checks = [shape(of) for of in shapes]

    def check(those: Sequence[Any]) -> None:
        for each in checks:
            each(those)

    return check


def each(fits: Callable[[Any], object], wanted: str) -> Check:
    """Check values one by one, by a test; `wanted` is what it finds."""

    def check(those: Sequence[Any]) -> None:
        for number, value in enumerate(those):
            if not fits(value):
                raise WrongShapeError(f"is {_named(value)}; expected {wanted}", number)

    return check


def shallow(those: Sequence[Any]) -> None:
    """Let anything pass that is not nested more deeply than code bears."""
    if _is_shallow(those):
        return
    number = next(number for number, value in enumerate(those) if not _is_shallow([value]))
    raise WrongShapeError(f"is nested more than {DEEPEST} levels deep", number)


def _is_shallow(level: Iterable[Any]) -> bool:
    for _ in range(DEEPEST + 1):
        level = [value for value in level if type(value) is dict or type(value) is list]
        if not level:
            return True
        level = chain.from_iterable(v.values() if type(v) is dict else v for v in level)
    return False


def number(those: Sequence[Any]) -> None:
    """Check numbers, infinite ones and NaN included."""
    if not set(map(type, those)) <= {float, int}:
        wrong = next(n for n, value in enumerate(those) if type(value) not in (float, int))
        raise _unexpected(those[wrong], float, wrong)


def _object(fields: dict[str, Shape]) -> Check:
    rows = [(name.removesuffix("?"), name[-1] != "?", shape(of)) for name, of in fields.items()]
    objects = _typed(dict)

    def check(those: Sequence[dict[str, Any]]) -> None:
        objects(those)
        for name, required, inner in rows:
            found = [value[name] for value in those if name in value]
            if required and len(found) < len(those):
                number = next(n for n, value in enumerate(those) if name not in value)
                raise WrongShapeError(f"has no {name}", number)
            if found:
                try:
                    inner(found)
                except WrongShapeError as exc:
                    numbers = [n for n, value in enumerate(those) if name in value]
                    raise exc.within(f".{name}", numbers[exc.number]) from None

    return check


def _list(inner: Check) -> Check:
    lists = _typed(list)

    def check(those: Sequence[list[Any]]) -> None:
        lists(those)
        found = list(chain.from_iterable(those))
        if found:
            try:
                inner(found)
            except WrongShapeError as exc:
                place = exc.number
                for number, value in enumerate(those):
                    if place < len(value):
                        raise exc.within(f"[{place}]", number) from None
                    place -= len(value)

    return check


def _typed(kind: type) -> Check:
    def check(those: Sequence[Any]) -> None:
        if not set(map(type, those)) <= {kind}:
            number = next(n for n, value in enumerate(those) if type(value) is not kind)
            raise _unexpected(those[number], kind, number)

    return check


def _finite(those: Sequence[Any]) -> None:
    number(those)
    if not all(map(math.isfinite, those)):
        wrong = next(n for n, value in enumerate(those) if not math.isfinite(value))
        raise _unexpected(those[wrong], float, wrong)


def _unexpected(value: Any, wanted: type, number: int) -> WrongShapeError:
    return WrongShapeError(f"is {_named(value)}; expected {_WANTED[wanted]}", number)


def _named(value: Any) -> str:
    if type(value) in (dict, list):
        return _WANTED[type(value)] if value else _EMPTY[type(value)]
    if isinstance(value, str):
        return f"the text {' '.join(value[:200].split())[:40]!r}"
    return json.dumps(value)  # null, true, false, or a number that JSON has no word for


_FILLED_LISTS = filled(list)
