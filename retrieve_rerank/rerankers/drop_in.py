"""What sentence-transformers' CrossEncoder and FlagEmbedding's rerankers offer, by their names.

Knows no model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrieve_rerank.base import Scorer, Vectors
from retrieve_rerank.errors import InputError

Activation = Callable[[Any], Any]
"""A function of an array of scores, or a module of torch such as `torch.nn.Sigmoid()`."""


class DropIn(Scorer):
    """A scorer whose users' code can have been written for those libraries.

    Scores are the model's raw ones unless the call asks for another: sentence-transformers
    itself applies a sigmoid where the checkpoint does not say otherwise. `batch_size` and
    `show_progress_bar` are taken and not used, as scores do not depend on them.
    """

    def predict(
        self,
        inputs: Sequence[tuple[str, str]],
        *,
        activation_fn: Activation | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> Vectors:
        """Score each (query, text); (n,)."""
        scores = np.array(self.score_pairs(_pairs(inputs)), dtype=np.float32)
        return scores if activation_fn is None else _activated(scores, activation_fn)

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
        sentence_pairs: Sequence[tuple[str, str]] | tuple[str, str],
        *,
        normalize: bool = False,
        batch_size: int | None = None,
    ) -> list[float]:
        """Score each (query, text), or the one given; `normalize` applies a sigmoid."""
        one = len(sentence_pairs) == 2 and isinstance(sentence_pairs[0], str)
        pairs: Any = [sentence_pairs] if one else sentence_pairs
        scores: list[float] = self.predict(
            pairs, activation_fn=sigmoid if normalize else None
        ).tolist()
        return scores


def sigmoid(scores: Vectors) -> Vectors:
    """Squeeze scores into 0 to 1 by the logistic function, without overflow."""
    small = np.exp(-np.abs(scores))
    squeezed: Vectors = np.where(scores >= 0, 1 / (1 + small), small / (1 + small))
    return squeezed


def _pairs(inputs: Sequence[Any]) -> list[tuple[str, str]]:
    for pair in inputs:
        if isinstance(pair, str) or len(pair) != 2:
            raise InputError(f"expected pairs of (query, text); got {pair!r:.60}")
    return [(query, text) for query, text in inputs]


def _activated(scores: Vectors, activation_fn: Activation) -> Vectors:
    torch = sys.modules.get("torch")  # imported by whoever made a module of it
    if torch is not None and isinstance(activation_fn, torch.nn.Module):
        return np.asarray(activation_fn(torch.from_numpy(scores)))
    return np.asarray(activation_fn(scores), dtype=np.float32)
