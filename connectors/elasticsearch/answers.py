"""What the server may answer to each kind of request: the one place that checks it.

Whoever reads an answer finds there what is named here, and nothing nested without end. Knows
nothing of what is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrieve_rerank.network.shapes import (
    Check,
    Shape,
    WrongShapeError,
    each,
    either,
    every,
    filled,
    matches,
    shallow,
    shape,
    values,
    where,
)


def check_answer(
    answer: Any, *, method: str, path: str, body: Any, parts: Sequence[str | None] | None
) -> None:
    """Raise WrongShapeError where an answer is none to a request.

    `parts` are those that the answer must have, as `Request` says.
    """
    kind = path.rpartition("/")[2]
    check = _BY_REQUEST.get(f"{method} {kind}") or _other(method, kind)
    if check is _RANKED and "sort" in body:
        check = _PAGE
    matches(answer, check)
    if parts is not None:
        name = _PARTS[kind]
        _check_parts(answer[name], name, parts)


def _other(method: str, kind: str) -> Check:
    is_index = bool(kind) and kind[0] not in "_*"
    return _INDEXES if is_index and method == "GET" else _OBJECT


def _check_parts(found: Sequence[Any], name: str, wanted: Sequence[str | None]) -> None:
    if len(found) != len(wanted):
        raise WrongShapeError(f"has {len(found)} parts; expected {len(wanted)}", place=f".{name}")
    for number, (part, id_) in enumerate(zip(found, wanted, strict=True)):
        if name == "items":
            [part] = part.values()
        if id_ is not None and part["_id"] != id_:
            raise WrongShapeError("is of another document", place=f".{name}[{number}]")


def _fields(those: Sequence[Any]) -> None:
    _FIELDS(those)


def _computed(those: Sequence[Any]) -> None:
    _COMPUTED(those)


def _is(kind: str) -> Callable[[Any], bool]:
    return lambda field: field.get("type") == kind


def _is_error(answer: Any) -> bool:
    return isinstance(answer, dict) and "error" in answer


_ONE_ENTRY = each(lambda value: len(value) == 1, "one entry")
_SHORT = each(lambda value: isinstance(value, str) and len(value) < 100, "a short text")
_COUNT = each(lambda value: type(value) is int and value >= 0, "a number of documents")
_WINDOW = each(lambda value: re.fullmatch(r"\d{1,18}", str(value)), "a number of documents")
_ORDER = each(lambda value: type(value) is list and set(map(type, value)) == {int}, "numbers")
_OBJECT = shape(dict)
_DOCUMENT = every(dict, shallow)
_VECTOR: Shape = {
    "dims?": int,
    "element_type?": str,
    "index_options?": {"type?": str, "rescore_vector?": {"oversample?": float}},
}
_FIELD: Shape = {
    "type?": str,
    "similarity?": str,
    "fields?": values({"type": str}),
    "properties?": values(_fields),
    "model_settings?": {"task_type?": str, "similarity?": str},
}
_FIELDS = every(_FIELD, where(_is("alias"), {"path": str}), where(_is("dense_vector"), _VECTOR))
_COMPUTED = shape({"type": str, "fields?": values(_computed)})
_MAPPING: Shape = {
    "_meta?": _DOCUMENT,
    "_source?": dict,
    "_routing?": dict,
    "dynamic_templates?": [dict],
    "properties?": values(_fields),
    "runtime?": values(_computed),
}
_INDEXES = values(
    {
        "mappings?": _MAPPING,
        "settings?": {"index?": {"max_result_window?": _WINDOW, "uuid?": str}},
    }
)
_PLACE: dict[str, Shape] = {"_id": str, "_index": str, "_source?": _DOCUMENT}


def _hits(of: dict[str, Shape]) -> Check:
    hit: Shape = {**_PLACE, "fields?": _DOCUMENT, **of}
    return shape({"hits": {"hits": [hit]}, "timed_out?": bool, "pit_id?": str})


_CHUNKS: Shape = {"hits": {"hits": [{"_source?": _DOCUMENT}]}}
_RANKED = _hits({"_score": float, "inner_hits?": values(_CHUNKS)})
# By _seq_no, and by place in a shard.
_PAGE = _hits({"sort": _ORDER})
_ERROR = shape({"error": shallow, "status?": int})
_RESULTS = values({"_id": str, "status": int, "error?": shallow})
_BY_REQUEST: Mapping[str, Check] = {
    "GET ": shape({"version?": {"number?": _SHORT}}),
    "POST _search": _RANKED,
    "POST _msearch": shape({"responses": [either(_is_error, _ERROR, _RANKED)]}),
    "POST _mget": shape({"docs": [{**_PLACE, "found?": bool, "error?": shallow}]}),
    "GET _count": shape({"count": _COUNT}),
    "POST _bulk": shape({"items": [every(_RESULTS, _ONE_ENTRY)]}),
    "POST _pit": shape({"id": str}),
    "GET _license": shape({"license": {"type": str}}),
    "GET _alias": values({"aliases?": dict}),
    "GET _settings": values({"settings": {"index": {"uuid": str}}}),
    "GET _mapping": filled(values({"mappings": _MAPPING})),
    "GET *": shape(
        {f"{kind}?": [{"name": str}] for kind in ("indices", "aliases", "data_streams")}
    ),
}
_PARTS = {"_msearch": "responses", "_mget": "docs", "_bulk": "items"}
