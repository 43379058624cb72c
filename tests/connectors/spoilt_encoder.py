"""An encoder whose numbers are sometimes none."""

from __future__ import annotations

import numpy as np

from retrieve_rerank.base import Encoding
from retrieve_rerank.testing import HashingEncoder


class SpoiltEncoder(HashingEncoder):
    """Gives numbers that are none, or infinite, for a text with a word that says so."""

    def _encode(self, text: str) -> Encoding:
        made = super()._encode(text)
        spoilt = np.float32({"spoilt": "nan", "endless": "inf"}.get(text.split()[-1], "1"))
        return made._replace(vector=made.vector * spoilt, tokens=made.tokens * spoilt)
