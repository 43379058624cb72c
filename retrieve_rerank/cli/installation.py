"""What is installed here: versions, extras, the processor.

Knows nothing of indexes.
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from retrieve_rerank.settings import APP

SHOWN = ("openvino", "tokenizers", "qdrant-edge-py", "torch", "transformers")
"""Packages whose versions matter when something goes wrong."""

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w.,-]+)\])?.*;\s*extra == ['\"]([\w-]+)['\"]")


def versions() -> dict[str, str]:
    """Map Python, this package and what it stands on to their versions; absent ones are left out."""
    found = {"python": platform.python_version(), APP: version(APP)}
    return found | {name: each for name in SHOWN if (each := _version(name)) is not None}


def extras() -> dict[str, list[str]]:
    """Map each extra to those of its packages that are missing; none where it is installed."""
    return {name: sorted(_missing(name)) for name in metadata(APP).get_all("Provides-Extra", ())}


def _missing(extra: str) -> set[str]:
    missing: set[str] = set()
    for match in filter(None, map(_REQUIREMENT.match, requires(APP) or ())):
        package, inner, of = match.groups()
        if of == extra and package == APP:
            missing.update(*map(_missing, inner.split(",")))
        elif of == extra and _version(package) is None:
            missing.add(package)
    return missing


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
