"""Several sources as one stream, and groups of one size: what a trainer draws its batches from.

Everything is drawn by a seed: the same sources give the same groups.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training.groups import Group, GroupText

SHUFFLED_ABOVE = 100
"""Characters of a text that RAG-Retrieval and FlagEmbedding may shuffle."""


class Mixture:
    """Groups of several sources, each next one from a source drawn by its weight.

    A source that ends begins anew, and the mixture ends as soon as each has come to its end once:
    nothing is left out, and the shares hold throughout. Weights need not sum to 1; None weighs all
    alike. Raises ConfigError for weights that are none, and InputError for a source without groups.
    """

    def __init__(
        self,
        sources: Sequence[Iterable[Group]],
        *,
        weights: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        weights = [1.0] * len(sources) if weights is None else weights
        if not sources or len(weights) != len(sources):
            raise ConfigError(
                f"expected a weight for each source; got {len(weights)} for {len(sources)}"
            )
        if not all(0 < weight < float("inf") for weight in weights):
            raise ConfigError(f"expected weights above 0; got {', '.join(map(str, weights))}")
        self._sources = sources
        self._weights = weights
        self._seed = seed

    def __iter__(self) -> Iterator[Group]:
        draw = random.Random(self._seed)
        streams = [iter(source) for source in self._sources]
        # One group ahead, so that a source's end is known with its last group.
        ahead = [self._first(stream, number) for number, stream in enumerate(streams)]
        unended = set(range(len(streams)))
        while unended:
            (chosen,) = draw.choices(range(len(streams)), self._weights)
            yield ahead[chosen]
            following = next(streams[chosen], None)
            if following is None:
                unended.discard(chosen)
                streams[chosen] = iter(self._sources[chosen])
                following = self._first(streams[chosen], chosen)
            ahead[chosen] = following

    def _first(self, stream: Iterator[Group], number: int) -> Group:
        group = next(stream, None)
        if group is None:
            name = getattr(self._sources[number], "name", f"source {number + 1}")
            raise InputError(f"{name} has no groups, or can be read only once; cannot mix it in")
        return group


class Resampled:
    """Groups of exactly `size` labelled texts, made as RAG-Retrieval's grouped loader does.

    A group's texts are shuffled once and cut into groups of `size`; a last one that is short is
    topped up by a sample of the texts before it. What is too small, or has the same label
    throughout, which no loss over a ranking learns from, is left out and counted.
    """

    def __init__(self, groups: Iterable[Group], *, size: int, seed: int = 0) -> None:
        if size < 2:
            raise ConfigError(f"expected groups of at least 2 texts; got {size}")
        self._groups = groups
        self._size = size
        self._seed = seed
        self.left_out: Counter[str] = Counter()
        """Why -> number of groups or texts that the last iteration left out."""

    def __iter__(self) -> Iterator[Group]:
        self.left_out.clear()
        for group in self._groups:
            texts = [text for text in group.texts if text.label is not None]
            if unlabelled := len(group.texts) - len(texts):
                self.left_out["text without a label"] += unlabelled
            if len(texts) < self._size:
                self.left_out[f"group of fewer than {self._size} texts"] += 1
                continue
            # Of the query too, so that a group does not depend on those that were read before it.
            draw = random.Random(f"{self._seed} {group.query}")
            draw.shuffle(texts)
            for cut in self._cut(texts, draw):
                made = replace(group, texts=tuple(cut))
                if made.tells_apart:
                    yield made
                else:
                    self.left_out["group of equal labels"] += 1

    def _cut(self, texts: list[GroupText], draw: random.Random) -> Iterator[list[GroupText]]:
        for start in range(0, len(texts), self._size):
            cut = texts[start : start + self._size]
            yield cut + draw.sample(texts[:start], self._size - len(cut))


class ShuffledTexts:
    """Groups of which some long texts are cut into three and put together in another order.

    A text above SHUFFLED_ABOVE characters is, with probability `rate`: RAG-Retrieval's
    `shuffle_rate`, FlagEmbedding's `shuffle_ratio`; `positives_only` as FlagEmbedding has it. Each
    iteration draws anew.
    """

    def __init__(
        self, groups: Iterable[Group], *, rate: float, positives_only: bool = False, seed: int = 0
    ) -> None:
        if not 0 <= rate <= 1:
            raise ConfigError(f"expected a shuffle rate from 0 to 1; got {rate}")
        self._groups = groups
        self._rate = rate
        self._positives_only = positives_only
        self._draw = random.Random(seed)

    def __iter__(self) -> Iterator[Group]:
        for group in self._groups:
            texts = tuple(self._shuffled(text) for text in group.texts)
            yield replace(group, texts=texts)

    def _shuffled(self, text: GroupText) -> GroupText:
        kept = self._positives_only and not (text.label is not None and text.label > 0)
        if kept or len(text.text) <= SHUFFLED_ABOVE or self._draw.random() >= self._rate:
            return text
        length = len(text.text) // 3 + 1
        chunks = [text.text[start : start + length] for start in range(0, len(text.text), length)]
        self._draw.shuffle(chunks)
        return replace(text, text=" ".join(chunks))
