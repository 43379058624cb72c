"""Prompts to token ids: the template's special tokens stay special, those of documents do not.

A prompt that is too long loses the ends of its documents, never what comes after them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from retrieve_rerank.errors import InputError, ModelError
from retrieve_rerank.models.causal.pretrained import loading, silent
from retrieve_rerank.models.language_model import Part, Piece, Prompt
from retrieve_rerank.text.template import readable

MIN_DOCUMENT_TOKENS = 16
"""A document of which less could be read is not scored at all."""

_MARKER = re.compile("\ue000(\\d+)\ue001")  # of characters that no template writes


class PromptTokens(NamedTuple):
    """A tokenised prompt."""

    ids: list[int]
    owners: list[int]
    """The number of the part that each token belongs to, -1 for what the tokenizer added."""
    truncated: tuple[int, ...]
    """Numbers, in the order of the prompt, of the documents that lost their ends."""
    continued: int = 0
    """How many of the last tokens are the continuation's."""


class PromptTokenizer:
    """The tokenizer of one checkpoint; one may be shared by many threads.

    `config` is its network's in transformers, where the folder's is of another kind.
    """

    def __init__(self, folder: Path, *, config: Any = None) -> None:
        with silent(), loading(folder):
            self._hub: Any = AutoTokenizer.from_pretrained(
                str(folder), config=config, local_files_only=True, trust_remote_code=False
            )
        backend = getattr(self._hub, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ModelError(f"{folder} has no fast tokenizer (tokenizer.json)")
        self._tokenizer = Tokenizer.from_str(backend.to_str())  # whose settings stay as they are
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._added = self._tokenizer.get_added_tokens_decoder()
        self._special = {number for number, token in self._added.items() if token.special}
        unknown = self._hub.unk_token_id  # stands for any text that has no token: no structure
        if unknown not in (self._hub.bos_token_id, self._hub.eos_token_id):
            self._special.discard(unknown)
        self.before, self.after = self._surroundings()
        self.pad_id: int = self._hub.pad_token_id or 0  # any will do: no token sees those after it

    def first_tokens(self, words: Sequence[str], *, attached: bool = False) -> list[int]:
        """Return each word's first token; raise InputError where that does not tell them apart.

        `attached` words follow without a space what is there already: "A" after "[".
        """
        ids = []
        for word in words:
            encoded = self._tokenizer.encode(word, add_special_tokens=False).ids
            literal = self._tokenizer.token_to_id(word)
            if not encoded:
                raise InputError(f"the tokenizer makes nothing of {word!r}")
            one = len(encoded) == 1 and not attached
            ids.append(encoded[0] if one or literal is None else literal)
        for place, number in enumerate(ids):
            if number in ids[:place]:
                other = words[ids.index(number)]
                token = self._tokenizer.id_to_token(number)
                raise InputError(
                    f"{other!r} and {words[place]!r} begin with the same token, {token!r}: the"
                    " model's next token cannot tell them apart; choose other words"
                )
        return ids

    @property
    def end(self) -> list[int]:
        """The token that ends an answer, where there is one."""
        return [] if self._hub.eos_token_id is None else [self._hub.eos_token_id]

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text alone, whose special tokens are special."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of an answer, without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def encode(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        continuations: Sequence[str] | None = None,
        ended: bool = False,
    ) -> list[PromptTokens]:
        """Tokenise prompts, each to at most `max_tokens` tokens.

        A continuation becomes the prompt's last part, tokenised together with what it follows.
        With `ended` the prompt also gets what the tokenizer puts after texts, as encoders of
        sequence-to-sequence models expect. Raises InputError where documents have no room.
        """
        controls: dict[str, set[int]] = {}
        known: dict[tuple[str, tuple[Part, ...]], tuple[list[int], list[int]]] = {}
        encoded = []
        for number, prompt in enumerate(prompts):
            pieces, chat = self._written(prompt)
            if continuations is not None:
                last = (*pieces[-1].parts, Part(continuations[number], "query"))
                pieces = [*pieces[:-1], Piece(last)]
            frame = "\n".join(p.text for piece in pieces for p in piece.parts if p.kind == "frame")
            if frame not in controls:
                controls[frame] = self._control(frame)
            ids = [] if chat else list(self.before)
            owners = [-1] * len(ids)
            parts: list[Part] = []
            for piece in pieces:
                key = (frame, piece.parts)
                if key not in known:
                    known[key] = self._encode_piece(piece.parts, controls[frame])
                read, belongs = known[key]
                ids += read
                owners += [len(parts) + part for part in belongs]
                parts += piece.parts
            if ended:
                ids += self.after
                owners += [-1] * len(self.after)
            tokens = _shorten(ids or [self.pad_id], owners or [-1], parts, max_tokens)
            if continuations is not None:
                tokens = tokens._replace(continued=tokens.owners.count(len(parts) - 1))
            encoded.append(tokens)
        return encoded

    def _surroundings(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text."""
        plain = self._tokenizer.encode("a", add_special_tokens=False).ids
        whole = self._tokenizer.encode("a").ids
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        raise ModelError("the tokenizer changes a text when it adds special tokens to it")

    def _control(self, frame: str) -> set[int]:
        """Tokens that give a prompt its structure: all special ones, and added ones it uses.

        Qwen3's <think> is an added token that its tokenizer does not call special.
        """
        used = {
            number
            for number, token in self._added.items()
            if token.content.strip() and token.content in frame
        }
        return self._special | used

    def _encode_piece(
        self, parts: Sequence[Part], control: set[int]
    ) -> tuple[list[int], list[int]]:
        """Tokenise parts together; return ids, and the number of the part that each is of.

        Where text that is not the template's would become a control token it is cut within, and
        the two halves are tokenised apart.
        """
        text = "".join(part.text for part in parts)
        starts = [0, *accumulate(len(part.text) for part in parts[:-1])]
        cuts: set[int] = set()
        while True:
            ids, owners, forged = [], [], set()
            for number, start, end in self._tokens(text, cuts):
                # A token of two parts counts as the later one's: a document's last word is lost
                # rather than the beginning of what follows it.
                owners.append(max(bisect_left(starts, end) - 1, 0))
                ids.append(number)
                if number in control and end - start > 1 and _foreign(parts, starts, start, end):
                    forged.add(start + 1)
            if not forged:
                return ids, owners
            cuts |= forged

    def _tokens(self, text: str, cuts: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        edges = [0, *sorted(cuts), len(text)]
        for begin, end in pairwise(edges):
            # Half a surrogate pair and what stands for it are both of one character.
            span = readable(text[begin:end])
            encoding = self._tokenizer.encode(span, add_special_tokens=False)
            for number, (first, last) in zip(encoding.ids, encoding.offsets, strict=True):
                yield number, begin + first, begin + last

    def _written(self, prompt: Prompt) -> tuple[Sequence[Piece], bool]:
        """Return raw pieces, and whether the model's chat template wrote them."""
        roles = [piece.role for piece in prompt.pieces]
        if roles[0] is None:
            return prompt.pieces, False
        if not self._hub.chat_template:
            raise ModelError("the model has no chat template; use a template without roles for it")
        foreign = [p for piece in prompt.pieces for p in piece.parts if p.kind != "frame"]
        numbers = iter(range(len(foreign)))
        messages = [
            {
                "role": piece.role,
                "content": "".join(
                    p.text if p.kind == "frame" else f"\ue000{next(numbers)}\ue001"
                    for p in piece.parts
                ),
            }
            for piece in prompt.pieces
        ]
        begun = roles[-1] == "assistant"
        written: str = self._hub.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=not begun,
            continue_final_message=begun,
            enable_thinking=False,  # of models that would think before they answer
        )
        split = _MARKER.split(written)  # frame, number, frame, number, …, frame
        parts = [
            Part(text) if place % 2 == 0 else foreign[int(text)] for place, text in enumerate(split)
        ]
        return [Piece(tuple(parts))], True


