"""What a chain can see of a search besides its documents: a log, an event, metadata."""

from __future__ import annotations

import logging

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager

from retrieve_rerank.adapting import log, report_of
from retrieve_rerank.types import SearchResult

EVENT = "retrieve_rerank"
"""The name of the custom event that carries each report to callbacks."""

logger = logging.getLogger("retrieve_rerank.langchain")


def tell(result: SearchResult, manager: CallbackManager) -> None:
    """Send the report to the callbacks, and log what went wrong."""
    log(result, logger)
    if manager.handlers:
        manager.on_custom_event(EVENT, report_of(result), run_id=manager.parent_run_id)


async def atell(result: SearchResult, manager: AsyncCallbackManager) -> None:
    """Async twin of `tell`."""
    log(result, logger)
    if manager.handlers:
        await manager.on_custom_event(EVENT, report_of(result), run_id=manager.parent_run_id)
