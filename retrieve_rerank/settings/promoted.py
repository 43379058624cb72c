"""The promoted model of an index, among the stages that are set.

A model is promoted in place of the stages that it was measured against. It stands between rr.toml
and what a caller asks for: it replaces those stages while they are set as they were, and gives way
to any reranker, model or stages that a caller names.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.models.checkpoints.version_lookup import promotion_for
from retrieve_rerank.models.checkpoints.versions import Promotion
from retrieve_rerank.models.loading import find_checkpoint
from retrieve_rerank.network.addresses import redacted
from retrieve_rerank.settings.schema import IndexSettings, Settings
from retrieve_rerank.settings.stages import StageSettings

logger = logging.getLogger(__name__)


class PromotedStage(StageSettings):
    """The stage that a promoted version makes."""

    promotion: Promotion = Field(exclude=True)
    instead: list[StageSettings] | None = Field(exclude=True)
    """The stages that are set, which serve where this one cannot."""

    def changed(self, changes: Mapping[str, Any]) -> PromotedStage:
        """Return it with another depth or weight."""
        kept = {name: getattr(self, name) for name in PromotedStage.model_fields}
        return PromotedStage.model_validate({**kept, **self.options, **changes})


def index_address(where: IndexSettings) -> str:
    """Return the address by which promotions know an index: its URL, or its folder's real path."""
    if "://" in where.url:
        return redacted(where.url)
    return os.path.realpath(os.path.expanduser(where.url))


def stages_digest(stages: Sequence[StageSettings] | None) -> str:
    """Tell stages from others that rank otherwise, whatever their keys are; empty for None."""
    if stages is None:
        return ""
    described = [
        {
            **{name: _shown(value) for name, value in stage.options.items() if name != "key"},
            **stage.model_dump(include={"reranker", "depth", "weight", "min_probability"}),
        }
        for stage in stages
    ]
    text = json.dumps(described, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def default_stages(*, token_tensors: bool) -> list[StageSettings]:
    """Return the stages of an index for which none are set."""
    return [StageSettings(reranker="max-sim")] if token_tensors else []


def with_promoted(settings: Settings, address: str) -> Settings:
    """Put what is promoted for the index at `address` in place of what it was measured against.

    Where other stages are set by now, these stay, and a warning says so.
    """
    promotion = promotion_for(settings.data_dir, address, segment=settings.segment)
    if promotion is None or promotion.serving is None:
        return settings
    serving = promotion.serving
    if stages_digest(settings.stages) != serving.replaces:
        logger.warning("%s", outdated(promotion))
        return settings
    before = default_stages(token_tensors=True) if settings.stages is None else settings.stages
    stage = PromotedStage.model_validate(
        {
            "reranker": "cross-encoder",
            "model": str(promotion.folder),
            "depth": serving.depth,
            "weight": serving.weight,
            "promotion": promotion,
            "instead": settings.stages,
        }
    )
    return settings.model_copy(update={"stages": [*before[: serving.kept], stage]})


def promoted_in(stages: Sequence[StageSettings] | None) -> PromotedStage | None:
    """Return the stage that a promoted version makes, where there is one."""
    return next((each for each in stages or () if isinstance(each, PromotedStage)), None)


def outdated(promotion: Promotion) -> str:
    """Say why a promoted version is not used where other stages are set than it replaces."""
    return (
        f"{promotion.address} is promoted for this index, but not used: it was measured in place "
        "of other stages than are set now, and those that are set are used; rr finetune measures "
        f"anew, rr models rollback {promotion.name} gives it up"
    )


def unusable(promotion: Promotion, error: Exception) -> str:
    """Say why a promoted version does not serve, and what does."""
    gone = f"its folder {promotion.folder} is not there"
    why = str(error) if promotion.folder.is_dir() else gone
    return (
        f"promoted for this index, it cannot be used: {why}. Searches go on without it; put it "
        f"back, or rr models rollback {promotion.name}"
    )


def problem(promotion: Promotion, stages: Sequence[StageSettings] | None) -> str | None:
    """Say why a promoted version does not serve where `stages` are set; None where it does."""
    if promotion.serving and stages_digest(stages) != promotion.serving.replaces:
        return outdated(promotion)
    try:
        find_checkpoint(str(promotion.folder))
    except RetrieveRerankError as exc:
        return f"{promotion.address}: {unusable(promotion, exc)}"
    return None


def _shown(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value
