"""When two texts count as one: the same but for case, white space and the form of characters.

The one place that says so: the linter and the splits use it.
"""

from __future__ import annotations

import hashlib
import unicodedata

_CLOSING = " ?.!。？！"


def normalised(text: str) -> str:
    """Return a text in lower case, in compatibility form, with single spaces, unpunctuated at the
    end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(_CLOSING)


def digest(*texts: str) -> int:
    """Hash normalised texts to 64 bits: two of a hundred million texts collide once in 4,000."""
    joined = "\0".join(normalised(text) for text in texts)
    return int.from_bytes(hashlib.blake2b(joined.encode(), digest_size=8).digest(), "big")
