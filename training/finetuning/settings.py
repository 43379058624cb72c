"""What a fine-tuning run is made with."""

from __future__ import annotations

from dataclasses import dataclass, field

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.loading import BUNDLED_RERANKER
from retrieve_rerank.training.mining.rules import DEFAULT_RULES, Rules
from retrieve_rerank.training.mining.sampling import Sampling
from retrieve_rerank.training.trainers.settings import TrainerSettings

CROSS_FIT = "cross-fit"
"""The veto of two models, each trained on half of the queries, that judge the other half's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSettings:
    """Every choice with its default; raises ConfigError for what cannot be."""

    base: str = BUNDLED_RERANKER
    """The cross-encoder or encoder that training starts from: an alias, a hub id or a folder."""
    negatives: int = 15
    """Mined for each training query at most."""
    rules: Rules = DEFAULT_RULES
    sampling: Sampling = "random"
    veto: str | None = None
    """Cross-encoder whose word keeps texts from becoming negatives: `served`, a name as `base`'s,
    or CROSS_FIT."""
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    sweep: bool = False
    """Choose the learning rate among `sweep`'s by short trainings, where the minutes leave time for
    them."""
    minutes: float | None = None
    """What all of it may take; it becomes a number of steps, which is written down. None trains
    for the trainer's epochs. Where there are few pairs, batches are smaller than the trainer's."""
    depth: int = 50
    """How many hits the trained model may rerank at most."""
    dev_depth: int = 30
    """How many it reranks where the dev measure is looked at during training."""
    looks: int = 5
    """How often that is."""
    train_queries: int | None = None
    dev_queries: int | None = 100
    calibration_queries: int | None = 100
    test_queries: int | None = 300
    """So many of each split, told by a hash; all where None."""
    min_gain: float = 0.0
    """What the gain must exceed, at the lower end of its 95 % interval, to be promoted."""
    exclude_self: bool = False
    """Leave out the document that has the query's own id, as for queries taken from documents."""
    accept_generated: bool = False
    """Promote what is better on queries that were generated, too."""
    max_p95_ms: float | None = None
    """What 95 of 100 searches may take at most with the trained model."""

    def __post_init__(self) -> None:
        for name in ("negatives", "depth", "dev_depth", "looks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("train_queries", "dev_queries", "calibration_queries", "test_queries"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ConfigError(f"{name} must be at least 2; got {value}")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes must be above 0; got {self.minutes}")
