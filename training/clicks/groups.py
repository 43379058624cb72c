"""Sessions as training groups: corrected clicks, copied answers, and reformulated queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retrieve_rerank.data.clicks import Session
from retrieve_rerank.training.clicks.propensities import MOST_WEIGHT, Propensities
from retrieve_rerank.training.groups import Group, GroupText


@dataclass(slots=True)
class ClickReport:
    """What became of a log; it grows while groups are made."""

    sessions: int = 0
    clicks: int = 0
    clipped: int = 0
    """Clicks that count for less than their position asks for."""
    unknown_positions: int = 0
    """Results at positions of which no propensity is known: they say nothing."""
    unlabelled: int = 0
    """Queries' documents that were never clicked nor seen: not negative."""
    textless: int = 0
    """Queries' documents without a text."""
    groups: int = 0


@dataclass(slots=True)
class _Seen:
    shown: int = 0
    weight: float = 0.0
    """Of its clicks."""
    clicks: int = 0
    examined: bool = False


def click_groups(
    sessions: Sequence[Session],
    propensities: Propensities,
    *,
    texts: Mapping[str, str] | None = None,
    most_weight: float = MOST_WEIGHT,
    report: ClickReport | None = None,
) -> Iterator[Group]:
    """Yield a group for each query, then one for each copied answer and each reformulation.

    A document's label is Σ clicks / propensity over the times it was shown, at most 1: an estimate
    of its relevance that does not depend on where it stood (inverse propensity scoring: Joachims,
    Swaminathan and Schnabel, WSDM 2017, https://arxiv.org/abs/1608.04468). The loss that weighs
    each click by 1 / propensity, and the rest by what is left, is the same as BCE on this label
    (Saito et al., WSDM 2020, https://arxiv.org/abs/1909.03601). A document that always stood below
    the last one examined, and was never clicked, is unlabelled. `texts` are by document id, for
    hits that hold none.
    """
    report = ClickReport() if report is None else report
    seen: dict[str, dict[str, _Seen]] = defaultdict(lambda: defaultdict(_Seen))
    known = dict(texts or {})
    for session in sessions:
        report.sessions += 1
        last = session.last_examined
        for each in session.shown:
            if each.text is not None:
                known.setdefault(each.id, each.text)
            weight = propensities.weight(each.position, most=most_weight)
            if weight is None:
                report.unknown_positions += 1
                continue
            its = seen[session.query][each.id]
            its.shown += 1
            its.examined |= each.position <= last
            if each.clicked:
                its.clicks += 1
                its.weight += weight
                report.clicks += 1
                report.clipped += weight * propensities.of[each.position] < 1 - 1e-9
    for query, documents in seen.items():
        found = []
        for id_, its in documents.items():
            if id_ not in known:
                report.textless += 1
                continue
            label = min(1.0, its.weight / its.shown) if its.examined else None
            report.unlabelled += label is None
            source = f"clicks: {its.clicks} of {its.shown}"
            found.append(GroupText(known[id_], label, id_, source))
        if any(each.label is not None for each in found):
            report.groups += 1
            yield Group(query, tuple(found))
    for group in (*_copied(sessions, known), *_reformulated(sessions, known)):
        report.groups += 1
        yield group


def _copied(sessions: Sequence[Session], texts: Mapping[str, str]) -> Iterator[Group]:
    """A copied answer is a point: whoever copies has read it, wherever it stood."""
    for session in sessions:
        for each in session.shown:
            if each.copied and each.id in texts:
                yield Group(session.query, (GroupText(texts[each.id], 1.0, each.id, "copied"),))


def _reformulated(sessions: Sequence[Session], texts: Mapping[str, str]) -> Iterator[Group]:
    """What was clicked for a query in other words is preferred, for the first words, to the first
    result that these had and that was left (query chains: Radlinski and Joachims, KDD 2005,
    https://arxiv.org/abs/cs/0605035)."""
    before: dict[tuple[str, str], Session] = {}
    for session in sorted(sessions, key=lambda each: each.time):
        first = before.get((session.user, session.reformulates or ""))
        left = next((each.id for each in first.shown if not each.clicked), None) if first else None
        if first is not None and session.reformulates and left is not None and left in texts:
            there = {each.id for each in first.shown}
            worse = GroupText(texts[left], 0.0, left, "reformulation")
            for each in session.shown:
                if each.clicked and each.id in texts and each.id not in there:
                    better = GroupText(texts[each.id], 1.0, each.id, "reformulation")
                    yield Group(first.query, (better, worse))
        before[session.user, session.query] = session
