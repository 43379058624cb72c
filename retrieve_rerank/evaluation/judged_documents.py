"""The judged documents of an index: found by their ids, whole or as the passages of them.

The one place where ids of judgments and of hits meet: evaluation, audit and calibration use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from retrieve_rerank.base import Connector
from retrieve_rerank.data.passages import like_passage_of, passage_id, whole_ids
from retrieve_rerank.errors import InputError
from retrieve_rerank.types import Document, Hit, Qrels

_AT_ONCE = 1000


class JudgedDocuments:
    """Tells what judgments call the documents of an index.

    An index that stands for several has the ids `index/id`, of which judgments may leave out the
    index. A document that was split into passages is judged as a whole, unless its passages are.
    Where any judgment is of a passage whose document is not judged, passages are what is ranked:
    those that nobody judged then count one by one, as whole documents do.
    """

    def __init__(self, connector: Connector, qrels: Qrels) -> None:
        """Look the judged documents up.

        Raises InputError where the index holds none of them, or an id is that of several.
        """
        judged = dict.fromkeys(id_ for grades in qrels.values() for id_ in grades)
        self._names: dict[str, str] = {}  # id in hits -> id in judgments
        resolved = _resolve(connector, judged)
        in_passages = _resolve_split(connector, judged)
        for id_ in judged:
            for there in (resolved.get(id_), in_passages.get(id_)):
                if there and (other := self._names.setdefault(there, id_)) != id_:
                    raise InputError(
                        f"the judgments call the document {there!r} by two ids, {other!r} and "
                        f"{id_!r}; keep one"
                    )
        self._by_passage = _any_passage(
            connector,
            [
                there
                for there in resolved.values()
                if (whole := like_passage_of(there)) is not None and whole not in self._names
            ],
        )
        self.absent = len(judged) - len(set(self._names.values()))
        """Judged documents that the index does not hold: no search can find them."""
        if judged and self.absent == len(judged):
            raise InputError(
                f"the index holds none of the {len(judged)} judged documents; expected the same "
                f"document ids in the judgments and in the index, such as {next(iter(judged))!r}"
            )

    def ids(self, hits: Iterable[Hit]) -> list[str]:
        """Name hits as judgments do; passages of one name once, in the best one's place."""
        return list(dict.fromkeys(self.id_of(hit.document) for hit in hits))

    def id_of(self, document: Document) -> str:
        """Name a document as judgments do, which may take a passage for what it was split from."""
        return self._name(document.id, document.whole_id)

    def without_metadata(self, ids: Iterable[str], wholes: Mapping[str, str]) -> list[str]:
        """Name documents of which only the ids are known, as `ids` does, with `whole_ids`."""
        return list(dict.fromkeys(self._name(id_, wholes.get(id_, id_)) for id_ in ids))

    def _name(self, id_: str, whole: str) -> str:
        unjudged = id_ if self._by_passage else whole
        return self._names.get(id_) or self._names.get(whole, unjudged)


def own_ids(connector: Connector, queries: Iterable[str]) -> dict[str, str]:
    """Return query -> the id in hits of the document that has the query's own id, if there is one.

    Raises InputError for an id that is that of several.
    """
    ids = list(queries)
    return {**_resolve_split(connector, ids), **_resolve(connector, ids)}


def _resolve_split(connector: Connector, ids: Iterable[str]) -> dict[str, str]:
    """Resolve those of these ids whose documents were split into passages."""
    first = {passage_id(id_, 0): id_ for id_ in ids}
    resolved = _resolve(connector, first)
    wholes = whole_ids(connector, resolved.values())
    return {
        first[asked]: wholes[there] for asked, there in resolved.items() if wholes[there] != there
    }


def _any_passage(connector: Connector, ids: Sequence[str]) -> bool:
    """Tell whether any of these is a passage; reads no more of them than it takes to see one."""
    return any(
        whole != id_
        for start in range(0, len(ids), _AT_ONCE)
        for id_, whole in whole_ids(connector, ids[start : start + _AT_ONCE]).items()
    )


def _resolve(connector: Connector, ids: Iterable[str]) -> dict[str, str]:
    ids = list(ids)
    resolved: dict[str, str] = {}
    for start in range(0, len(ids), _AT_ONCE):
        resolved |= connector.resolve_ids(ids[start : start + _AT_ONCE])
    return resolved
