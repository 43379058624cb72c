"""What the fields of an index that others made are for: picked where it is plain, else asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrieve_rerank.errors import IndexMismatchError, SchemaError, UnknownFieldError

TEXT_NAMES = (
    *("content", "text", "page_content", "body", "passage", "chunk", "document"),
    *("description", "text_field", "contents", "abstract"),
)
"""Names under which indexes keep their text, the commonest first."""

TITLE_NAMES = ("title", "name", "headline", "subject", "file_name", "source")
"""Names under which indexes keep a title, the likeliest first."""

_PLAINLY_LONGER = 3.0
_MOSTLY = 0.5
_NAMED_IN_ERRORS = 12


@dataclass(frozen=True, slots=True)
class VectorField:
    """A field of dense vectors."""

    name: str
    """Its path; "" for Qdrant's unnamed vector."""
    dimension: int
    similarity: str
    """cosine, dot, l2, l1 or max_inner_product."""
    quantization: str | None = None
    """As the backend names it; None where vectors are kept whole."""
    element_type: str = "float"
    searchable: bool = True
    """Whether the backend searches it approximately; if not, only exactly."""
    nested: str | None = None
    """Path of the list of chunks that it is in, if it is."""


class TextStatistics(NamedTuple):
    """A field that holds texts, in a sample of documents."""

    name: str
    mean_length: float
    """Characters, over the documents that have it."""
    share: float
    """Part of the documents that have it."""


def text_statistics(samples: Sequence[Mapping[str, Any]]) -> list[TextStatistics]:
    """Measure the fields with texts, nested ones by their dotted paths, longest first."""
    lengths: dict[str, list[int]] = defaultdict(list)
    for sample in samples:
        for name, text in _texts(sample, ""):
            lengths[name].append(len(text))
    found = [
        TextStatistics(name, sum(each) / len(each), len(each) / len(samples))
        for name, each in lengths.items()
    ]
    return sorted(found, key=lambda field: -field.mean_length)


def pick_text(
    fields: Sequence[TextStatistics], *, among: Callable[[str], bool] = lambda _: True
) -> str:
    """Pick the field that holds the documents' text; raise SchemaError where that is not plain.

    That is the only field under a usual name, else the one whose texts are plainly the longest.
    `among` tells which fields can be it.
    """
    there = [field for field in fields if field.share >= _MOSTLY and among(field.name)]
    named = [field for field in there if field.name.rpartition(".")[2] in TEXT_NAMES]
    for pool in (named, there):
        if len(pool) == 1 or (
            pool and pool[0].mean_length >= _PLAINLY_LONGER * max(1.0, pool[1].mean_length)
        ):
            return pool[0].name
    if not there:
        raise SchemaError(
            "no field holds a text in most documents; name the one to rerank by with --text-field"
            + (f"; there are: {_listed(field.name for field in fields)}" if fields else "")
        )
    choices = _listed(f"{f.name} ({f.mean_length:.0f} characters on average)" for f in there)
    raise SchemaError(f"several fields may hold the text: {choices}; name one with --text-field")


def pick_title(fields: Iterable[str]) -> str | None:
    """Pick the field that holds the title, by its name alone; None where none does."""
    by_last_part = {name.rpartition(".")[2]: name for name in fields}
    return next((by_last_part[name] for name in TITLE_NAMES if name in by_last_part), None)


def pick_vector(
    fields: Sequence[VectorField], *, asked: str | None, dimension: int | None
) -> VectorField | None:
    """Pick the vectors to search: those asked for, else the only ones that fit; None without any.

    `dimension` is the query encoder's, None without one. Raises UnknownFieldError, SchemaError
    where several fit, and IndexMismatchError where none does.
    """
    if asked is not None:
        candidates = [field for field in fields if field.name == asked]
        if not candidates:
            raise UnknownFieldError(
                f"the index has no vectors named {asked!r}; it has: {_sizes(fields) or 'none'}"
            )
    else:
        candidates = list(fields)
    if not candidates:
        return None
    fit = [field for field in candidates if dimension in (None, field.dimension)]
    if not fit:
        raise IndexMismatchError(
            f"the query encoder has {dimension} dimensions; the index has: {_sizes(candidates)}. "
            "Name the encoder that these vectors were made with, with --encoder"
        )
    if len(fit) > 1:
        raise SchemaError(
            f"several fields hold vectors: {_sizes(fit)}; choose one with --vector-field"
        )
    return fit[0]


def _sizes(fields: Iterable[VectorField]) -> str:
    return _listed(f"{field.name or 'unnamed'} ({field.dimension} dimensions)" for field in fields)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f", … ({len(names)} in all)" if len(names) > _NAMED_IN_ERRORS else ""
    return ", ".join(names[:_NAMED_IN_ERRORS]) + more


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        yield path, " ".join(value)
