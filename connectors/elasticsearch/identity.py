"""Which document an id means: `_id` where an address stands for one index, `index/_id` for several.

No index's name has a slash in it, an `_id` may have many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from retrieve_rerank.connectors.elasticsearch import requests
from retrieve_rerank.connectors.elasticsearch.client import Request, Steps
from retrieve_rerank.connectors.elasticsearch.opening import Opened
from retrieve_rerank.connectors.elasticsearch.responses import hits_of
from retrieve_rerank.connectors.elasticsearch.schema import key
from retrieve_rerank.errors import InputError

AT_ONCE = 1000
"""Documents fetched by their ids, unless a search returns fewer."""

Hit = Mapping[str, Any]


_Place: TypeAlias = tuple[str, str]
"""Where a document lies: its index and its `_id`."""


def fetch(opened: Opened, ids: Sequence[str], source: Any) -> Steps[dict[str, Hit]]:
    """Fetch documents, id -> raw hit; unknown ones are absent.

    Of several indexes, an id without its index will do where only one of them has it; raises
    InputError, naming the candidates, where more do.
    """
    if len(opened.indexes) == 1:
        return (yield from _of_one(opened, ids, source))
    found: dict[str, Hit] = {}
    whole = {id_: place for id_ in ids if (place := _place(opened, id_))}
    for some in _cut(list(whole), _at_once(opened)):
        hits = yield from _search(opened, _at([whole[id_] for id_ in some]), len(some), source)
        there = {(hit["_index"], hit["_id"]): hit for hit in hits}
        found |= {id_: there[whole[id_]] for id_ in some if whole[id_] in there}
    bare = [id_ for id_ in ids if id_ not in found]
    for some in _cut(bare, max(1, _at_once(opened) // len(opened.indexes))):
        clause = {"ids": {"values": [key(id_) for id_ in some]}}
        hits = yield from _search(opened, clause, len(some) * len(opened.indexes), source)
        candidates = defaultdict(list)
        for hit in hits:
            candidates[hit["_id"]].append(hit)
        for id_ in some:
            several = candidates.get(key(id_), [])
            if len(several) > 1:
                names = ", ".join(sorted(opened.layout.document(each).id for each in several))
                raise InputError(
                    f"{id_!r} is the id of {len(several)} documents of {opened.location}: "
                    f"{names}; say which one is meant, with its index"
                )
            if several:
                found[id_] = several[0]
    return found


def _of_one(opened: Opened, ids: Sequence[str], source: Any) -> Steps[dict[str, Hit]]:
    there: dict[str, Hit] = {}
    for some in _cut(list(dict.fromkeys(map(key, ids))), _at_once(opened)):
        if opened.index.needs_routing:  # _mget wants to be told the shard of each document
            clause = {"ids": {"values": some}}
            hits = yield from _search(opened, clause, len(some), source)
        else:
            path = f"/{requests.quoted(opened.single_name)}/_mget"
            answer = yield Request("POST", path, {"ids": some}, _parameters(source), parts=some)
            hits = found(answer)
        there |= {hit["_id"]: hit for hit in hits}
    return {id_: there[key(id_)] for id_ in ids if key(id_) in there}


def _parameters(source: Any) -> dict[str, str]:
    if source is False:
        return {"_source": "false"}
    return {f"_source_{name}": ",".join(paths) for name, paths in source.items()}


def found(answer: Mapping[str, Any]) -> list[Hit]:
    """Return what of an answer to _mget is there."""
    return [each for each in answer["docs"] if each.get("found")]


def by_index(hits: Iterable[Hit]) -> dict[str, list[str]]:
    """Group documents by their indexes: name -> `_id`s, each once."""
    grouped: dict[str, dict[str, None]] = defaultdict(dict)
    for hit in hits:
        grouped[hit["_index"]][hit["_id"]] = None
    return {index: list(keys) for index, keys in grouped.items()}


def _place(opened: Opened, id_: str) -> _Place | None:
    """Read an id that says its index; None where it does not."""
    index, _, rest = id_.partition("/")
    return (index, key(rest)) if rest and index in opened.indexes else None


def _at(places: Sequence[_Place]) -> dict[str, Any]:
    grouped = defaultdict(list)
    for index, at in places:
        grouped[index].append(at)
    clauses = [
        {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": keys}}]}}
        for index, keys in grouped.items()
    ]
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def _search(opened: Opened, clause: Any, size: int, source: Any) -> Steps[list[Hit]]:
    size = min(size, opened.index.max_result_window)
    body = requests.search_body({"query": clause}, size=size, source=source)
    answer = yield requests.search(opened.name, [body])
    return hits_of(answer, opened.location)


def _at_once(opened: Opened) -> int:
    return min(AT_ONCE, opened.index.max_result_window)


def _cut(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
