"""What a projection is learnt from and measured on: queries' hits in the index that serves."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from retrieve_rerank.base import Connector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.labelling import Teacher
from retrieve_rerank.training.token_projection.learning import Asked
from retrieve_rerank.types import Document, Hit, Qrels

BEST = 8
"""Hits of each query that are learnt from in any case: those that are confused most."""

DRAWN = 16
"""And so many of the others, by chance."""


def search_all(
    connector: Connector,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    top_k: int,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Sequence[Hit]]:
    """Search for each judged query that has a text."""
    found: dict[str, Sequence[Hit]] = {}
    for query in qrels:
        if query in queries:
            found[query] = connector.search(queries[query], top_k=top_k)
        if on_progress:
            on_progress(1)
    return found


def texts_of(hits: Mapping[str, Sequence[Hit]]) -> list[str]:
    """Render each different text once."""
    template = Template()
    rendered = (template.render(hit.document) for each in hits.values() for hit in each)
    return list(dict.fromkeys(rendered))


def to_learn_from(
    hits: Mapping[str, Sequence[Hit]], queries: Mapping[str, str], qrels: Qrels, *, seed: int
) -> list[Asked]:
    """Take of each query's hits the best, those judged relevant, and some of the others."""
    draw, template = random.Random(seed), Template()
    asked = []
    for query, found in hits.items():
        relevant = [is_relevant(hit.document, qrels[query]) for hit in found]
        rest = [n for n in range(BEST, len(found)) if not relevant[n]]
        chosen = {
            *range(min(BEST, len(found))),
            *(n for n, is_it in enumerate(relevant) if is_it),
            *draw.sample(rest, min(DRAWN, len(rest))),
        }
        texts = [template.render(found[n].document) for n in sorted(chosen)]
        asked.append(Asked(queries[query], texts, [relevant[n] for n in sorted(chosen)]))
    return asked


def taught_by(
    teacher: Teacher, asked: Sequence[Asked], *, on_progress: Callable[[int], None]
) -> list[Asked]:
    """Give each query's candidates a teacher's logits; what it has scored before is kept on disk.

    Raises as `check_teacher` does.
    """
    check_teacher(teacher)
    taught = []
    for each in asked:
        taught.append(replace(each, taught=teacher.scores(each.query, each.texts)))
        on_progress(1)
    return taught


def check_teacher(teacher: Teacher) -> None:
    """Raise ConfigError for one that is no cross-encoder."""
    if not isinstance(teacher.reranker, CrossEncoder):
        raise ConfigError(
            f"{teacher.name} cannot teach what MaxSim compares: expected a cross-encoder, whose "
            "logits tell how far texts are apart"
        )


def is_relevant(document: Document, grades: Mapping[str, int]) -> bool:
    """Whether a document is judged relevant, or the one that it is a passage of."""
    return max(grades.get(document.id, 0), grades.get(document.whole_id, 0)) > 0
