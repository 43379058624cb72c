"""Negatives for training, mined from the index that serves."""

from retrieve_rerank.training.curriculum import Curriculum, for_epoch
from retrieve_rerank.training.mining.mine import Mining, mine
from retrieve_rerank.training.mining.overlap import Overlap, measure_overlap
from retrieve_rerank.training.mining.report import Mined
from retrieve_rerank.training.mining.rules import DEFAULT_RULES, Margin, Rules
from retrieve_rerank.training.mining.sampling import Sampling
from retrieve_rerank.training.mining.to_file import MiningStoppedError, mine_to_file
from retrieve_rerank.training.mining.veto import CrossFitted, Veto, cross_fit, fit_veto, halves

__all__ = [
    "DEFAULT_RULES",
    "CrossFitted",
    "Curriculum",
    "Margin",
    "Mined",
    "Mining",
    "MiningStoppedError",
    "Overlap",
    "Rules",
    "Sampling",
    "Veto",
    "cross_fit",
    "fit_veto",
    "for_epoch",
    "halves",
    "measure_overlap",
    "mine",
    "mine_to_file",
]
