"""What sentence-transformers' CrossEncoder and FlagEmbedding's rerankers offer, by their names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from retrieve_rerank.base import Scorer, Vectors
from retrieve_rerank.errors import InputError, MissingExtraError
from retrieve_rerank.text.template import readable

Activation = Callable[[Any], Any]
"""A function of an array of scores, or a module of torch such as `torch.nn.Sigmoid()`."""

_PAIRS = (tuple, list, np.ndarray)


class DropIn(Scorer):
    """A scorer whose users' code can have been written for those libraries.

    Scores are the model's raw ones unless the call asks for another: sentence-transformers
    itself applies a sigmoid where the checkpoint does not say otherwise. `batch_size`,
    `show_progress_bar` and `num_workers` are taken and not used, as scores do not depend on them.
    """

    num_labels: int = 1
    """How many numbers the model gives each pair, one of which is the score."""

    def score_pairs(self, pairs: Iterable[tuple[str, str]]) -> list[float]:
        """Score each (query, text) as `score` does; raise InputError for what is no such pair."""
        return super().score_pairs(readable_pairs(pairs))

    def predict(
        self,
        inputs: Iterable[tuple[str, str]] | tuple[str, str],
        *,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        num_workers: int | None = None,
    ) -> Any:
        """Score each (query, text); (n,), or one number for the one pair given.

        An array of float32, a tensor with `convert_to_tensor`, or a list of tensors without
        either. `apply_softmax` says nothing of a model with one label, and raises InputError for
        one with several, of which the scores are one label's.
        """
        if apply_softmax and self.num_labels > 1:
            raise InputError(
                f"apply_softmax is over all {self.num_labels} labels, and predict gives the scores"
                ' of one; label="expectation" is worked out of all their probabilities'
            )
        one = _is_one_pair(inputs)
        pairs: Any = [inputs] if one else inputs
        scores: Any = np.array(self.score_pairs(pairs), dtype=np.float32)
        if activation_fn is not None:
            scores = _activated(scores, activation_fn)
        if convert_to_tensor or not convert_to_numpy:
            scores = _torch().from_numpy(scores)
        if not (convert_to_tensor or convert_to_numpy):
            scores = list(scores)
        return scores[0] if one else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        *,
        activation_fn: Activation | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        num_workers: int | None = None,
    ) -> list[dict[str, Any]]:
        """Order documents, best first: "corpus_id" (from 0), "score", and "text" if asked for.

        Equal scores keep their order.
        """
        scores = self.predict(
            [(query, text) for text in documents], activation_fn=activation_fn
        ).tolist()
        order = sorted(range(len(scores)), key=lambda place: -scores[place])[:top_k]
        return [
            {"corpus_id": place, "score": scores[place]}
            | ({"text": documents[place]} if return_documents else {})
            for place in order
        ]

    def compute_score(
        self,
        sentence_pairs: Iterable[tuple[str, str]] | tuple[str, str],
        *,
        normalize: bool = False,
        batch_size: int | None = None,
    ) -> list[float]:
        """Score each (query, text), or the one given; `normalize` applies a sigmoid."""
        pairs: Any = [sentence_pairs] if _is_one_pair(sentence_pairs) else sentence_pairs
        scores: list[float] = self.predict(
            pairs, activation_fn=sigmoid if normalize else None
        ).tolist()
        return scores


def sigmoid(scores: Vectors) -> Vectors:
    """Squeeze scores into 0 to 1 by the logistic function, without overflow."""
    small = np.exp(-np.abs(scores))
    squeezed: Vectors = np.where(scores >= 0, 1 / (1 + small), small / (1 + small))
    return squeezed


def readable_pairs(pairs: Iterable[Any]) -> list[tuple[str, str]]:
    """Return each (query, text) as models can read it; raise InputError for what is no pair."""
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise InputError(f"expected pairs of (query, text); got {pairs!r:.60}")
    return [_readable_pair(pair) for pair in pairs]  # once, as it may be a generator


def _readable_pair(pair: Any) -> tuple[str, str]:
    if not isinstance(pair, _PAIRS) or len(pair) != 2:
        raise InputError(f"expected pairs of (query, text); got {pair!r:.60}")
    return readable(pair[0]), readable(pair[1])


def _is_one_pair(inputs: Any) -> bool:
    """As sentence-transformers tells: a list of two strings is a pair, not two of something."""
    return isinstance(inputs, _PAIRS) and len(inputs) > 0 and isinstance(inputs[0], str)


def _activated(scores: Vectors, activation_fn: Activation) -> Vectors:
    torch = sys.modules.get("torch")  # imported by whoever made a module of it
    if torch is not None and isinstance(activation_fn, torch.nn.Module):
        return np.asarray(activation_fn(torch.from_numpy(scores)))
    return np.asarray(activation_fn(scores), dtype=np.float32)


def _torch() -> Any:
    try:
        return import_module("torch")
    except ModuleNotFoundError as exc:
        raise MissingExtraError("a tensor of scores", "torch") from exc
