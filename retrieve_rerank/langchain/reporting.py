"""What a chain can see of a search besides its documents: a log, an event, metadata."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager

from retrieve_rerank.types import SearchResult, StageReport

EVENT = "retrieve_rerank"
"""The name of the custom event that carries each report to callbacks."""

_OF_STAGE = tuple(each.name for each in fields(StageReport) if each.name != "hits")

logger = logging.getLogger("retrieve_rerank.langchain")


def report_of(result: SearchResult) -> dict[str, Any]:
    """Say whether a search is `degraded`, its `notes`, and what each of its `stages` did.

    Texts and numbers only, which tracers can store; neither the query nor a document.
    """
    stages = [{name: getattr(stage, name) for name in _OF_STAGE} for stage in result.stages]
    return {
        "degraded": result.degraded,
        "notes": result.notes,
        "stages": [{**stage, "notes": list(stage["notes"])} for stage in stages],
    }


def tell(result: SearchResult, manager: CallbackManager) -> None:
    """Send the report to the callbacks, and log what went wrong."""
    _log(result)
    if manager.handlers:
        manager.on_custom_event(EVENT, report_of(result), run_id=manager.parent_run_id)


async def atell(result: SearchResult, manager: AsyncCallbackManager) -> None:
    """Async twin of `tell`."""
    _log(result)
    if manager.handlers:
        await manager.on_custom_event(EVENT, report_of(result), run_id=manager.parent_run_id)


def _log(result: SearchResult) -> None:
    for stage in result.stages:
        if stage.error is not None:
            logger.warning("stage %s left the incoming order: %s", stage.name, stage.error)
    for note in result.notes:
        logger.warning("%s", note)
