"""Pairs of texts to token ids, with each text tokenised once however many pairs it is in.

A pair's texts are tokenised independently of one another, so its tokens are those of both, cut to
length, with the template's special tokens around them.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cachetools import LRUCache
from tokenizers import Encoding, Tokenizer

from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.text.template import readable

CACHED_TOKENS = 4_000_000
"""Tokens of texts that are kept: 16 MB, some 25,000 passages."""

_OVERHEAD = 50  # what a kept text takes beside its tokens, in tokens


class Text(NamedTuple):
    """One text's tokens, as far as a pair may need them."""

    ids: array[int]
    length: int
    """How many there are of the whole text."""


class PairTemplate(NamedTuple):
    """Special tokens around the texts of a pair, and the number that marks each part's tokens."""

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[int, int, int, int, int]
    """Of the tokens before, of the first text, between, of the second, and after."""

    @property
    def special(self) -> int:
        """How many special tokens there are."""
        return len(self.before) + len(self.between) + len(self.after)


class PairTokens:
    """Puts pairs together from texts that it remembers; may be shared by many threads.

    `tokenizer` cuts at `max_tokens`, of a pair the longer text first.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: PairTemplate, *, max_tokens: int, from_left: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._room = max_tokens - template.special
        self._from_left = from_left
        self._known: LRUCache[bytes, Text] = LRUCache(
            CACHED_TOKENS, getsizeof=lambda text: len(text.ids) + _OVERHEAD
        )
        self._lock = threading.Lock()

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[Tokens]:
        """Tokenise each pair as one sequence."""
        texts = self._texts(dict.fromkeys(text for pair in pairs for text in pair))
        return [self._together(texts[first], texts[second]) for first, second in pairs]

    def _texts(self, wanted: Iterable[str]) -> dict[str, Text]:
        keys = {text: _key(text) for text in wanted}
        with self._lock:
            found = {text: self._known[key] for text, key in keys.items() if key in self._known}
        missing = [text for text in keys if text not in found]
        encodings = self._tokenizer.encode_batch_fast(
            list(map(readable, missing)), add_special_tokens=False
        )
        for text, encoding in zip(missing, encodings, strict=True):
            cut = sum(len(part.ids) for part in encoding.overflowing)
            found[text] = Text(array("i", encoding.ids), len(encoding.ids) + cut)
        with self._lock:
            for text in missing:
                self._known[keys[text]] = found[text]
        return found

    def _together(self, first: Text, second: Text) -> Tokens:
        one, two = shares(first.length, second.length, room=self._room)
        before, between, after, types = self._template
        ids = [*before, *self._cut(first, one), *between, *self._cut(second, two), *after]
        counts = (len(before), one, len(between), two, len(after))
        type_ids = [type_id for type_id, n in zip(types, counts, strict=True) for _ in range(n)]
        truncated = one < first.length or two < second.length
        return Tokens(ids, type_ids, truncated, len(ids), one < first.length)

    def _cut(self, text: Text, length: int) -> array[int]:
        return text.ids[len(text.ids) - length :] if self._from_left else text.ids[:length]


def shares(first: int, second: int, *, room: int) -> tuple[int, int]:
    """Say how many tokens of each text of a pair stay, the longer being cut first.

    As `tokenizers` does it: src/utils/truncation.rs, LongestFirst.
    """
    if first + second <= room:
        return first, second
    short = min(first, second)
    kept = (room // 2, room - room // 2) if 2 * short > room else (short, room - short)
    return kept if first <= second else (kept[1], kept[0])


def read_template(tokenizer: Tokenizer) -> PairTemplate | None:
    """Read off what a tokenizer puts around pairs; None for more than tokens at three places."""
    encoding: Encoding = tokenizer.encode("a", "b")
    parts: list[list[int]] = [[], [], [], [], []]
    types: list[set[int]] = [set(), set(), set(), set(), set()]
    place = 0
    for token, type_id, of in zip(
        encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True
    ):
        while of != (None, 0, None, 1, None)[place]:
            place += 1
            if place == len(parts):
                return None
        parts[place].append(token)
        types[place].add(type_id)
    if not parts[1] or not parts[3] or any(len(each) > 1 for each in types):
        return None
    of_parts = [next(iter(each), 0) for each in types]
    before, _, between, _, after = parts
    return PairTemplate(
        before, between, after, (of_parts[0], of_parts[1], of_parts[2], of_parts[3], of_parts[4])
    )


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
