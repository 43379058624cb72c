"""HTML pages that need nothing else, from templates beside this file.

Whatever is put into a template is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


def render_page(
    name: str, *, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """Fill in the template called `name`."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        loader=FunctionLoader(_template),
    )
    environment.filters.update(filters or {})
    return environment.get_template(name).render(**values)


def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
