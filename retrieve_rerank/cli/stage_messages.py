"""What people are told of the stages of a search, beside its hits.

Knows nothing of how a stage works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieve_rerank.stage import Stage
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
                f" of {report.scored} that it judged, {kept} reach its min_probability of"
                f" {stage.min_probability:g}"
            )


def _shortfall(stage: Stage, report: StageReport) -> str:
    if not report.scored:
        return f"left the order as it was: {report.error}"
    others = "follow as they were" if stage.min_probability is None else "are dropped"
    return f"{report.error}; the others {others}"  # "judged 44 of 100: …"
