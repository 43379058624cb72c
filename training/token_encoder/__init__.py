"""An encoder trained as a whole for what MaxSim compares."""

from retrieve_rerank.training.token_encoder.plan import Plan
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.token_encoder.train import TrainedEncoder, train_encoder

__all__ = ["EncoderSettings", "Plan", "TrainedEncoder", "train_encoder"]
