"""The fields of an index, as its mapping declares them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.errors import SchemaError

TEXT_TYPES = frozenset({"text", "match_only_text", "search_as_you_type", "annotated_text"})
"""Types of fields that a `match` query analyses."""

KEYWORD_TYPES = frozenset({"keyword", "constant_keyword", "wildcard"})
INTEGER_TYPES = frozenset({"long", "integer", "short", "byte", "unsigned_long"})
FLOAT_TYPES = frozenset({"double", "float", "half_float", "scaled_float"})

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
    indexes: frozenset[str] = frozenset()
    """Those of the indexes that have it."""


class Difference(NamedTuple):
    """A field that is one thing in one index and another in another."""

    types: frozenset[str]
    name: str
    """The field's path, or that of the field whose variant it is."""
    said: str
    """`is text in a and keyword in b`."""


@dataclass(frozen=True, slots=True)
class Index:
    """What one name (an index, an alias, a data stream) stands for."""

    indexes: Mapping[str, str]
    """Its concrete indexes, by name: each one's uuid, which no other index ever has."""
    fields: Mapping[str, Field]
    """Those that are alike in all indexes that have them, by path."""
    differing: Mapping[str, Difference] = field(default_factory=dict)
    """All others, by path."""
    runtime: Mapping[str, Field] = field(default_factory=dict)
    """Fields that are computed when they are asked for."""
    metas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of a concrete index -> its mapping's `_meta`."""
    templates: frozenset[str] = frozenset()
    """Names of the mapping's dynamic templates."""
    needs_routing: bool = False
    max_result_window: int = 10_000

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Index:
        """Read the answer to GET /name.

        Raises SchemaError where an index keeps no documents.
        """
        declared: dict[str, dict[str, Field]] = {}
        runtime: dict[str, dict[str, Field]] = {}
        metas: dict[str, Mapping[str, Any]] = {}
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
            of_index = _walk(mapping.get("properties", {}), "", None)
            declared[name] = {found.path: found for found in of_index}
            runtime[name] = {each.path: each for each in _runtime(mapping.get("runtime", {}))}
            metas[name] = mapping.get("_meta", {})
            templates.update(*mapping.get("dynamic_templates", ()))
            needs_routing |= bool(mapping.get("_routing", {}).get("required"))
            settings = each.get("settings", {}).get("index", {})
            window = min(window, int(settings.get("max_result_window", window)))
            uuids[name] = str(settings.get("uuid", ""))
        fields, differing = _together(declared)
        computed, differing_too = _together(runtime)
        facts = metas, frozenset(templates), needs_routing, window
        return cls(uuids, fields, {**differing, **differing_too}, computed, *facts)

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


def _together(
    declared: Mapping[str, Mapping[str, Field]],
) -> tuple[dict[str, Field], dict[str, Difference]]:
    """Take the fields of all indexes as one set, but for those that are not alike."""
    holders: dict[str, dict[str, Field]] = defaultdict(dict)  # path -> index -> field
    for index, fields in declared.items():
        for path, found in fields.items():
            holders[path][index] = found
    alike: dict[str, Field] = {}
    differing: dict[str, Difference] = {}
    for path, those in holders.items():
        widest = max(those.values(), key=_width)
        kinds: dict[str, list[str]] = defaultdict(list)
        for index, each in those.items():
            kinds[_kind(each, widest)].append(index)
        parents = holders.get(widest.variant_of or "", {})
        without = sorted(parents.keys() - those)
        types = frozenset(each.type for each in those.values())
        name = widest.variant_of or path
        if len(kinds) > 1:
            shown = ", ".join(f"{kind} in {', '.join(within)}" for kind, within in kinds.items())
            differing[path] = Difference(types, name, f"is not alike in all indexes ({shown})")
        elif without:
            said = f"has no variant {path} in {', '.join(without)}, as it has in {', '.join(those)}"
            differing[path] = Difference(types, name, said)
        else:
            alike[path] = widest._replace(indexes=frozenset(those))
    return alike, differing


def _width(found: Field) -> tuple[bool, bool, bool]:
    """Rank alike fields by how much they say of all: vectors of known length, quantised; floats."""
    options = found.settings.get("index_options")  # of texts a word, of vectors an object
    kind = options.get("type", "") if isinstance(options, Mapping) else ""
    return "dims" in found.settings, kind.startswith(_QUANTIZED), found.type in FLOAT_TYPES


def _kind(found: Field, widest: Field) -> str:
    """Say what a field is as far as requests depend on it."""
    settings, kind = found.settings, found.type
    if kind in (*INTEGER_TYPES, *FLOAT_TYPES):
        kind = "a number"
    elif kind in TEXT_TYPES:
        kind = "text"
    elif kind in KEYWORD_TYPES:
        kind = "keyword"
    elif kind == "semantic_text":
        kind = f"semantic_text by {settings.get('inference_id')}"
    elif kind == "dense_vector":
        if "dims" not in settings and widest.type == kind:
            settings = widest.settings  # none has come yet
        shape = _vector(found._replace(settings={"dims": 0, **settings}))
        kind = f"dense_vector of {shape.dimension} {shape.element_type} by {shape.similarity}"
        kind += "" if shape.searchable else " that is not indexed"
    return f"{kind} nested in {found.nested}" if found.nested else kind
