"""Which of a query's hits become texts of its group: tried one after another until it is full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from retrieve_rerank.text.field_paths import value_at
from retrieve_rerank.training.mining.near_identical import Shingles
from retrieve_rerank.training.mining.rules import Reason, Rules
from retrieve_rerank.training.mining.scores import QueryScores, ScoresOf
from retrieve_rerank.training.mining.veto import Veto
from retrieve_rerank.types import Document, Hit


class Chosen(NamedTuple):
    """A hit that becomes a text of the group."""

    hit: Hit
    label: float
    """0, or what a veto has made of it."""


class Choosing(NamedTuple):
    """What a query's hits are held against."""

    positives: Sequence[Document]
    grade: float
    """The lowest of the positives."""
    rules: Rules
    scores: ScoresOf | None
    """What the rules look at, None where they look at none."""
    anchor: float | None
    """The lowest of the positives' scores that are known."""
    veto: Veto | None
    vetoing: QueryScores | None
    """The veto's scores."""

    def choose(self, trial: Iterator[Hit], count: int, dropped: Counter[Reason]) -> list[Chosen]:
        """Try hits in their order until `count` are negatives; count the others by reason."""
        too_like = _too_like(self.positives, self.rules.exclude_same)
        chosen: list[Chosen] = []
        lacking = count
        # No more at once than are lacking: a cross-encoder's time is spent on few in vain.
        while lacking and (hits := list(islice(trial, lacking))):
            hits = _passing(hits, [too_like(hit.document) for hit in hits], dropped)
            if self.scores is not None:
                scores = self.scores([hit.document for hit in hits])
                broken = [self.rules.against(score, anchor=self.anchor) for score in scores]
                hits = _passing(hits, broken, dropped)
            for each in self._judged(hits):
                if each.label is None or each.label > 0:
                    dropped["veto"] += 1
                else:
                    lacking -= 1
                if each.label is not None:
                    chosen.append(Chosen(each.hit, each.label))
        return sorted(chosen, key=lambda each: each.hit.rank)

    def _judged(self, hits: Sequence[Hit]) -> Iterator[_Judged]:
        """Label hits: 0, or what the veto says."""
        if self.veto is None or self.vetoing is None:
            yield from (_Judged(hit, 0) for hit in hits)
            return
        for hit, score in zip(hits, self.vetoing([hit.document for hit in hits]), strict=True):
            vetoed = score >= self.veto.threshold
            yield _Judged(hit, self.veto.label(score, grade=self.grade) if vetoed else 0)


class _Judged(NamedTuple):
    hit: Hit
    label: float | None


def _passing(
    hits: Sequence[Hit], reasons: Sequence[Reason | None], dropped: Counter[Reason]
) -> list[Hit]:
    dropped.update(reason for reason in reasons if reason is not None)
    return [hit for hit, reason in zip(hits, reasons, strict=True) if reason is None]


def _too_like(
    positives: Sequence[Document], fields: Sequence[str]
) -> Callable[[Document], Reason | None]:
    """Return what tells a copy of a positive, or what shares a field with one."""
    shingles = [Shingles(each.text) for each in positives]

    def values(document: Document) -> set[tuple[str, str]]:
        found = ((name, value_at(document.metadata, name)) for name in fields)
        return {(name, str(value)) for name, value in found if value is not None}

    same = {pair for each in positives for pair in values(each)}

    def too_like(document: Document) -> Reason | None:
        if same & values(document):
            return "same"
        text = Shingles(document.text)
        return "near-identical" if any(text.near(each) for each in shingles) else None

    return too_like
