"""Spans for OpenTelemetry: one for each stage of a search, below the request's.

FastAPI makes the request's span, and Elasticsearch's client its own; nothing is recorded unless a
tracer provider is set up. No text of a query or a document is in any of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry import trace

from retrieve_rerank.types import SearchResult

_NS_PER_MS = 1_000_000


def stage_spans(index: str, result: SearchResult, *, told: Callable[[object], str]) -> None:
    """Make the spans of a search that has just ended; its stages ran one after the other.

    `told` hides the request's texts in what a stage that failed says.
    """
    if not trace.get_current_span().is_recording():
        return
    end = time.time_ns()
    for stage in reversed(result.stages):
        began = end - int(stage.ms * _NS_PER_MS)
        span = trace.get_tracer(__name__).start_span(
            f"stage {stage.name}",
            start_time=began,
            attributes={
                "rr.index": index,
                "rr.candidates": stage.candidates,
                "rr.scored": stage.scored,
                "rr.truncated": stage.truncated,
            },
        )
        if stage.error is not None:
            span.set_status(trace.StatusCode.ERROR, told(stage.error))
        span.end(end_time=began + int(stage.ms * _NS_PER_MS))
        end = began
