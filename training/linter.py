"""Looking training data over before anything is trained on it.

Data are read once, as a stream. Of each query and text a hash is kept to find what comes again:
about 200 bytes for each text of the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import shown
from retrieve_rerank.training import findings
from retrieve_rerank.training.findings import Example, Finding, Problem, Severity
from retrieve_rerank.training.formats.feedback import PREFERENCE
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.lengths import LengthCount, Lengths, PairLengths, Truncation
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.reading import GroupSource

LISTED_LABELS = 20
"""Different labels that are counted one by one; of more, only the range is told."""


@dataclass(slots=True)
class SourceFacts:
    """What one file holds."""

    name: str
    format: str
    groups: int = 0
    texts: int = 0
    positives: int = 0
    negatives: int = 0
    unlabelled: int = 0
    teacher_scores: int = 0
    lowest_label: float | None = None
    highest_label: float | None = None

    def add(self, group: Group) -> None:
        """Count one more group."""
        labels = [text.label for text in group.texts if text.label is not None]
        positives = len(group.positives)
        self.groups += 1
        self.texts += len(group.texts)
        self.positives += positives
        self.negatives += len(labels) - positives
        self.unlabelled += len(group.texts) - len(labels)
        self.teacher_scores += sum(text.teacher_score is not None for text in group.texts)
        for label in labels:
            low, high = self.lowest_label, self.highest_label
            self.lowest_label = label if low is None else min(low, label)
            self.highest_label = label if high is None else max(high, label)

    @property
    def within_0_to_1(self) -> bool | None:
        """Whether all labels are from 0 to 1; None where there are none."""
        if self.lowest_label is None or self.highest_label is None:
            return None
        return self.lowest_label >= 0 and self.highest_label <= 1


@dataclass(frozen=True, slots=True)
class DataReport:
    """What the linter found, the worst first."""

    sources: Sequence[SourceFacts]
    findings: Sequence[Finding]
    labels: Mapping[float, int]
    """Label -> texts; empty where there are more than LISTED_LABELS of them."""
    group_sizes: Lengths
    query_characters: Lengths
    text_characters: Lengths
    pair_tokens: Lengths | None
    """None where no model was named."""
    truncation: Truncation | None
    """The same."""

    def count(self, severity: Severity) -> int:
        """Count the kinds of findings that are so bad."""
        return sum(finding.problem.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Say it all as JSON values."""
        found = [
            {
                "problem": finding.problem.name,
                "severity": finding.problem.severity.value,
                "count": finding.count,
                "advice": finding.problem.advice,
                "examples": [
                    {"place": example.place, "detail": example.detail}
                    for example in finding.examples
                ],
            }
            for finding in self.findings
        ]
        lengths = self.pair_tokens
        return {
            "sources": [asdict(source) for source in self.sources],
            "findings": found,
            "labels": {f"{label:g}": count for label, count in self.labels.items()},
            "group_sizes": asdict(self.group_sizes),
            "query_characters": asdict(self.query_characters),
            "text_characters": asdict(self.text_characters),
            "pair_tokens": asdict(lengths) if lengths is not None else None,
            "truncation": asdict(self.truncation) if self.truncation is not None else None,
        }


def check_groups(
    sources: Sequence[GroupSource],
    *,
    test_queries: Iterable[str] = (),
    lengths: PairLengths | None = None,
    on_group: Callable[[int], None] = lambda count: None,
) -> DataReport:
    """Check training data; `lengths` counts tokens with the tokenizer of a model.

    `on_group` is called with 1 for each place that was read. Raises InputError only where a file
    breaks off: single lines that cannot be read are findings.
    """
    linter = _Linter(test_queries, lengths)
    for source in sources:
        linter.begin(source)
        for place, found in source.found():
            if isinstance(found, Group):
                linter.check(place, found)
            else:
                linter.unreadable(place, found)
            on_group(1)
        linter.end(source)
    return linter.report()


