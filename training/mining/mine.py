"""From judged queries and the retriever that serves to groups: positives, and hits that are not.

What is mined is what the reranker will meet: the same connector, filters, depth and, if asked for,
stages. Nothing is embedded but the queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from retrieve_rerank.base import Filter, Scorer
from retrieve_rerank.connectors.hybrid import DENSE
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments, own_ids
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining.near_identical import Shingles
from retrieve_rerank.training.mining.rules import Reason, Rules
from retrieve_rerank.training.mining.sampling import Sampling, sample
from retrieve_rerank.types import Document, Hit, Qrels


@dataclass(slots=True)
class Mined:
    """What became of the queries and their hits; it grows while groups are mined."""

    queries: int = 0
    hits: int = 0
    positives: int = 0
    """Judged relevant documents that the index holds."""
    not_returned: int = 0
    """Positives that the search did not return: reranking cannot move them."""
    negatives: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)
    """Why hits are no negatives -> how many."""
    without_positive: list[str] = field(default_factory=list)
    """Queries without a relevant text: the index holds none, or holds it in passages of which the
    search returned none, so that which of them is meant is not known. No group."""
    without_negative: list[str] = field(default_factory=list)
    """Queries of which no hit was admitted: no group."""
    degraded: list[str] = field(default_factory=list)
    """Queries whose search left out a stage."""


def mine(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    negatives: int = 15,
    rules: Rules = Rules(),  # noqa: B008 - a frozen value
    sampling: Sampling = "random",
    seed: int = 0,
    scorer: Scorer | None = None,
    filter: Filter | None = None,
    exclude_self: bool = False,
    report: Mined | None = None,
) -> Iterator[Group]:
    """Search for each judged query and yield a group: its positives and at most so many negatives.

    Labels are the judgments' grades, and 0 for what is mined. Scores that `rules` look at are the
    `scorer`'s, else the cosines of a search that has a dense ranking. Of positives that the search
    did not return only a `scorer` has scores: without one, margins are taken of the lowest positive
    that was returned. `report` is filled in on the way. Raises InputError where rules need scores
    that there are none of, and as `JudgedDocuments` does.
    """
    if negatives < 1:
        raise InputError(f"a group needs at least one negative; got {negatives}")
    report = Mined() if report is None else report
    judged = JudgedDocuments(retriever.connector, qrels)
    searched = {query: queries[query] for query in qrels if query in queries}
    if not searched:
        raise InputError(f"none of the {len(qrels)} judged queries has a text")
    own = own_ids(retriever.connector, searched) if exclude_self else {}
    for query_id, query in searched.items():
        relevant = {id_: grade for id_, grade in qrels[query_id].items() if grade > 0}
        report.queries += 1
        result = retriever.search(
            query,
            top_k=retriever.candidates,
            filter=filter,
            exclude=[own[query_id]] if query_id in own else [],
        )
        if result.degraded:
            report.degraded.append(query_id)
        found = _Found(judged, relevant, result.hits)
        absent = [id_ for id_ in relevant if id_ not in found.positives]
        fetched = {judged.id_of(each): each for each in retriever.connector.get(absent)}
        in_passages = retriever.connector.resolve_ids([f"{id_}#0" for id_ in absent])
        report.hits += len(result.hits)
        not_returned = len(fetched) + len(in_passages)
        report.not_returned += not_returned
        report.positives += len(found.positives) + not_returned
        positives = {**{id_: hit.document for id_, hit in found.positives.items()}, **fetched}
        if not positives:
            report.without_positive.append(query_id)
            continue
        scores = _scores(query, found, fetched, scorer) if rules.need_scores else {}
        admitted = list(_admitted(found, positives, scores, rules, report.dropped))
        if not admitted:
            report.without_negative.append(query_id)
            continue
        chosen = sample(admitted, negatives, how=sampling, seed=seed, query=query_id)
        report.negatives += len(chosen)
        template = scorer.template if scorer is not None else Template()
        yield Group(
            query,
            tuple(
                [
                    GroupText(template.render(document), relevant[id_], document.id, "qrels")
                    for id_, document in positives.items()
                ]
                + [
                    GroupText(template.render(hit.document), 0, hit.document.id, f"rank {hit.rank}")
                    for hit in chosen
                ]
            ),
            query_id,
        )


class _Found:
    """A query's hits, told apart by what the judgments say of them."""

    def __init__(
        self, judged: JudgedDocuments, relevant: Mapping[str, int], hits: Sequence[Hit]
    ) -> None:
        self.positives: dict[str, Hit] = {}
        """Judged id -> its best hit: of a document in passages the one that was found first."""
        self.others: list[Hit] = []
        self.relevant = 0
        """Hits that are judged relevant, further passages among them."""
        for hit in hits:
            id_ = judged.id_of(hit.document)
            if id_ in relevant:
                self.positives.setdefault(id_, hit)
                self.relevant += 1
            else:
                self.others.append(hit)


def _admitted(
    found: _Found,
    positives: Mapping[str, Document],
    scores: Mapping[str, float],
    rules: Rules,
    dropped: Counter[Reason],
) -> Iterator[Hit]:
    """Yield the hits that may be negatives, and count the others by why they may not."""
    dropped["relevant"] += found.relevant
    shingles = [Shingles(document.text) for document in positives.values()]
    same = {
        (name, str(value))
        for name in rules.exclude_same
        for document in positives.values()
        if (value := document.metadata.get(name)) is not None
    }
    known = [scores[each.id] for each in positives.values() if each.id in scores]
    anchor = min(known, default=None)
    for hit in found.others:
        document = hit.document
        broken: Reason | None = rules.against(
            rank=hit.rank, score=scores.get(document.id), anchor=anchor
        )
        if broken is None and any(
            (name, str(document.metadata[name])) in same
            for name in rules.exclude_same
            if name in document.metadata
        ):
            broken = "same"
        if broken is None and any(Shingles(document.text).near(each) for each in shingles):
            broken = "near-identical"
        if broken is None:
            yield hit
        else:
            dropped[broken] += 1


def _scores(
    query: str, found: _Found, fetched: Mapping[str, Document], scorer: Scorer | None
) -> dict[str, float]:
    """Return the scores that compare, by id in the index, for those that have one."""
    hits = [*found.positives.values(), *found.others]
    if scorer is not None:
        documents = [*(hit.document for hit in hits), *fetched.values()]
        texts = [scorer.template.render(document) for document in documents]
        return dict(zip((each.id for each in documents), scorer.score(query, texts), strict=True))
    cosines = {
        hit.document.id: hit.first_stage.sources[DENSE].score
        for hit in hits
        if DENSE in hit.first_stage.sources
    }
    if hits and not cosines:
        raise InputError(
            "margins and bounds of scores compare cosines or a cross-encoder's scores, and this"
            " search has neither: a share of a BM25 or a fused score means nothing; give a scorer"
        )
    return cosines
