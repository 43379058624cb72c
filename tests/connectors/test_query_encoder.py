"""The encoder of an index's queries."""

from __future__ import annotations

import numpy as np
import pytest

from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.query_encoder import QueryEncoder
from retrieve_rerank.errors import ConnectorError, IndexMismatchError
from retrieve_rerank.testing import HashingEncoder

RECORDED = EncoderFacts.of(HashingEncoder())


def test_without_an_encoder_there_is_none_to_load() -> None:
    none = QueryEncoder("qdrant://host/docs")
    assert not none.exists
    assert (none.name, none.dimension) == (None, None)
    with pytest.raises(ConnectorError, match="has no query encoder; name one with --encoder"):
        none.load()


def test_a_given_encoder_embeds_queries() -> None:
    hashing = HashingEncoder()
    encoder = QueryEncoder("here", recorded=RECORDED, given=hashing)
    assert (encoder.exists, encoder.name, encoder.dimension) == (True, "hashing", 32)
    assert np.array_equal(encoder.embed("wing", 32), hashing.embed_queries(["wing"])[0])


def test_a_recorded_encoder_is_known_without_loading_it() -> None:
    encoder = QueryEncoder("here", recorded=RECORDED)
    assert (encoder.exists, encoder.name, encoder.dimension) == (True, "hashing", 32)


def test_another_encoder_than_the_recorded_one_is_refused() -> None:
    with pytest.raises(IndexMismatchError, match=r"made with hashing \(32.*got hashing \(16"):
        QueryEncoder("here", recorded=RECORDED, given=HashingEncoder(16))


def test_other_dimensions_than_the_index_has_are_refused() -> None:
    with pytest.raises(IndexMismatchError, match="gives vectors of 32 dimensions; here has 768"):
        QueryEncoder("here", given=HashingEncoder()).embed("wing", 768)
