from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retrieve_rerank.connectors.tensor_encoder import TensorEncoder
from retrieve_rerank.errors import IndexMismatchError
from retrieve_rerank.indexing.token_tensors import tensor_settings
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.testing import HashingEncoder


def test_the_first_stages_encoder_is_used_where_the_tensors_are_its_own() -> None:
    embedder = HashingEncoder()
    encoder, settings = TensorEncoder(), tensor_settings(embedder)
    found = encoder.encode("thin wing", settings, embedder=embedder)
    assert encoder.gives_vectors_of(embedder, settings)
    assert not encoder.gives_vectors_of(None, settings)
    assert found.tokens.shape == (2, 32)
    assert np.array_equal(found.vector, embedder.embed_queries(["thin wing"])[0])


def test_another_models_tensors_are_searched_with_that_model() -> None:
    settings = tensor_settings(load_encoder())
    encoder = TensorEncoder()
    found = encoder.encode("thin wing", settings, embedder=HashingEncoder())
    assert not encoder.gives_vectors_of(HashingEncoder(), settings)
    assert np.array_equal(found.tokens, load_encoder().encode_queries(["thin wing"])[0].tokens)


def test_a_model_that_has_changed_since_is_refused() -> None:
    settings = replace(tensor_settings(load_encoder()), fingerprint="another")
    with pytest.raises(IndexMismatchError, match=r"all-MiniLM-L6-v2 \(fingerprint another\)"):
        TensorEncoder().encode("thin wing", settings)
