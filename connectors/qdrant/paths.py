"""A dotted name, and the paths of a payload that it may stand for.

Qdrant's paths quote odd keys; how a user names a field does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

from retrieve_rerank.connectors.records import path_key

_MOST_PATHS = 81  # of a name with four dots, each of which may be read in three ways
_UNWRITABLE = ('"', "\\")


def writable(name: str) -> bool:
    """Tell whether paths can be written of a name: they cannot of quotes and backslashes."""
    return not any(each in name for each in _UNWRITABLE)


def paths_of(name: str) -> Iterator[str]:
    """Write a dotted name in every way that a payload may have it, the likeliest first.

    A dot may lead into an object or into a list of them, or belong to a key. Nothing for a name
    that no path can be written of.
    """
    if not writable(name):
        return
    first, *rest = name.split(".")
    for joints in islice(product((".", "[].", None), repeat=len(rest)), _MOST_PATHS):
        keys, between = [first], []
        for joint, key in zip(joints, rest, strict=True):
            if joint is None:
                keys[-1] += f".{key}"
            else:
                keys.append(key)
                between.append(joint)
        yield "".join(f"{path_key(k)}{j}" for k, j in zip(keys, [*between, ""], strict=True))


def roots_of(name: str) -> set[str]:
    """Write the keys of a payload that a dotted name may begin with."""
    return {path_key(name), path_key(name.partition(".")[0])}