def _foreign(parts: Sequence[Part], starts: Sequence[int], start: int, end: int) -> bool:
    """Whether text between these offsets is, even in part, not the template's."""
    return any(
        part.kind != "frame" and begin < end and start < begin + len(part.text)
        for part, begin in zip(parts, starts, strict=False)
    )


def _shorten(
    ids: list[int], owners: list[int], parts: Sequence[Part], max_tokens: int
) -> PromptTokens:
    if len(ids) <= max_tokens:
        return PromptTokens(ids, owners, ())
    documents = [number for number, part in enumerate(parts) if part.kind == "document"]
    lengths = [owners.count(number) for number in documents]
    rest = len(ids) - sum(lengths)
    limit = _level(lengths, max_tokens - rest)
    if limit < MIN_DOCUMENT_TOKENS:
        raise InputError(
            f"the query leaves no room for the document: without documents the prompt has {rest}"
            f" of the {max_tokens} tokens that the model reads"
        )
    kept: list[int] = []
    seen = dict.fromkeys(documents, 0)
    for place, owner in enumerate(owners):
        if owner in seen:
            seen[owner] += 1
            if seen[owner] > limit:
                continue
        kept.append(place)
    cut = tuple(number for number, length in enumerate(lengths) if length > limit)
    return PromptTokens([ids[p] for p in kept], [owners[p] for p in kept], cut)


def _level(lengths: Sequence[int], room: int) -> int:
    """The length to cut all documents to, so that together they fit: short ones stay whole."""
    for place, length in enumerate(shortest := sorted(lengths)):
        share = room // (len(shortest) - place)
        if length > share:
            return share
        room -= length
    return max(lengths, default=0)
