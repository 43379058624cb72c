"""Negatives for training, mined from the index that serves."""

from retrieve_rerank.training.mining.mine import Mined, mine
from retrieve_rerank.training.mining.rules import Margin, Rules
from retrieve_rerank.training.mining.sampling import Sampling

__all__ = ["Margin", "Mined", "Rules", "Sampling", "mine"]
