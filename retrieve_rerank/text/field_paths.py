"""The one look-up of a field by its name: `author.name` is a key with a dot in it, or leads on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def value_at(value: Any, path: str) -> Any:
    """Return what a JSON value has at a path; None where it has nothing, or null.

    A dot may belong to a key or lead into an object. The key that is the whole path comes first;
    then what the shortest first key leads to, then the next longer one. A list stands for the
    values of all its elements that have any, in a list.
    """
    if isinstance(value, list):
        return [found for each in value if (found := value_at(each, path)) is not None] or None
    if not isinstance(value, Mapping):
        return None
    if (found := value.get(path)) is not None:
        return found
    for key, rest in _heads(path):
        if (found := value_at(value.get(key), rest)) is not None:
            return found
    return None


def without(record: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Copy an object without what `value_at` returns of it, and without what is empty by that."""
    if record.get(path) is not None:
        return {key: value for key, value in record.items() if key != path}
    for key, rest in _heads(path):
        if value_at(inner := record.get(key), rest) is not None:
            if isinstance(inner, Mapping):
                left: Any = without(inner, rest)
            else:
                left = [without(e, rest) if isinstance(e, Mapping) else e for e in inner or ()]
            kept = {**record, key: left}
            return kept if left else {name: kept[name] for name in kept if name != key}
    return dict(record)


def as_text(value: Any) -> str:
    """Read whatever stands where a text was expected: lists and objects piece by piece, a line
    each."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        # Elasticsearch before 8.18 keeps a semantic_text as an object, beside its vectors.
        value = [value["text"]] if "text" in value else list(value.values())
    if isinstance(value, list):
        return "\n".join(text for text in map(as_text, value) if text)
    return "" if value is None else str(value)


def _heads(path: str) -> Iterator[tuple[str, str]]:
    """Divide a path at each of its dots, the first one first."""
    for i, letter in enumerate(path):
        if letter == ".":
            yield path[:i], path[i + 1 :]
