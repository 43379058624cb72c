"""Rerankers trained from groups."""

from retrieve_rerank.training.trainers.base import read_encoder
from retrieve_rerank.training.trainers.group_measure import group_ndcg
from retrieve_rerank.training.trainers.result import CurvePoint, Progress, Trained
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.speed import measure_speed
from retrieve_rerank.training.trainers.sweep import Swept, sweep
from retrieve_rerank.training.trainers.training import train

__all__ = [
    "CurvePoint",
    "Progress",
    "Swept",
    "Trained",
    "TrainerSettings",
    "group_ndcg",
    "measure_speed",
    "read_encoder",
    "sweep",
    "train",
]
