"""The one training value: a query with texts, and how relevant each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GroupText:
    """One text of a group, and what is known of it."""

    text: str
    label: float | None = None
    """How relevant: above 0 is relevant, higher is more so; None is unlabelled, not irrelevant."""
    id: str | None = None
    """Of the document in its index."""
    source: str | None = None
    """Where the text came from, such as "qrels" or "bm25 rank 12"."""
    teacher_score: float | None = None
    """What another model scored it, on that model's own scale."""
    rank: int | None = None
    """Where it stood in the ranking that it was mined from, from 1."""
    label_source: str | None = None
    """Where the label came from, such as "qrels" or a teacher's name."""


@dataclass(frozen=True, slots=True)
class Group:
    """A query and its texts: a list to be ranked, a positive with its negatives, or one pair."""

    query: str
    texts: tuple[GroupText, ...]
    query_id: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What a model that follows instructions is told, by FlagEmbedding's names: `prompt`,
    `query_prompt` before the query, `passage_prompt` before each text."""
    user: str = ""
    """What is known of who asks: a profile, past clicks; empty where nothing is."""

    @property
    def asked(self) -> str:
        """The query, with the user's text where there is one: what tells it from others."""
        return f"{self.query}\n{self.user}" if self.user else self.query

    @property
    def positives(self) -> list[GroupText]:
        """The texts with a label above 0."""
        return [text for text in self.texts if text.label is not None and text.label > 0]

    @property
    def negatives(self) -> list[GroupText]:
        """The texts with a label of 0 or below; none of those without a label."""
        return [text for text in self.texts if text.label is not None and text.label <= 0]

    @property
    def tells_apart(self) -> bool:
        """Whether any two labels differ; losses over a ranking learn nothing from others."""
        return len({text.label for text in self.texts if text.label is not None}) > 1


def has_users(groups: Iterable[Group]) -> bool:
    """Whether of anyone who asks something is known."""
    return any(group.user for group in groups)
