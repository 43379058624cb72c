"""Other judged collections, of which a trained model must not lose much: what it may forget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.evaluation.files import read_folder, splits_of
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.finetuning.data import by_hash
from retrieve_rerank.training.finetuning.placing import Place, in_index, with_place
from retrieve_rerank.training.finetuning.proof import TODAY, TUNED
from retrieve_rerank.training.provenance import data_hash
from retrieve_rerank.training.slices import Change
from retrieve_rerank.training.tuning import PRIMARY
from retrieve_rerank.types import Qrels


@dataclass(frozen=True, slots=True)
class Protected:
    """Another judged collection, of which the trained model must not lose much."""

    name: str
    open: Callable[[], Retriever]
    """Opens the pipeline that serves it today."""
    queries: Mapping[str, str]
    qrels: Qrels

    def digest(self) -> str:
        """Tell it from others, and from itself with other judgments."""
        return data_hash([self.name, *sorted((q, self.queries[q]) for q in self.qrels), self.qrels])


def read_protected(
    name: str, folder: Path, open: Callable[[], Retriever], *, at_most: int | None = None
) -> Protected:
    """Read the test split of a BEIR folder, or its only one, and at most so many of its queries.

    Raises InputError for what cannot be read, and where no query has a text.
    """
    splits = splits_of(folder)
    if "test" not in splits and len(splits) > 1:
        raise InputError(f"{folder} has the splits {', '.join(splits)}; expected test among them")
    queries, qrels = read_folder(folder, split="test" if "test" in splits else "".join(splits))
    with_text = {query: grades for query, grades in qrels.items() if query in queries}
    if not with_text:
        raise InputError(f"{folder}: none of {len(qrels):,} judged queries has a text")
    return Protected(name, open, queries, by_hash(with_text, queries, at_most))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What became of another collection."""

    change: Change
    failures: Mapping[str, Mapping[str, str]]
    """Pipeline, and the collection -> query -> why a stage left the order as it was."""


def measure_elsewhere(
    protected: Protected,
    scorer: Scorer,
    place: Place,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Elsewhere:
    """Measure a collection as it is served today, and with the trained model at its place."""
    with closing(protected.open()) as today:
        there = replace(place, kept=min(place.kept, in_index(today.stages)))
        before, after = (
            evaluate(
                pipeline,
                protected.queries,
                protected.qrels,
                measures=[PRIMARY],
                on_progress=on_progress,
            )
            for pipeline in (today, with_place(today, there, scorer))
        )
    return Elsewhere(
        Change(before.stages[-1].scores[PRIMARY], after.stages[-1].scores[PRIMARY]),
        {
            f"{TODAY} on {protected.name}": before.errors,
            f"{TUNED} on {protected.name}": after.errors,
        },
    )
