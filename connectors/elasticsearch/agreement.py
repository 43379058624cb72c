"""Whether indexes behind one address can be searched as one; what differs is refused or said."""

from __future__ import annotations

from retrieve_rerank.connectors.elasticsearch.detection import FieldChoice
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.mapping import TEXT_TYPES, VECTOR_TYPES, Index
from retrieve_rerank.errors import SchemaError

_NAMED_IN_NOTES = 5

_ADVICE = "Name indexes that are alike"


def check_asked(index: Index, asked: FieldChoice) -> None:
    """Raise SchemaError where a field that was asked for is not alike in all indexes."""
    for path in (asked.text, asked.vector, asked.sparse):
        _refuse(index, path)


def check_alike(
    index: Index, layout: Layout, asked: FieldChoice, *, searches_vectors: bool
) -> None:
    """Raise SchemaError where the text, or the vectors that are to be searched, are not alike.

    A text field that some of the indexes lack is refused unless it was asked for by its name.
    """
    _refuse(index, layout.text)
    if searches_vectors and layout.vector is None:
        for path, each in index.differing.items():
            if "dense_vector" in each.types:
                raise SchemaError(f"{path!r} {each.said}. {_ADVICE}, or leave the encoder out")
    if layout.text is not None and layout.text in index.fields and asked.text is None:
        texts = index.of_type(*TEXT_TYPES, "semantic_text")
        with_texts = {name for each in texts for name in each.indexes}
        others = sorted(with_texts - index.fields[layout.text].indexes)
        if others:
            raise SchemaError(
                f"the text would be {layout.text!r}, which {', '.join(others)} lacks: nothing of "
                f"its documents would be read. {_ADVICE}, or choose a field for all with "
                "--text-field"
            )


def notes_on_differences(index: Index, layout: Layout) -> list[str]:
    """Say what of the indexes is searched in some of them only, or in none as they differ."""
    notes = []
    for path in (layout.text, layout.vector.name if layout.vector else None, layout.sparse):
        if path is not None and path in index.fields:
            lacking = sorted(index.indexes.keys() - index.fields[path].indexes)
            if lacking:
                notes.append(f"`{path}` is not in {', '.join(lacking)}, where it finds nothing")
    vectors = [p for p, each in index.differing.items() if each.types & VECTOR_TYPES]
    notes += [f"`{path}` {index.differing[path].said}, and is not searched" for path in vectors]
    others = [path for path in index.differing if path not in vectors]
    if others:
        named = "; ".join(f"`{p}` {index.differing[p].said}" for p in others[:_NAMED_IN_NOTES])
        more = len(others) - _NAMED_IN_NOTES
        notes.append(
            f"what differs between the indexes is neither searched nor filtered by: {named}"
            + (f"; and {more} more" if more > 0 else "")
        )
    return notes


def _refuse(index: Index, path: str | None) -> None:
    if path is not None and path in index.differing:
        raise SchemaError(f"{path!r} {index.differing[path].said}. {_ADVICE}")
