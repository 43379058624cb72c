"""What is installed here: versions, extras, the processor."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from retrieve_rerank.settings.file import APP

SHOWN = ("openvino", "tokenizers", "qdrant-edge-py", "torch", "transformers")
"""Packages whose versions matter when something goes wrong."""

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w.,-]+)\])?.*;\s*extra == ['\"]([\w-]+)['\"]")


def versions() -> dict[str, str]:
    """Map Python, this package and what it stands on to their versions, where installed."""
    found = {"python": platform.python_version(), APP: version(APP)}
    return found | {name: each for name in SHOWN if (each := _version(name)) is not None}


def extras() -> dict[str, list[str]]:
    """Map each extra to those of its packages that are missing; none where it is installed."""
    requirements = requires(APP) or []
    return {
        name: sorted(missing_packages(name, requirements))
        for name in metadata(APP).get_all("Provides-Extra") or ()
    }


def missing_packages(extra: str, requirements: Sequence[str]) -> set[str]:
    """Find the packages that an extra asks for and that are not installed."""
    missing: set[str] = set()
    for match in filter(None, map(_REQUIREMENT.match, requirements)):
        package, inner, of = match.groups()
        if of == extra and package == APP:
            for each in inner.split(","):
                missing |= missing_packages(each, requirements)
        elif of == extra and _version(package) is None:
            missing.add(package)
    return missing


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
