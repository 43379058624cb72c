"""The fields of an index, as its mapping declares them.

Knows nothing of what they are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.errors import SchemaError

TEXT_TYPES = frozenset({"text", "match_only_text", "search_as_you_type", "annotated_text"})
"""Types of fields that a `match` query analyses."""

VECTOR_TYPES = frozenset({"dense_vector", "sparse_vector", "rank_vectors", "rank_features"})

_SIMILARITIES = {
    "cosine": "cosine",
    "dot_product": "dot",
    "l2_norm": "l2",
    "max_inner_product": "max_inner_product",
}
_QUANTIZED = ("int8", "int4", "bbq")


class Field(NamedTuple):
    """One field of a mapping."""

    path: str
    type: str
    settings: Mapping[str, Any]
    nested: str | None = None
    """Path of the nearest field of type nested that it is in."""
    variant_of: str | None = None
    """The field whose text it indexes in another way: `title` of `title.keyword`."""


@dataclass(frozen=True, slots=True)
class Index:
    """What one name (an index, an alias, a data stream) stands for."""

    indexes: Mapping[str, str]
    """Its concrete indexes, by name: each one's uuid, which no other index ever has."""
    fields: Mapping[str, Field]
    runtime: Mapping[str, Field] = field(default_factory=dict)
    """Fields that are computed when they are asked for."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """The mapping's `_meta`."""
    templates: frozenset[str] = frozenset()
    """Names of the mapping's dynamic templates."""
    needs_routing: bool = False
    max_result_window: int = 10_000

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Index:
        """Read the answer to GET /name.

        Raises SchemaError where the indexes behind an alias do not fit together, or keep no
        documents.
        """
        fields: dict[str, Field] = {}
        runtime: dict[str, Field] = {}
        meta: dict[str, Any] = {}
        templates: set[str] = set()
        uuids: dict[str, str] = {}
        needs_routing, window = False, 10_000
        for name, each in sorted(answer.items()):
            mapping = each.get("mappings", {})
            if mapping.get("_source", {}).get("enabled") is False:
                raise SchemaError(
                    f"{name} keeps no documents (its mapping disables _source): nothing can be "
                    "read from it to show or to rerank"
                )
            for found in _walk(mapping.get("properties", {}), "", None):
                before = fields.setdefault(found.path, found)
                if found.type == "dense_vector" and _shape(before) != _shape(found):
                    raise SchemaError(
                        f"the indexes {', '.join(sorted(answer))} hold different vectors in "
                        f"{found.path}; name one of them instead"
                    )
            for computed in _runtime(mapping.get("runtime", {})):
                runtime.setdefault(computed.path, computed)
            meta = {**mapping.get("_meta", {}), **meta}
            templates.update(*mapping.get("dynamic_templates", ()))
            needs_routing |= bool(mapping.get("_routing", {}).get("required"))
            settings = each.get("settings", {}).get("index", {})
            window = min(window, int(settings.get("max_result_window", window)))
            uuids[name] = str(settings.get("uuid", ""))
        facts = meta, frozenset(templates), needs_routing, window
        return cls(uuids, fields, runtime, *facts)

    def of_type(self, *types: str) -> list[Field]:
        """List the fields of these types."""
        return [each for each in self.fields.values() if each.type in types]

    def vectors(self) -> list[VectorField]:
        """List the fields of dense vectors whose length is known."""
        return [_vector(each) for each in self.of_type("dense_vector") if "dims" in each.settings]

    def analysed(self, path: str | None) -> str | None:
        """Return the field to search the text of `path` by: itself, else a variant of it."""
        there = [self.fields[path]] if path is not None and path in self.fields else []
        variants = (each for each in self.fields.values() if each.variant_of == path)
        for each in (*there, *variants):
            if each.type in TEXT_TYPES and each.settings.get("index", True):
                return each.path
        return None


def _walk(properties: Mapping[str, Any], parent: str, nested: str | None) -> Iterator[Field]:
    for name, settings in properties.items():
        path = f"{parent}.{name}" if parent else name
        kind = settings.get("type", "object")
        if settings.get("enabled") is False:
            continue
        if kind not in ("object", "nested"):
            yield Field(path, kind, settings, nested)
        for variant, inner in settings.get("fields", {}).items():
            yield Field(f"{path}.{variant}", inner["type"], inner, nested, variant_of=path)
        within = path if kind == "nested" else nested
        yield from _walk(settings.get("properties", {}), path, within)


def _runtime(declared: Mapping[str, Any]) -> Iterator[Field]:
    for name, settings in declared.items():
        inner = settings.get("fields") if settings["type"] == "composite" else None
        if inner is None:
            yield Field(name, settings["type"], settings)
        else:
            yield from _runtime({f"{name}.{part}": each for part, each in inner.items()})


def _vector(found: Field) -> VectorField:
    settings = found.settings
    element_type = settings.get("element_type", "float")
    similarity = settings.get("similarity", "l2_norm" if element_type == "bit" else "cosine")
    kind = settings.get("index_options", {}).get("type", "")
    return VectorField(
        found.path,
        int(settings["dims"]),
        _SIMILARITIES.get(similarity, similarity),
        quantization=kind if kind.startswith(_QUANTIZED) else None,
        element_type=element_type,
        searchable=settings.get("index", True),
        nested=found.nested,
    )


def _shape(found: Field) -> tuple[Any, ...]:
    return found.type, *(found.settings.get(name) for name in ("dims", "similarity"))
