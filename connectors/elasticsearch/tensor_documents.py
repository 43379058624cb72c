"""A token tensor as a document of a sidecar: its mapping, its writing, its reading."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, get_args

from retrieve_rerank.base import TensorDtype, TensorSettings, TokenTensor, Vectors
from retrieve_rerank.connectors import tensors
from retrieve_rerank.connectors.elasticsearch import rank_vectors
from retrieve_rerank.errors import IndexCorruptError
from retrieve_rerank.network.shapes import Shape, each, shape

META = "retrieve_rerank_tensors"
"""Key in the `_meta` of such an index's mapping; none without it is written to or deleted."""

TENSOR, HASH, ID, MADE = "tensor", "hash", "id", "settings"

_DRAFT_OF = "draft_of"

_FACTS: Shape = {
    "encoder": str,
    "fingerprint": str,
    "dimension": each(lambda value: type(value) is int and value > 0, "a number above 0"),
    "dtype": each(lambda value: value in get_args(TensorDtype), "a kind of number"),
    "pooling_factor?": int,
}
RECORDED = shape({"_meta": {META: _FACTS}, "properties": {TENSOR: {"type": str}}})
"""What a sidecar's mapping is checked by."""


def new_sidecar(
    settings: TensorSettings, *, scored_there: bool, draft_of: str | None
) -> dict[str, Any]:
    """Word the index: nothing in it can be searched for, and tensors at most scored.

    `draft_of` names the sidecar whose place it is made to take.
    """
    draft = {} if draft_of is None else {_DRAFT_OF: draft_of}
    return {
        # Base64 of numbers hardly compresses, and is read far more often than it is written.
        "settings": {"index": {"number_of_shards": 1, "codec": "default"}},
        "mappings": {
            "_meta": {META: {**asdict(settings), **draft}},
            "dynamic": False,
            "properties": {
                TENSOR: rank_vectors.field(settings) if scored_there else {"type": "binary"}
            },
        },
    }


def recorded_settings(mappings: Mapping[str, Any]) -> TensorSettings:
    """Read how the tensors of a sidecar were made from its mapping, which fits RECORDED."""
    known = {field.name for field in fields(TensorSettings)}
    facts = mappings["_meta"][META]
    return TensorSettings(**{name: value for name, value in facts.items() if name in known})


def is_draft_of(name: str, mappings: Mapping[str, Any]) -> bool:
    """Tell whether a mapping is that of a sidecar made to take the place of another."""
    facts = mappings.get("_meta", {}).get(META)
    return isinstance(facts, dict) and facts.get(_DRAFT_OF) == name


def tensor_lines(key: str, tensor: TokenTensor, stored: Any, *, made: str) -> bytes:
    """Word the writing of one tensor, as base64 or rows of numbers, made with some settings."""
    body = {TENSOR: stored, HASH: tensor.content_hash, MADE: made}
    if key != tensor.id:
        body[ID] = tensor.id
    return (json.dumps({"index": {"_id": key}}) + "\n" + json.dumps(body) + "\n").encode()


def is_made(doc: Mapping[str, Any], settings: TensorSettings) -> bool:
    """Whether a tensor was made with these settings, as far as it tells: older ones do not."""
    made = tensors.settings_hash(settings)
    return bool(doc.get("_source", {}).get(MADE, made) == made)


def score_tensors(
    docs: Sequence[Mapping[str, Any]], query: Vectors, settings: TensorSettings
) -> dict[str, float]:
    """Score fetched tensors: `_id` -> MaxSim."""
    try:
        packed = [base64.b64decode(each["_source"][TENSOR]) for each in docs]
    except (KeyError, TypeError, ValueError) as exc:
        raise IndexCorruptError(
            f"a token tensor cannot be read ({exc!r:.80}); make the tensors anew with rr tensors "
            "drop and rr tensors add"
        ) from exc
    scores = tensors.score(query, packed, dimension=settings.dimension, dtype=settings.dtype)
    return dict(zip((each["_id"] for each in docs), scores, strict=True))
