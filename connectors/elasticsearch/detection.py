"""Who wrote an index and what its fields are for, told from its mapping and some documents.

Known writers by their signatures, others by the names and lengths of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieve_rerank.connectors.elasticsearch.layout import Layout, Semantic
from retrieve_rerank.connectors.elasticsearch.mapping import (
    TEXT_TYPES,
    VECTOR_TYPES,
    Field,
    Index,
)
from retrieve_rerank.connectors.elasticsearch.signatures import Signature, recognise
from retrieve_rerank.connectors.fields import (
    TEXT_NAMES,
    TextStatistics,
    VectorField,
    pick_text,
    pick_title,
    pick_vector,
    text_statistics,
)
from retrieve_rerank.errors import SchemaError, UnknownFieldError
from retrieve_rerank.text.field_paths import value_at

SAMPLE = 50
"""Documents that are looked at."""

_FLOATS = ("float", "bfloat16")
_FILES = ("file_name", "source")  # are shown as titles, but their words are not the author's


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """What the user says of the fields; None leaves it to be found out."""

    text: str | None = None
    title: str | None = None
    vector: str | None = None
    sparse: str | None = None
    dimension: int | None = None
    """Of the query encoder, where it is known."""


def detect(index: Index, samples: Sequence[Mapping[str, Any]], asked: FieldChoice) -> Layout:
    """Tell what the fields of an index of others are for.

    Raises SchemaError where that is ambiguous, UnknownFieldError for a field that was asked for
    and is not there, and IndexMismatchError for vectors of another length than the encoder's.
    """
    known = recognise(index)
    vector, vector_notes = _vector(index, asked, known)
    chunks = vector.nested if vector else _nested_text(index, asked)
    if chunks:
        samples = [_with_first(sample, chunks) for sample in samples]
    statistics = text_statistics(samples)
    text = _text(index, statistics, asked, known, chunks)
    title = _title(index, statistics, asked, known, text)
    semantic, semantic_notes = _semantic(index, text, vector)
    sparse = _sparse(index, asked, known)
    text_type = index.fields[text].type if text is not None and text in index.fields else None
    lexical = index.analysed(text)
    named = title is not None and title.rpartition(".")[2] not in _FILES
    about_title = index.analysed(title) if named and lexical else None
    return Layout(
        writer=known.writer if known else "semantic_text" if semantic else "unknown",
        text=text,
        title=title,
        lexical=tuple(each for each in (lexical, about_title) if each),
        chunks=chunks,
        metadata=known.metadata if known else None,
        vector=vector,
        sparse=sparse,
        semantic=semantic,
        excludes=_excluded(index),
        notes=(
            *vector_notes,
            *semantic_notes,
            *_notes_on_text(text, text_type, lexical, samples),
        ),
    )


def _vector(
    index: Index, asked: FieldChoice, known: Signature | None
) -> tuple[VectorField | None, list[str]]:
    there = index.vectors()
    fit = [each for each in there if each.element_type in _FLOATS]
    name = asked.vector
    if name is None and known and any(each.name == known.vector for each in fit):
        name = known.vector
    picked = pick_vector(fit, asked=name, dimension=asked.dimension)
    notes = [
        f"vectors in `{each.name}` are kept as {each.element_type} and are not searched: no "
        "encoder here makes such"
        for each in there
        if each.element_type not in _FLOATS
    ]
    notes += [
        f"`{each.path}` is declared for vectors, of which no document has brought one yet"
        for each in index.of_type("dense_vector")
        if "dims" not in each.settings
    ]
    notes += [
        f"vectors in `{each.name}` ({each.dimension} dimensions) are not searched: choose them "
        "with --vector-field"
        for each in fit
        if picked is not None and each.name != picked.name
    ]
    return picked, notes


def _nested_text(index: Index, asked: FieldChoice) -> str | None:
    found = index.fields.get(asked.text) if asked.text else None
    return found.nested if found else None


def _text(
    index: Index,
    statistics: Sequence[TextStatistics],
    asked: FieldChoice,
    known: Signature | None,
    chunks: str | None,
) -> str | None:
    names = {each.name for each in statistics}
    if asked.text is not None:
        if asked.text not in index.fields and asked.text not in names:
            raise UnknownFieldError(
                f"no document has the text field {asked.text!r}; there are: "
                f"{', '.join(sorted(names | _texts(index))[:20]) or 'none'}"
            )
        return asked.text
    if known and (known.text in names or known.text in index.fields):
        return known.text
    within = _texts(index)
    if chunks:
        within = {
            each for each in within & index.fields.keys() if index.fields[each].nested == chunks
        }
    if statistics:
        analysed = [each for each in statistics if each.name in within]
        return pick_text(analysed or statistics)
    if len(within) <= 1:
        return next(iter(within), None)
    by_name = [name for name in TEXT_NAMES for each in within if each.rpartition(".")[2] == name]
    if by_name:
        return next(each for each in within if each.rpartition(".")[2] == by_name[0])
    raise SchemaError(
        f"the index is empty, and several fields may be for the text: {', '.join(sorted(within))}; "
        "name one with --text-field"
    )


def _texts(index: Index) -> set[str]:
    types = {*TEXT_TYPES, "semantic_text"}
    differing = (each.name for each in index.differing.values() if each.types & types)
    return {
        *(each.path for each in index.of_type(*types) if each.variant_of is None),
        *(each for each in differing if each not in index.fields),
    }


def _title(
    index: Index,
    statistics: Sequence[TextStatistics],
    asked: FieldChoice,
    known: Signature | None,
    text: str | None,
) -> str | None:
    names = [each.name for each in statistics]
    declared = [each.path for each in index.of_type(*TEXT_TYPES, "keyword") if not each.nested]
    if asked.title is not None:
        if asked.title not in {*names, *declared}:
            raise UnknownFieldError(f"no document has the title field {asked.title!r}")
        return asked.title
    top = f"{known.metadata}." if known and known.metadata else ""
    candidates = [
        name
        for name in (names or declared)
        if name != text and name.startswith(top) and "." not in name.removeprefix(top)
    ]
    return pick_title(candidates)


def _semantic(
    index: Index, text: str | None, vector: VectorField | None
) -> tuple[Semantic | None, list[str]]:
    fields = index.of_type("semantic_text")
    fields.sort(key=lambda each: each.path != text)
    notes = [f"`{each.path}` is embedded by the server and is not searched" for each in fields[1:]]
    if not fields:
        return None, []
    if vector is not None:
        return None, [
            f"`{fields[0].path}` is embedded by the server and is not searched, as `{vector.name}` "
            "is",
            *notes,
        ]
    return _semantic_field(fields[0]), notes


def _semantic_field(found: Field) -> Semantic:
    model = found.settings.get("model_settings", {})
    return Semantic(
        found.path,
        "sparse" if model.get("task_type") == "sparse_embedding" else "dense",
        model.get("similarity", "cosine"),
        str(found.settings.get("inference_id", "the server's own")),
    )


def _sparse(index: Index, asked: FieldChoice, known: Signature | None) -> str | None:
    there = [each.path for each in index.of_type("sparse_vector")]
    if asked.sparse is not None:
        if asked.sparse not in there:
            raise UnknownFieldError(
                f"the index has no learned sparse vectors in {asked.sparse!r}; it has: "
                f"{', '.join(there) or 'none'}"
            )
        return asked.sparse
    if known and known.sparse in there:
        return known.sparse
    if len(there) > 1:
        raise SchemaError(
            f"several fields hold learned sparse vectors: {', '.join(there)}; choose one with "
            "--sparse-field"
        )
    return there[0] if there else None


def _excluded(index: Index) -> tuple[str, ...]:
    vectors = [each.path for each in index.of_type(*VECTOR_TYPES)]
    inference = [f"{each.path}.inference" for each in index.of_type("semantic_text")]
    nodes = [path for path in index.fields if path in ("metadata._node_content",)]
    return tuple(sorted({*vectors, *inference, *nodes}))


def _notes_on_text(
    text: str | None,
    text_type: str | None,
    lexical: str | None,
    samples: Sequence[Mapping[str, Any]],
) -> list[str]:
    if text is None:
        return ["the index has no documents and no field for texts yet"]
    notes = []
    if lexical is None and text_type != "semantic_text":
        notes.append(
            f"the text in `{text}` cannot be searched by words: it is "
            f"{text_type or 'not indexed'}, not of type text"
        )
    without = sum(value_at(sample, text) is None for sample in samples)
    if without:
        notes.append(f"{without} of {len(samples)} documents looked at have no `{text}`")
    return notes


def _with_first(sample: Mapping[str, Any], chunks: str) -> Mapping[str, Any]:
    """Return a document with the first of its chunks in the place of all."""
    head, _, rest = chunks.partition(".")
    value = sample.get(head)
    if isinstance(value, list):
        value = value[0] if value else {}
    if rest and isinstance(value, Mapping):
        value = _with_first(value, rest)
    return {**sample, head: value}
