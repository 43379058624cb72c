"""What every store writes, and the encoders it writes vectors with."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from retrieve_rerank.testing import HashingEncoder


class StoreDocument(NamedTuple):
    """A text with what its writer knows of it."""

    text: str
    title: str
    year: int


class WordEncoder:
    """A sparse encoder without a model: each word weighs 1."""

    name = "words"
    fingerprint = "words-1"

    def encode_queries(self, texts: Sequence[str]) -> list[dict[int, float]]:
        words = [re.findall(r"\w+", text.lower()) for text in texts]
        return [{zlib.crc32(word.encode()): 1.0 for word in each} for each in words]

    def encode_documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        return self.encode_queries(texts)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        return [str(each) for each in ids]


ENCODER = HashingEncoder(32)
SPARSE_ENCODER = WordEncoder()

DOCUMENTS = [
    StoreDocument(
        "Refunds are paid to the card that was charged, within ten working days.", "Refunds", 2021
    ),
    StoreDocument(
        "Parcels to islands are carried by ferry and take up to nine days.", "Islands", 2023
    ),
    StoreDocument(
        "A forgotten password is replaced through the link in our message.", "Passwords", 2025
    ),
]
QUERY = "parcels to islands by ferry"
