"""A query's hits, told apart by what the judgments say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from retrieve_rerank.base import Connector
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.training.mining.searching import Searched
from retrieve_rerank.types import Document, Hit


@dataclass(frozen=True, slots=True)
class JudgedHits:
    """What the index has for a query."""

    positives: Mapping[str, Document]
    """Judged id -> text: of a document in passages the one that was found first."""
    others: Sequence[Hit]
    """Hits that are not judged relevant."""
    refused: Set[str]
    """Ids of those among them that were judged, and not relevant."""
    not_returned: int
    """Positives that the index holds and the search did not return."""
    not_held: int
    """Positives that the index does not hold."""
    in_passages: int
    """Of those not returned, the ones that are in passages, of which one cannot tell the text."""


def tell_apart(
    searched: Searched, grades: Mapping[str, int], judged: JudgedDocuments, connector: Connector
) -> JudgedHits:
    """Divide hits, and fetch the positives that are not among them."""
    relevant = {id_ for id_, grade in grades.items() if grade > 0}
    positives: dict[str, Document] = {}
    others = []
    refused = set()
    for hit in searched.hits:
        id_ = judged.id_of(hit.document)
        if id_ in relevant:
            positives.setdefault(id_, hit.document)
        else:
            others.append(hit)
            if id_ in grades:
                refused.add(hit.document.id)
    absent = [id_ for id_ in grades if id_ in relevant and id_ not in positives]
    if not absent:
        return JudgedHits(positives, others, refused, 0, 0, 0)
    fetched = {judged.id_of(each): each for each in connector.get(absent)}
    passages = [f"{id_}#0" for id_ in absent if id_ not in fetched]
    firsts = connector.get(passages) if passages else []
    in_passages = len({judged.id_of(each) for each in firsts}.intersection(absent))
    not_returned = len(fetched) + in_passages
    not_held = len(absent) - not_returned
    return JudgedHits(
        {**positives, **fetched}, others, refused, not_returned, not_held, in_passages
    )
