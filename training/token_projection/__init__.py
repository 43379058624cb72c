"""A trained projection of the token vectors that MaxSim compares: fewer bytes for each document."""

from retrieve_rerank.training.token_projection.learning import Epoch, LearningSettings
from retrieve_rerank.training.token_projection.proof import MARGIN
from retrieve_rerank.training.token_projection.train import (
    ProjectionSettings,
    TrainedProjection,
    train_projection,
)

__all__ = [
    "MARGIN",
    "Epoch",
    "LearningSettings",
    "ProjectionSettings",
    "TrainedProjection",
    "train_projection",
]
