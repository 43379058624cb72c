"""Which of a query's hits become texts of its group: tried one after another until it is full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from retrieve_rerank.text.field_paths import value_at
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.mining.near_identical import Shingles
from retrieve_rerank.training.mining.rules import Reason, Rules
from retrieve_rerank.training.mining.scores import QueryScores, ScoresOf
from retrieve_rerank.training.mining.veto import Veto
from retrieve_rerank.types import Document, Hit

Source: TypeAlias = Literal["qrels", "mined", "veto"]
"""Who says how relevant a text is: a judgment, nobody, a veto."""


class Chosen(NamedTuple):
    """A hit that becomes a text of the group."""

    hit: Hit
    label: float
    """0, or what a veto has made of it."""
    source: Source


class Choosing(NamedTuple):
    """What a query's hits are held against.

    Margin and veto guess by scores; neither is asked of what was judged not relevant.
    """

    positives: Sequence[Document]
    template: Template
    """What a text of the group is of a document."""
    refused: Set[str]
    """Ids of hits that were judged not relevant."""
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
        too_like = _too_like(self.positives, self.template, self.rules.exclude_same)
        chosen: list[Chosen] = []
        lacking = count
        # No more at once than are lacking: a cross-encoder's time is spent on few in vain.
        while lacking and (hits := list(islice(trial, lacking))):
            hits = _passing(hits, [too_like(hit.document) for hit in hits], dropped)
            if self.scores is not None:
                scores = self.scores([hit.document for hit in hits])
                broken = list(map(self._against, hits, scores))
                hits = _passing(hits, broken, dropped)
            for each in self._labelled(hits):
                if each.label is None or each.label > 0:
                    dropped["veto"] += 1
                else:
                    lacking -= 1
                if each.label is not None:
                    chosen.append(Chosen(each.hit, each.label, each.source))
        return sorted(chosen, key=lambda each: each.hit.rank)

    def _against(self, hit: Hit, score: float) -> Reason | None:
        """Tell which rule a hit's score breaks."""
        reason = self.rules.against(score, anchor=self.anchor)
        return None if reason == "margin" and hit.document.id in self.refused else reason

    def _labelled(self, hits: Sequence[Hit]) -> Iterator[_Labelled]:
        """Label hits: 0, or what the veto says of what nobody has judged."""
        scores: Sequence[float | None] = [None] * len(hits)
        if self.vetoing is not None:
            scores = self.vetoing([hit.document for hit in hits])
        for hit, score in zip(hits, scores, strict=True):
            if hit.document.id in self.refused:
                yield _Labelled(hit, 0, "qrels")
            elif self.veto is None or score is None or score < self.veto.threshold:
                yield _Labelled(hit, 0, "mined")
            else:
                yield _Labelled(hit, self.veto.label(score, grade=self.grade), "veto")


class _Labelled(NamedTuple):
    hit: Hit
    label: float | None
    source: Source


def _passing(
    hits: Sequence[Hit], reasons: Sequence[Reason | None], dropped: Counter[Reason]
) -> list[Hit]:
    dropped.update(reason for reason in reasons if reason is not None)
    return [hit for hit, reason in zip(hits, reasons, strict=True) if reason is None]


def _too_like(
    positives: Sequence[Document], template: Template, fields: Sequence[str]
) -> Callable[[Document], Reason | None]:
    """Return what tells a copy of a positive, or what shares a field with one."""
    shingles = [Shingles(template.render(each)) for each in positives]

    def values(document: Document) -> set[tuple[str, str]]:
        found = ((name, value_at(document.metadata, name)) for name in fields)
        return {(name, str(value)) for name, value in found if value is not None}

    same = {pair for each in positives for pair in values(each)}

    def too_like(document: Document) -> Reason | None:
        if same & values(document):
            return "same"
        text = Shingles(template.render(document))
        return "near-identical" if any(text.near(each) for each in shingles) else None

    return too_like
