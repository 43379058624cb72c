"""Cross-encoders trained from groups."""

from retrieve_rerank.training.trainers.result import CurvePoint, Progress, Trained
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.training import train

__all__ = ["CurvePoint", "Progress", "Trained", "TrainerSettings", "train"]
