"""What an encoder is trained with."""

from __future__ import annotations

from dataclasses import dataclass, field

from retrieve_rerank.base import TensorDtype
from retrieve_rerank.training.mining.rules import DEFAULT_RULES, Rules
from retrieve_rerank.training.trainers.settings import TrainerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """Every choice with its default."""

    base: str
    """The encoder that training starts from: an alias, a hub id or a folder."""
    dimensions: int | None = None
    """Numbers that are kept of each token, by a projection that is trained too; all where None."""
    minutes: float | None = None
    """What all of it may take; it becomes a number of steps. None is one round of the queries."""
    negatives: int = 15
    """Mined for each training query at most; a step takes some of them."""
    rules: Rules = DEFAULT_RULES
    trainer: TrainerSettings = field(
        default_factory=lambda: TrainerSettings(group_size=4, learning_rate=3e-5)
    )
    train_queries: int | None = None
    dev_queries: int = 100
    test_queries: int = 300
    candidates: int = 100
    """Hits that MaxSim reranks."""
    pooling_factor: int = 2
    dtype: TensorDtype = "int8"
    teacher: str | None = None
    """Fingerprint of the cross-encoder that teaches beside the judgments; None for these alone."""