class _Linter:
    """What has been seen so far."""

    def __init__(self, test_queries: Iterable[str], lengths: PairLengths | None) -> None:
        self._test = {digest(query) for query in test_queries}
        self._lengths = lengths
        self._sources: list[SourceFacts] = []
        self._findings: dict[Problem, Finding] = {}
        self._labels: Counter[float] | None = Counter()
        self._sizes, self._queries, self._texts, self._pairs = (LengthCount() for _ in range(4))
        self._truncation = Truncation(lengths.max_tokens) if lengths is not None else None
        self._seen_queries: set[int] = set()
        self._seen_groups: set[int] = set()
        self._relevant: set[int] = set()
        self._irrelevant: set[int] = set()
        self._preferred: set[int] = set()

    def begin(self, source: GroupSource) -> None:
        self._sources.append(SourceFacts(source.name, source.format))

    def end(self, source: GroupSource) -> None:
        facts = self._sources[-1]
        facts.format = source.format  # that of a stream is known by now
        if not facts.groups:
            self._add(findings.NO_GROUPS, source.name, "the file has none that can be read")

    def unreadable(self, place: str, reason: Reason) -> None:
        self._add(findings.unreadable(reason.problem), place, reason.detail)

    def check(self, place: str, group: Group) -> None:
        self._sources[-1].add(group)
        self._measure(place, group)
        self._check_labels(place, group)
        query = digest(group.query, group.user) if group.user else digest(group.query)
        texts = [digest(text.text) for text in group.texts]
        if digest(group.query) in self._test:
            self._add(findings.TEST_QUERY, place, shown(group.query))
        self._check_again(place, group, query, texts)
        self._check_texts(place, group, query, texts)

    def _add(self, problem: Problem, place: str, detail: str, *, badness: float = 0.0) -> None:
        finding = self._findings.setdefault(problem, Finding(problem))
        finding.add(Example(place, detail, badness))

    def _check_labels(self, place: str, group: Group) -> None:
        labels = [text.label for text in group.texts if text.label is not None]
        if self._labels is not None:
            self._labels.update(labels)
            if len(self._labels) > LISTED_LABELS:
                self._labels = None
        for label in labels:
            if not 0 <= label <= 1:
                far = max(-label, label - 1)
                self._add(findings.NOT_0_TO_1, place, f"{label:g}", badness=far)
        if not labels:
            self._add(findings.NO_LABELS, place, shown(group.query))
        if len(group.texts) == 1:
            self._add(findings.ONE_TEXT, place, shown(group.query))
        elif labels and not group.tells_apart and not _is_preference(group):
            detail = f"{len(labels):,} labelled {labels[0]:g}: {shown(group.query)}"
            self._add(findings.EQUAL_LABELS, place, detail, badness=len(labels))

    def _check_again(self, place: str, group: Group, query: int, texts: Sequence[int]) -> None:
        whole = hash((query, *sorted(texts)))
        if whole in self._seen_groups:
            self._add(findings.SAME_GROUP, place, shown(group.query))
        elif query in self._seen_queries:
            self._add(findings.QUERY_AGAIN, place, shown(group.query))
        self._seen_groups.add(whole)
        self._seen_queries.add(query)

    def _check_texts(self, place: str, group: Group, query: int, texts: Sequence[int]) -> None:
        preference = _is_preference(group)
        if preference:
            self._check_preference(place, group, query, texts)
        labels: dict[int, float | None] = {}
        for text, key in zip(group.texts, texts, strict=True):
            if not text.text.strip():
                self._add(findings.EMPTY_TEXT, place, f"of the query {shown(group.query)}")
            if not preference and self._contradicts(text, hash((query, key))):
                detail = f"{shown(text.text)} for {shown(group.query)}"
                self._add(findings.CONTRADICTION, place, detail)
            elif key in labels:
                same = labels[key] == text.label
                problem = findings.SAME_TEXT if same else findings.TWO_LABELS
                self._add(problem, place, shown(text.text))
            labels.setdefault(key, text.label)

    def _check_preference(self, place: str, group: Group, query: int, texts: Sequence[int]) -> None:
        """What is better than one text may be worse than another, but not than the same."""
        labels = [text.label or 0 for text in group.texts]
        if len(set(labels)) == 1:
            return
        better, worse = texts[labels.index(max(labels))], texts[labels.index(min(labels))]
        self._preferred.add(hash((query, better, worse)))
        if hash((query, worse, better)) in self._preferred:
            self._add(findings.BOTH_WAYS, place, shown(group.query))

    def _contradicts(self, text: GroupText, pair: int) -> bool:
        if text.label is None:
            return False
        own, other = self._relevant, self._irrelevant
        if text.label <= 0:
            own, other = other, own
        own.add(pair)
        return pair in other

    def _measure(self, place: str, group: Group) -> None:
        self._sizes.add(len(group.texts))
        self._queries.add(len(group.query))
        for text in group.texts:
            self._texts.add(len(text.text))
        if self._lengths is None or self._truncation is None:
            return
        most = self._lengths.max_tokens
        for text, pair in zip(group.texts, self._lengths.of(group), strict=True):
            self._pairs.add(pair.tokens)
            self._truncation.add(pair)
            if pair.cut:
                problem = findings.QUERY_CUT if pair.query_cut else findings.TEXT_CUT
                of = group.query if pair.query_cut else text.text
                detail = f"{pair.tokens:,} tokens of which {most:,} are read: {shown(of)}"
                self._add(problem, place, detail, badness=pair.tokens)

    def report(self) -> DataReport:
        if len({facts.within_0_to_1 for facts in self._sources} - {None}) > 1:
            for facts in self._sources:
                if facts.within_0_to_1 is False:
                    detail = f"{facts.lowest_label:g} to {facts.highest_label:g}"
                    self._add(findings.OTHER_SCALE, facts.name, detail)
        order = list(Severity)
        worst = sorted(
            self._findings.values(),
            key=lambda finding: (order.index(finding.problem.severity), -finding.count),
        )
        return DataReport(
            sources=self._sources,
            findings=worst,
            labels=dict(sorted(self._labels.items())) if self._labels is not None else {},
            group_sizes=self._sizes.summary(),
            query_characters=self._queries.summary(),
            text_characters=self._texts.summary(),
            pair_tokens=self._pairs.summary() if self._lengths is not None else None,
            truncation=self._truncation,
        )


def _is_preference(group: Group) -> bool:
    return all(text.source == PREFERENCE for text in group.texts)
