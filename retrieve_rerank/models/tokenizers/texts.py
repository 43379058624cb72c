"""Texts to token ids with the `tokenizers` library alone.

A tokenizer's truncation is set once, when it is loaded, and never touched again, so that many
threads may share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import AddedToken, Encoding, Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from retrieve_rerank.errors import InputError, ModelError
from retrieve_rerank.models.checkpoints.late_interaction import Expansion
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.tokenizers.pairs import PairTokens, read_template
from retrieve_rerank.text.template import readable

_PROBE = "Is 1 pair – (two texts) – as much as its halves? "
_LONG_PROBE = 1000  # tokens


class TextTokenizer:
    """Tokenises texts and pairs of texts, with the special tokens the model expects.

    What is longer than `max_tokens` loses its end, or its beginning where `truncation_side` is
    "left"; of a pair the longer text is shortened first. `markers` are prefixes of texts that
    are one token each, where the vocabulary has them. Without `special_tokens` single texts get
    none.
    """

    def __init__(
        self,
        file: Path,
        *,
        max_tokens: int,
        truncation_side: str = "right",
        lowercase: bool = False,
        pad_token: str | None = None,
        markers: Sequence[str] = (),
        expansion: Expansion | None = None,
        mask_token: str | None = None,
        special_tokens: bool = True,
    ) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as exc:  # `tokenizers` raises nothing more precise
            raise ModelError(
                f"cannot read the tokenizer {file}: {exc}; transformers writes this file when it"
                " loads and saves the tokenizer"
            ) from exc
        special = self._tokenizer.num_special_tokens_to_add(True)
        if max_tokens <= special:
            raise ModelError(
                f"{file} puts {special} tokens of its own around two texts; expected fewer than the"
                f" {max_tokens:,} that the model reads"
            )
        if lowercase:
            self._lowercase_first()
        self._register(markers)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(
            max_tokens, strategy="longest_first", direction=truncation_side
        )
        self.max_tokens = max_tokens
        self._from_left = truncation_side == "left"
        self._special_tokens = special_tokens
        self.pad_id = self.token_id(pad_token) or 0
        self._filled = expansion.length if expansion else 0
        self._filler = self.token_id(expansion.token or mask_token) if expansion else None
        self._filler_attended = bool(expansion and expansion.attended)
        if expansion and self._filler is None:
            raise ModelError(f"{file} lacks the token that the model fills queries up with")

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self._tokenizer.get_vocab_size()

    def token_id(self, token: str | None) -> int | None:
        """Return a token's number; None where the vocabulary lacks it."""
        return None if token is None else self._tokenizer.token_to_id(token)

    def token(self, token_id: int) -> str:
        """Return a token as the vocabulary writes it; raise InputError for a number beyond it."""
        token = self._tokenizer.id_to_token(token_id)
        if token is None:
            raise InputError(f"the vocabulary has no token {token_id}")
        return token

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise each text; raise InputError for what is none."""
        encodings = self._tokenizer.encode_batch(
            [readable(text) for text in texts], add_special_tokens=self._special_tokens
        )
        return [self._tokens(encoding) for encoding in encodings]

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Tokens]:
        """Tokenise each pair as one sequence; texts seen lately need not be tokenised again."""
        if self._pair_tokens is not None:
            return self._pair_tokens.encode(pairs)
        return self._encode_whole_pairs(pairs)

    def _encode_whole_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Tokens]:
        encodings = self._tokenizer.encode_batch(
            [(readable(first), readable(second)) for first, second in pairs]
        )
        return [
            self._tokens(encoding)._replace(first_truncated=self._lacks(encoding, first))
            for encoding, (first, _) in zip(encodings, pairs, strict=True)
        ]

    def _lacks(self, encoding: Encoding, first: str) -> bool:
        """Tell whether a pair's tokens are not all of its first text's."""
        cut = bool(encoding.overflowing)
        return cut and encoding.sequence_ids.count(0) < len(self._spans(first)[0])

    @cached_property
    def _pair_tokens(self) -> PairTokens | None:
        """What puts pairs together, where that gives what tokenising them whole does."""
        template = read_template(self._tokenizer)
        if template is None:
            return None
        made = PairTokens(
            self._tokenizer, template, max_tokens=self.max_tokens, from_left=self._from_left
        )
        long = _PROBE * (min(self.max_tokens, _LONG_PROBE) // 8 + 1)
        texts = (_PROBE, long, "", " ")
        probes = [(first, second) for first in texts for second in texts]
        return made if made.encode(probes) == self._encode_whole_pairs(probes) else None

    def split(self, text: str, *, beside: str, overlap: int) -> list[str]:
        """Split into passages that fit into one sequence with `beside`.

        Each shares about `overlap` tokens with the one before, and begins with a word where
        words are shorter than a passage. A text that fits is returned as it is.
        """
        starts, ends, words = self._spans(text)
        limit = self.max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        # Of a pair the longer is shortened first: a long query never takes more than half.
        room = limit - min(len(self._spans(beside)[0]), limit // 2)
        overlap = min(overlap, room // 2)
        if len(starts) <= room:
            return [text]
        passages, begin = [], 0
        while True:
            end = min(begin + room, len(starts))
            if end < len(starts):
                end = _word_start(words, end, after=begin) or end
            passages.append(text[starts[begin] : ends[end - 1]])
            if end == len(starts):
                return passages
            back = max(end - overlap, begin + 1)
            begin = _word_start(words, back, after=begin) or back

    def _spans(self, text: str) -> tuple[list[int], list[int], list[int | None]]:
        """Start, end and word number of every token, special ones left out, none truncated."""
        encoding = self._tokenizer.encode(readable(text))
        spans = sorted(
            (start, end, word)
            for part in (encoding, *encoding.overflowing)
            for (start, end), word, special in zip(
                part.offsets, part.word_ids, part.special_tokens_mask, strict=True
            )
            if not special
        )
        return [s[0] for s in spans], [s[1] for s in spans], [s[2] for s in spans]

    def _lowercase_first(self) -> None:
        normalizer = self._tokenizer.normalizer
        steps = [Lowercase(), normalizer] if normalizer is not None else [Lowercase()]
        self._tokenizer.normalizer = NormalizerSequence(steps)

    def _register(self, markers: Sequence[str]) -> None:
        for marker in markers:
            for token in (marker, *marker.split(maxsplit=1)[:1]):
                if self.token_id(token) is not None:
                    special = AddedToken(token, normalized=False, special=True)
                    self._tokenizer.add_special_tokens([special])
                    break

    def _tokens(self, encoding: Encoding) -> Tokens:
        ids, type_ids = encoding.ids, encoding.type_ids
        if not ids and self._special_tokens:  # an empty text, of a model without special tokens
            ids, type_ids = [self.pad_id], [0]  # as no network reads nothing at all
        attended = len(ids)
        if self._filler is not None and attended < self._filled:
            ids = ids + [self._filler] * (self._filled - attended)
            type_ids = type_ids + [0] * (self._filled - attended)
            attended = self._filled if self._filler_attended else attended
        return Tokens(ids, type_ids, bool(encoding.overflowing), attended)


def _word_start(words: Sequence[int | None], position: int, *, after: int) -> int | None:
    """Return the last position up to `position` at which a word begins; None where none does."""
    for place in range(position, after, -1):
        if words[place] != words[place - 1]:
            return place
    return None
