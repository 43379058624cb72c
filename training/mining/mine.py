"""From judged queries and the retriever that serves to groups: positives, and hits that are not.

What is mined is what the reranker will meet: the same connector, filters, depth and, if asked for,
stages. Nothing is embedded but the queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from retrieve_rerank.base import Filter, Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments, own_ids
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining.choosing import Choosing
from retrieve_rerank.training.mining.judged_hits import JudgedHits, tell_apart
from retrieve_rerank.training.mining.report import Mined
from retrieve_rerank.training.mining.rules import DEFAULT_RULES, Rules
from retrieve_rerank.training.mining.sampling import Sampling, check_sampling, order_of_trial
from retrieve_rerank.training.mining.scores import Cosines, QueryScores, ScoresOf, no_cosines
from retrieve_rerank.training.mining.searching import Searched, search_all, search_exactly
from retrieve_rerank.training.mining.veto import CrossFitted, Veto
from retrieve_rerank.types import Qrels


def mine(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    negatives: int = 15,
    rules: Rules = DEFAULT_RULES,
    sampling: Sampling = "random",
    seed: int = 0,
    scorer: Scorer | None = None,
    veto: Veto | CrossFitted | None = None,
    filter: Filter | None = None,
    exclude_self: bool = False,
    exact: bool = False,
    users: Mapping[str, str] = MappingProxyType({}),
    template: Template = Template(),  # noqa: B008 - a frozen value
    report: Mined | None = None,
) -> Iterator[Group]:
    """Search for each judged query and yield a group: its positives and at most so many negatives.

    Labels are the judgments' grades, and 0 for what is mined; against what was judged not relevant
    neither margin nor veto speaks. Scores that `rules` look at are the `scorer`'s, else the cosines
    of a search that has a dense ranking. Of positives that the search did not return only a
    `scorer` has scores: without one, margins are taken of the lowest positive that was returned.
    The scores of the `veto`'s scorer, else of `scorer`, become teacher scores. `exact` compares
    queries with all vectors, in place of the search that serves. `users` tell for queries what is
    known of who asks: stages, scorer and veto read it, and groups tell it. `template` is what the
    model to be trained reads of a document. `report` is filled in on the way. Raises InputError
    where rules need scores that there are none of, and as `JudgedDocuments` does.
    """
    mining = Mining(
        retriever=retriever,
        queries=queries,
        qrels=qrels,
        negatives=negatives,
        rules=rules,
        sampling=sampling,
        seed=seed,
        scorer=scorer,
        veto=veto,
        filter=filter,
        exclude_self=exclude_self,
        exact=exact,
        users=users,
        template=template,
    )
    return _groups(mining, Mined() if report is None else report)


def _groups(mining: Mining, report: Mined) -> Iterator[Group]:
    report.textless += mining.textless
    for group, its in mining.outcomes():
        report.add(its)
        if group is not None:
            yield group


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """What is mined, and how; `mine` says what each part is."""

    retriever: Retriever
    queries: Mapping[str, str]
    qrels: Qrels
    negatives: int = 15
    rules: Rules = DEFAULT_RULES
    sampling: Sampling = "random"
    seed: int = 0
    scorer: Scorer | None = None
    veto: Veto | CrossFitted | None = None
    filter: Filter | None = None
    exclude_self: bool = False
    exact: bool = False
    users: Mapping[str, str] = field(default_factory=dict)
    template: Template = field(default_factory=Template)

    def __post_init__(self) -> None:
        """Raise InputError for what makes no sense."""
        if self.negatives < 1:
            raise InputError(f"a group needs at least one negative; got {self.negatives}")
        check_sampling(self.sampling)
        if self.exact and self.filter is not None:
            raise InputError("an exact search takes no filter; leave out one of the two")
        if self.exact and self.retriever.stages:
            raise InputError("an exact search is the first stage alone; leave out the reranker")
        if self.textless == len(self.qrels):
            raise InputError(f"none of the {len(self.qrels)} judged queries has a text")

    @property
    def textless(self) -> int:
        """How many judged queries have no text."""
        return sum(query not in self.queries for query in self.qrels)

    def outcomes(self, *, done: int = 0) -> Iterator[tuple[Group | None, Mined]]:
        """Yield for each query its group, None where there is none, and what became of its hits.

        Queries without a text are passed over, and the first `done` of the others.
        """
        connector = self.retriever.connector
        judged = JudgedDocuments(connector, self.qrels)
        queries = {query: self.queries[query] for query in self.qrels if query in self.queries}
        own = own_ids(connector, queries) if self.exclude_self else {}
        if self.exact:
            depth = self.retriever.candidates
            all_found = search_exactly(connector, queries, depth=depth, own=own, done=done)
        else:
            all_found = search_all(
                self.retriever, queries, own=own, filter=self.filter, users=self.users, done=done
            )
        for searched in all_found:
            grades = self.qrels[searched.query_id]
            found = tell_apart(searched, grades, judged, connector)
            report = Mined(
                queries=1,
                hits=len(searched.hits),
                positives=len(found.positives) + found.in_passages,
                not_returned=found.not_returned,
                not_held=found.not_held,
                degraded=[searched.query_id] if searched.degraded else [],
            )
            if relevant := len(searched.hits) - len(found.others):
                report.dropped["relevant"] = relevant
            yield self._group(searched, found, report), report

    def _group(self, searched: Searched, found: JudgedHits, report: Mined) -> Group | None:
        if not found.positives:
            report.without_positive.append(searched.query_id)
            return None
        grades = self.qrels[searched.query_id]
        positives = list(found.positives.values())
        veto = self.veto.of(searched.query_id) if self.veto is not None else None
        user = self.users.get(searched.query_id, "")
        scored = QueryScores(self.scorer, searched.query, user) if self.scorer is not None else None
        vetoing = scored
        if veto is not None and veto.scorer is not self.scorer:
            vetoing = QueryScores(veto.scorer, searched.query, user)
        compared: ScoresOf | None = None
        anchors: list[float] = []
        if self.rules.need_scores and scored is not None:
            compared, anchors = scored, scored(positives)
        elif self.rules.need_scores and not (self.rules.lenient and no_cosines(searched.hits)):
            compared = cosines = Cosines(searched.hits)
            anchors = cosines.known(positives)
        hits = [hit for hit in found.others if self.rules.take(hit.rank)]
        if outside := len(found.others) - len(hits):
            report.dropped["rank"] = outside
        order = order_of_trial(
            len(hits), self.negatives, how=self.sampling, seed=self.seed, query=searched.query_id
        )
        grade = min(grades[id_] for id_ in found.positives)
        choosing = Choosing(
            positives,
            self.template,
            found.refused,
            grade,
            self.rules,
            compared,
            min(anchors, default=None),
            veto,
            vetoing,
        )
        chosen = choosing.choose((hits[place] for place in order), self.negatives, report.dropped)
        count = sum(each.label <= 0 for each in chosen)
        if not count:
            report.without_negative.append(searched.query_id)
            return None
        report.groups += 1
        report.negatives += count
        report.kept_vetoed += len(chosen) - count
        documents = [*positives, *(each.hit.document for each in chosen)]
        teacher = vetoing(documents) if vetoing is not None else [None] * len(documents)
        ranks = {hit.document.id: hit.rank for hit in searched.hits}
        labels = [*(grades[id_] for id_ in found.positives), *(each.label for each in chosen)]
        sources = [*["qrels"] * len(positives), *(each.source for each in chosen)]
        return Group(
            searched.query,
            tuple(
                GroupText(
                    self.template.render(document),
                    label,
                    document.id,
                    source,
                    score,
                    ranks.get(document.id),
                )
                for document, label, source, score in zip(
                    documents, labels, sources, teacher, strict=True
                )
            ),
            searched.query_id,
            user=user,
        )
