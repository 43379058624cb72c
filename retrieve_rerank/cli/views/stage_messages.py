"""What people are told of the stages of a search, beside its hits."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from retrieve_rerank.base import TensorStore
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.settings.sources import Settings
from retrieve_rerank.types import SearchResult, StageReport


def stage_messages(result: SearchResult, stages: Sequence[Stage]) -> Iterator[str]:
    """Yield a line for all that went wrong or is worth a note; `stages` are those that ran.

    Where no hit is left, that includes what each stage's threshold has dropped.
    """
    told = {note for first in result.stages[:1] for note in first.notes}
    yield from (f"Note: {note}" for first in result.stages[:1] for note in first.notes)
    for stage, before, report in zip(stages, result.stages, result.stages[1:], strict=False):
        if report.error is not None:
            yield f"Warning: {report.name} {_shortfall(stage, report)}"
        yield from (f"Note: {report.name}: {n}" for n in report.notes if n not in told)
        told.update(report.notes)
        kept = len(report.hits)
        if not result.hits and stage.min_probability is not None and kept < len(before.hits):
            yield (
                f"Note: {report.name} dropped {len(before.hits) - kept} of {len(before.hits)} hits:"
                f" of {report.scored} that it scored, {kept} reach its min_probability of"
                f" {stage.min_probability:g}"
            )


def no_reranker(settings: Settings, retriever: Retriever) -> Iterator[str]:
    """Yield how to have hits reranked, where nothing does and nobody has asked for that."""
    if settings.stages is not None or retriever.stages:
        return
    model = "--model with a reranker's model, such as ms-marco-MiniLM-L6-v2, does without"
    if isinstance(retriever.connector, TensorStore):
        named = f" --index {shlex.quote(settings.index)}" if settings.index else ""
        yield (
            f"Note: nothing is reranked, as the index has no token tensors: rr tensors add{named} "
            f"adds them; {model}"
        )
    else:
        yield f"Note: nothing is reranked, as the index has no token tensors: {model}"


def _shortfall(stage: Stage, report: StageReport) -> str:
    if not report.scored:
        return f"left the order as it was: {report.error}"
    others = "follow as they were" if stage.min_probability is None else "are dropped"
    return f"{report.error}; the others {others}"  # "scored 44 of 100: …"
