"""Labels for groups of candidates, by one teacher or the mean of several, or by a user's rule."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from statistics import fmean, pstdev
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from retrieve_rerank.errors import ConfigError, RequestError, RetrieveRerankError, ScoreError, shown
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.labelling.rules import Rule
from retrieve_rerank.training.labelling.teacher import Teacher

Labels: TypeAlias = Literal["scores", "probabilities", "ranks", "keep"]
"""What becomes of the teachers' scores: labels from 0, the worst text of a query, to 1, its best;
the mean of their probabilities of relevance; ranks as RAG-Retrieval writes them, −1 the best, −2
the next; or no labels, so that those there are stay. They are the teacher's scores either way."""

THREADS = 4
"""Groups that are labelled at once by a server: it answers several in the time of one. A model
that runs here has its threads already."""

GIVE_UP = 10
"""Groups, from the first, without one answer that can be read: the teacher is not one."""

_SHOWN = 3


@dataclass(slots=True)
class Labelled:
    """What was labelled, and what could not be."""

    groups: int = 0
    texts: int = 0
    failed: int = 0
    """Groups that a teacher gave no readable answer for."""
    failures: list[str] = field(default_factory=list)
    """The first of them, and why."""

    def to_dict(self) -> dict[str, Any]:
        """Say it all as JSON values."""
        return {
            "groups": self.groups,
            "texts": self.texts,
            "failed": self.failed,
            "failures": self.failures,
        }


class Estimate(NamedTuple):
    """What labelling would take."""

    groups: int
    texts: int
    teachers: list[Teacher]
    """Their meters say what each would be asked."""


def label(
    groups: Iterable[Group],
    teachers: Sequence[Teacher],
    *,
    labels: Labels = "scores",
    rule: Rule | None = None,
    report: Labelled | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Group]:
    """Label the texts of groups, and yield these in their order.

    Of one teacher its scores are the texts' teacher scores; of several the mean of each one's
    scores brought to mean 0 and variance 1 within the query. A `rule` gives labels in place of
    those; it sees the teacher scores. A group for which a teacher gives no readable answer is left
    out. Raises ConfigError for labels that the teachers cannot give, RetrieveRerankError where no
    answer can be read, and as `Teacher.scores` does.
    """
    if labels not in get_args(Labels):
        raise ConfigError(f"unknown labels {labels!r}; known: {', '.join(get_args(Labels))}")
    if not teachers and rule is None:
        raise ConfigError("labels come from a teacher or from a rule; name one")
    told = report if report is not None else Labelled()
    advance = on_progress or (lambda count: None)

    def labelled(group: Group) -> Group | RetrieveRerankError:
        texts = [text.text for text in group.texts]
        asked = _asked(group, teachers)
        try:
            scores = [t.scores(query, texts) for t, query in zip(teachers, asked, strict=True)]
        except (RequestError, ScoreError) as exc:
            return exc
        scored = _with_labels(group, teachers, scores, labels) if teachers else group
        return scored if rule is None else _by_rule(scored, rule)

    at_once = THREADS if any(teacher.served for teacher in teachers) else 1
    for group, found in _in_order(groups, labelled, at_once=at_once):
        advance(1)
        if isinstance(found, Group):
            told.groups += 1
            told.texts += len(found.texts)
            yield found
            continue
        told.failed += 1
        if len(told.failures) < _SHOWN:
            told.failures.append(f"{shown(group.query)}: {found}")
        if told.failed >= GIVE_UP and not told.groups:
            raise RetrieveRerankError(
                f"none of the first {told.failed} queries could be labelled, for example"
                f" {told.failures[0]}"
            ) from found
    if told.failed and not told.groups:
        raise RetrieveRerankError(
            f"none of the {told.failed} queries could be labelled, for example {told.failures[0]}"
        )


def estimate(groups: Iterable[Group], teachers: Sequence[Teacher]) -> Estimate:
    """Say what labelling groups would take; nobody is asked.

    What a language model is asked of comparisons depends on its answers; it is counted as if it
    left the order as it is.
    """
    counting = [teacher.counting() for teacher in teachers]
    count = texts = 0
    for group in groups:
        count += 1
        texts += len(group.texts)
        its = [text.text for text in group.texts]
        for teacher, query in zip(counting, _asked(group, counting), strict=True):
            teacher.scores(query, its)
    return Estimate(count, texts, counting)


def normalised(scores: Sequence[float]) -> list[float]:
    """Bring scores to mean 0 and variance 1; equal ones to 0."""
    mean, deviation = fmean(scores), pstdev(scores)
    return [(score - mean) / deviation if deviation else 0.0 for score in scores]


def _asked(group: Group, teachers: Sequence[Teacher]) -> list[str]:
    if not group.user:
        return [group.query] * len(teachers)
    return [teacher.reranker.for_user(group.query, group.user) for teacher in teachers]


def _with_labels(
    group: Group,
    teachers: Sequence[Teacher],
    scores: Sequence[Sequence[float]],
    labels: Labels,
) -> Group:
    together = list(scores[0])
    if len(scores) > 1:
        together = [fmean(row) for row in zip(*map(normalised, scores), strict=True)]
    texts = [
        replace(text, teacher_score=score)
        for text, score in zip(group.texts, together, strict=True)
    ]
    if labels == "keep":
        return replace(group, texts=tuple(texts))
    if labels == "probabilities":
        told = [t.probabilities(its) for t, its in zip(teachers, scores, strict=True)]
        values = [fmean(row) for row in zip(*told, strict=True)]
    elif labels == "ranks":
        values = [-1.0 - sum(other > score for other in together) for score in together]
    else:
        low, high = min(together), max(together)
        values = [(score - low) / (high - low) if high > low else 0.5 for score in together]
    source = " + ".join(teacher.name for teacher in teachers)
    return replace(
        group,
        texts=tuple(
            replace(text, label=value, label_source=source)
            for text, value in zip(texts, values, strict=True)
        ),
    )


def _by_rule(group: Group, rule: Rule) -> Group:
    values = [rule.label(text, group) for text in group.texts]
    return replace(
        group,
        texts=tuple(
            replace(text, label=value, label_source=None if value is None else rule.name)
            for text, value in zip(group.texts, values, strict=True)
        ),
    )


def _in_order(
    groups: Iterable[Group],
    work: Callable[[Group], Group | RetrieveRerankError],
    *,
    at_once: int,
) -> Iterator[tuple[Group, Group | RetrieveRerankError]]:
    """Work on several groups at once, and yield each with what came of it, in their order."""
    under_way: deque[tuple[Group, Future[Group | RetrieveRerankError]]] = deque()
    with ThreadPoolExecutor(at_once, "retrieve-rerank labelling") as threads:
        try:
            for group in groups:
                under_way.append((group, threads.submit(work, group)))
                if len(under_way) > 2 * at_once:
                    done, future = under_way.popleft()
                    yield done, future.result()
            while under_way:
                done, future = under_way.popleft()
                yield done, future.result()
        finally:
            for _, future in under_way:
                future.cancel()
