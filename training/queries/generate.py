"""Queries from an index where nobody has judged any: proposed, cleaned, kept if they find back.

The index is read through once as a stream. Of each kind of query those with the lowest hashes stay,
whatever the order in which documents come, so that memory is bounded and the same seed gives the
same queries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from typing import Any

from retrieve_rerank.base import Connector
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.queries.cut_search import CutConnector
from retrieve_rerank.training.queries.cuts import Cut, Cuts, keeps_span
from retrieve_rerank.training.queries.proposals import (
    ALL_SOURCES,
    SOURCES,
    Proposal,
    Source,
    proposals,
)
from retrieve_rerank.training.queries.sample import MOST_DOCUMENTS, Candidate, Sample
from retrieve_rerank.training.splits import SHARES, SPLITS, similar, split_of, trigrams_of
from retrieve_rerank.training.together import Together
from retrieve_rerank.types import Document, Qrels

LIMIT = 2000

TOP_K = 20
"""Where the source document must be found again: what stands deeper is asked of another."""

PER_DOCUMENT = 3
"""Queries that one document may give."""

NEAR = 0.9
"""Share of their trigrams from which on two queries are one."""

TRIED = 2
"""Proposals of each source that are kept for each query wanted: about half do not find back."""

_EXAMPLES = 5


@dataclass(slots=True)
class Yield:
    """What became of one source's proposals."""

    proposed: int = 0
    says_nothing: int = 0
    """Too few words that mean something, a file's or a site's name, or in too many documents."""
    duplicates: int = 0
    """Nearly the same as another query, or one more of a document that has given enough."""
    tried: int = 0
    not_returned: int = 0
    """Searched for, and the document was not among the first `top_k` without the span."""
    kept: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)
    """Kept queries, each with the id of a document."""
    lost: list[tuple[str, str]] = field(default_factory=list)
    """Queries that did not find back."""

    def to_dict(self) -> dict[str, Any]:
        """Say it all as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Generated:
    """Queries with the documents that they came from."""

    queries: dict[str, str]
    qrels: Qrels
    """By the id of the whole document, where the index holds passages."""
    cuts: Cuts
    """What is to be cut from documents when they are read for a query: see `without_spans`."""
    splits: dict[str, str]
    """Query -> train, dev, calibration or test; queries of one document share theirs."""
    yields: dict[Source, Yield]
    documents: int
    """Read of the index."""

    @property
    def split_sizes(self) -> dict[str, int]:
        """Split -> how many queries."""
        counts = Counter(self.splits.values())
        return {split: counts[split] for split in reversed(SPLITS) if counts[split]}


def generate(
    connector: Connector,
    *,
    limit: int = LIMIT,
    top_k: int = TOP_K,
    sources: Sequence[Source] = SOURCES,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    written: Iterable[tuple[Document, str]] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Generated:
    """Propose queries from the documents of an index, and keep at most `limit` that find back.

    A query is kept where the connector returns its document among the first `top_k` without the
    span that the query came from. `written` are the queries that a language model wrote for
    documents, for the source "llm". `on_progress` hears how many documents were read, and queries
    tried, since it was last called. Raises InputError where nothing is kept, saying why.
    """
    if limit < 1 or top_k < 1:
        raise InputError(f"limit and top_k must be at least 1; got {limit} and {top_k}")
    if unknown := set(sources) - set(ALL_SOURCES):
        raise InputError(f"unknown sources {sorted(unknown)}; known: {', '.join(ALL_SOURCES)}")
    told = on_progress or (lambda count: None)
    yields = {source: Yield() for source in sources}
    sample = Sample(sources, size=TRIED * limit, seed=seed)
    documents = 0
    for document in connector.scan():
        documents += 1
        for proposal in proposals(document):
            if proposal.source in yields:
                _take(proposal, document, sample, yields)
        told(1)
    for document, query in written:
        # What stands word for word in the document is cut from it, as a sentence is.
        _take(
            Proposal("llm", query, query if query in document.text else ""),
            document,
            sample,
            yields,
        )
    candidates = list(_cleaned(sample, yields))
    queries = {each.id: each.query for each in candidates}
    search = CutConnector(connector, queries, _cuts(candidates))
    kept: list[Candidate] = []
    given: Counter[str] = Counter()
    for each in candidates:
        if len(kept) == limit:
            break
        its = yields[each.source]
        if any(given[whole] >= PER_DOCUMENT for whole in each.wholes):
            its.duplicates += 1
            continue
        its.tried += 1
        told(1)
        hits = search.search(each.query, top_k=top_k)
        found = any(hit.document.whole_id in each.wholes for hit in hits)
        examples = its.examples if found else its.lost
        if len(examples) < _EXAMPLES:
            examples.append((each.query, min(each.spans)))
        if found:
            its.kept += 1
            given.update(each.wholes)
            kept.append(each)
        else:
            its.not_returned += 1
    if not kept:
        raise InputError(_nothing(documents, yields))
    return _generated(kept, shares, yields, documents)


def _take(
    proposal: Proposal, document: Document, sample: Sample, yields: Mapping[Source, Yield]
) -> None:
    its = yields[proposal.source]
    its.proposed += 1
    if proposal.says_something:
        sample.add(proposal, document)
    else:
        its.says_nothing += 1


def _cleaned(sample: Sample, yields: Mapping[Source, Yield]) -> Iterator[Candidate]:
    """Yield from each source in turn what is in few enough documents, and nearly the same once."""
    queues: list[list[Candidate]] = []
    for source, candidates in sample.candidates.items():
        most = 1 if source == "sentence" else MOST_DOCUMENTS
        few = [each for each in candidates if len(each.wholes) <= most]
        yields[source].says_nothing += len(candidates) - len(few)
        queues.append(few)
    in_turn = {each.id: each for turn in zip_longest(*queues) for each in turn if each is not None}
    trigrams = {id_: trigrams_of(each.query) for id_, each in in_turn.items()}
    copies = {later for later, _ in similar(list(in_turn), trigrams, at_least=NEAR)}
    for id_, each in in_turn.items():
        if id_ in copies:
            yields[each.source].duplicates += 1
        else:
            yield each


def _cuts(candidates: Iterable[Candidate]) -> Cuts:
    of: defaultdict[str, dict[str, Cut]] = defaultdict(dict)
    for each in candidates:
        for document, span in sorted(each.spans.items()):
            if not span:
                continue
            of[document][each.id] = Cut(each.source, span)
    return Cuts(dict(of))


def _generated(
    kept: Sequence[Candidate],
    shares: Mapping[str, float],
    yields: dict[Source, Yield],
    documents: int,
) -> Generated:
    splits = _splits({each.id: each.wholes for each in kept}, shares)
    whole = frozenset(
        each.id for each in kept if splits[each.id] == "train" and keeps_span(each.query)
    )
    return Generated(
        queries={each.id: each.query for each in kept},
        qrels={each.id: dict.fromkeys(sorted(each.wholes), 1) for each in kept},
        cuts=replace(_cuts(kept), whole=whole, generated=True),
        splits={each.id: splits[each.id] for each in kept},
        yields=yields,
        documents=documents,
    )


def _splits(wholes: Mapping[str, Collection[str]], shares: Mapping[str, float]) -> dict[str, str]:
    """Divide queries by their documents; those that share one, directly or not, stay together."""
    together, first = Together(wholes), dict[str, str]()
    for query, documents in wholes.items():
        for document in documents:
            together.join(query, first.setdefault(document, query))
    ordered = {split: shares.get(split, 0.0) for split in SPLITS}
    splits: dict[str, str] = {}
    for queries in together.sets():
        document = min(document for query in queries for document in wholes[query])
        splits |= dict.fromkeys(queries, split_of(document, ordered))
    return splits


def _nothing(documents: int, yields: Mapping[Source, Yield]) -> str:
    became = "; ".join(
        f"{source}: {its.proposed} proposed, {its.says_nothing} say nothing, {its.duplicates}"
        f" duplicates, {its.not_returned} of {its.tried} not found back"
        for source, its in yields.items()
    )
    return (
        f"the {documents:,} documents of the index give no queries ({became}); give judged queries"
        " instead"
    )
