"""Decoders and encoder-decoders in training, in the forms that rerankers run."""

from retrieve_rerank.training.trainers.decoders.opening import open_decoder

__all__ = ["open_decoder"]
