"""Queries for vectors that are kept as bytes: numbers from 0 to 255.

The server makes bytes of a query's numbers too, by cutting off: of what an encoder gives, from -1
to 1, nothing is left. So queries are scaled as the stored vectors were, which a sample of them and
of what the encoder gives for their texts tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.errors import IndexMismatchError

UINT8 = "uint8"

_MOST = 255
_SAMPLE = 24  # points; two parameters for each dimension are told from as many
_EXPLAINED = 0.8  # of the variance, at least; another encoder explains next to nothing


@dataclass(frozen=True, slots=True)
class Scale:
    """How vectors were made bytes: `factor` * number + `shift`, of all dimensions or each."""

    factor: Vectors
    shift: Vectors

    def bytes(self, vectors: Vectors) -> Vectors:
        """Scale vectors, (dim,) or (n, dim), to whole numbers from 0 to 255, still floats."""
        return np.clip(np.rint(self._scaled(vectors)), 0, _MOST).astype(np.float32)

    def explained(self, made: Vectors, stored: Vectors) -> float:
        """Tell how much of the stored vectors' variance it explains, adjusted for its size."""
        rows, dimensions = stored.shape
        rest = ((stored - np.clip(self._scaled(made), 0, _MOST)) ** 2).sum()
        free = stored.size - (self.factor.size + self.shift.size)
        total = ((stored - stored.mean(axis=0)) ** 2).sum() / max(1, (rows - 1) * dimensions)
        if free <= 0 or total == 0:
            return 0.0
        return float(1 - rest / free / total)

    def _scaled(self, vectors: Vectors) -> Vectors:
        scaled: Vectors = vectors * self.factor + self.shift
        return scaled


def fit(made: Vectors, stored: Vectors) -> Scale | None:
    """Find how `stored` came from what an encoder `made`, both (n, dim); None if it did not.

    With one factor for all dimensions, or with one for each, as sentence-transformers'
    `quantize_embeddings` does.
    """
    scales = []
    inside = (stored > 0) & (stored < _MOST)  # what was cut off tells nothing
    if inside.any() and (spread := made[inside].var()) > 0:
        x, y = made[inside], stored[inside]
        factor = ((x - x.mean()) * (y - y.mean())).mean() / spread
        scales.append(Scale(np.stack([factor]), np.stack([y.mean() - factor * x.mean()])))
    spreads = made.var(axis=0)
    if len(made) > 2 and (spreads > 0).all():
        x, y = made - made.mean(axis=0), stored - stored.mean(axis=0)
        each = (x * y).mean(axis=0) / spreads
        scales.append(Scale(each, stored.mean(axis=0) - each * made.mean(axis=0)))
    best = max(scales, key=lambda scale: scale.explained(made, stored), default=None)
    return best if best and best.explained(made, stored) >= _EXPLAINED else None


def ask_scale(state: State, field: VectorField) -> Steps[Scale]:
    """Find out how the vectors of a collection were made bytes; raise IndexMismatchError."""
    points, _ = yield Call(
        "scroll",
        {
            "collection_name": state.collection,
            "limit": int(min(_SAMPLE, state.limits.query)),
            "with_payload": state.layout.selector,
            "with_vectors": [field.name] if field.name else True,
        },
    )
    texts, rows = [], []
    for each in points:
        row = each.vector.get(field.name) if isinstance(each.vector, dict) else each.vector
        if row is not None and (text := state.layout.document(each).text):
            texts.append(text)
            rows.append(row)
    scale = None
    if texts:
        made: Vectors = yield lambda: state.encoder.load().embed_documents(texts)
        stored = np.asarray(rows, dtype=np.float32)
        scale = fit(made, stored) if made.shape == stored.shape else None
    if scale is None:
        raise IndexMismatchError(
            f"the vectors in {field.name or 'the unnamed field'!r} are kept as {UINT8}, from 0 to "
            f"{_MOST}, and what {state.encoder.name} gives for the texts of {len(texts)} of them "
            "does not tell how they were made so; unscaled, all queries would be zeros there. Name "
            "the encoder that they were made with, with --encoder, or keep them as float16"
        )
    return scale
