from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from retrieve_rerank import Document, Template, rank
from retrieve_rerank.base import Encoding
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.max_sim import MaxSim


class Letters:
    """One orthogonal token vector for each letter."""

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        return [self._encode(text) for text in texts]

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding:
        tokens = np.eye(26, dtype=np.float32)[[ord(c) - ord("a") for c in text[:4]]]
        return Encoding(tokens.mean(axis=0), tokens, truncated=len(text) > 4)


def test_a_score_is_the_mean_of_the_best_matches() -> None:
    scores = MaxSim(Letters()).score("abc", ["ab", "c", "xyz", "abcd"])
    assert scores == pytest.approx([2 / 3, 1 / 3, 0.0, 1.0])


def test_a_blank_text_is_never_above_one_that_says_anything() -> None:
    scores = MaxSim(load_encoder()).score("what", ["hi", "", "The stock market fell.", " \n"])
    assert scores[1] == scores[3] == -1.0 < min(scores[0], scores[2])
    assert MaxSim(Letters()).score("abc", [" "]) == [-1.0]


def test_truncated_texts_are_counted() -> None:
    hits = rank((Document(text, text), 0.0) for text in ("ab", "abcde", "bcdefg"))
    found = MaxSim(Letters()).rerank("ab", hits)
    assert found.truncated == 2
    assert [hit.document.id for hit in found.hits] == ["ab", "abcde", "bcdefg"]


def test_a_template_that_no_document_fills_is_noted() -> None:
    hits = rank((Document(text, text), 0.0) for text in ("ab", "abcde"))
    [note] = MaxSim(Letters(), template=Template("x{nope}")).rerank("ab", hits).notes
    assert note.startswith("no document has any field of the template 'x{nope}'")
    with pytest.raises(ConfigError, match="the template '' has no field"):
        MaxSim.configure(MemoryConnector(), template="")


def test_what_is_no_text_is_an_error() -> None:
    with pytest.raises(InputError, match="expected a text; got None"):
        MaxSim(load_encoder()).score("cold", [None])  # type: ignore[list-item]


def test_the_bundled_encoder_prefers_the_passage_that_answers() -> None:
    texts = [
        "The museum is closed on Mondays.",
        "Vitamin C shortens the common cold by about a day.",
        "Colds are more common in winter.",
    ]
    scores = MaxSim(load_encoder()).score("does vitamin C help against a cold", texts)
    assert max(range(3), key=scores.__getitem__) == 1
    assert all(-1.0 <= score <= 1.0 + 1e-6 for score in scores)
