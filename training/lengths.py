"""How long texts are, and what a model does not read of them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.resolving import prompts_of, resolve
from retrieve_rerank.models.loading import load_tokenizer
from retrieve_rerank.text.query_template import QueryTemplate
from retrieve_rerank.training.groups import Group

_UNCUT = 2**30  # tokens


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in characters or tokens, of which half and 95 % are no longer."""

    median: int
    p95: int
    longest: int


@dataclass(frozen=True, slots=True)
class PairLength:
    """A query with one of its texts, as a model reads them."""

    tokens: int
    """Of both, special tokens included, before anything is cut."""
    cut: bool
    query_cut: bool


class PairLengths:
    """Counts the tokens of pairs; raises ModelError, ModelNotFoundError or InputError.

    `max_length` is how many tokens of a pair the model reads, special tokens included, where that
    is not what it records. An encoder is taken too, for training may start from one.
    """

    def __init__(self, model: str, *, max_length: int | None = None) -> None:
        folder = read_folder(resolve(model), prompts=prompts_of(model))
        folder = folder if max_length is None else folder.with_max_tokens(max_length)
        self.model = model
        self.max_tokens = folder.max_tokens
        self.template = folder.template
        """How the model wants titles and texts laid out."""
        self._folder = replace(folder, query_template=folder.query_template or QueryTemplate())
        self._prompt = folder.pair_prompt
        self._tokenizer = load_tokenizer(folder)
        self._uncut = load_tokenizer(replace(folder, max_tokens=_UNCUT))

    def of(self, group: Group) -> list[PairLength]:
        """Measure the query with each of the texts."""
        query = self._prompt + self._folder.for_user(group.query, group.user)
        pairs = [(query, text.text) for text in group.texts]
        read = self._tokenizer.encode_pairs(pairs)
        long = [pair for pair, tokens in zip(pairs, read, strict=True) if tokens.truncated]
        whole = iter(self._uncut.encode_pairs(long))
        return [
            PairLength(
                len(next(whole).ids if tokens.truncated else tokens.ids),
                tokens.truncated,
                tokens.first_truncated,
            )
            for tokens in read
        ]


@dataclass(slots=True)
class Truncation:
    """What a model does not read of all pairs."""

    max_tokens: int
    """How many it reads of a pair."""
    pairs: int = 0
    cut: int = 0
    """How many of the pairs are longer."""
    tokens: int = 0
    unread: int = 0
    """How many of the tokens are beyond what it reads."""

    def add(self, pair: PairLength) -> None:
        """Count one more pair."""
        self.pairs += 1
        self.cut += pair.cut
        self.tokens += pair.tokens
        self.unread += max(pair.tokens - self.max_tokens, 0)


class LengthCount:
    """Collects lengths, four bytes each."""

    def __init__(self) -> None:
        self._lengths = array("I")

    def add(self, length: int) -> None:
        """Count one more."""
        self._lengths.append(length)

    def summary(self) -> Lengths:
        """Summarise them; zeros where there are none."""
        ordered = sorted(self._lengths)
        if not ordered:
            return Lengths(0, 0, 0)
        # The nearest rank: the shortest length that so many are no longer than.
        ranks = (-(-len(ordered) * percent // 100) - 1 for percent in (50, 95, 100))
        median, p95, longest = (ordered[rank] for rank in ranks)
        return Lengths(median, p95, longest)
