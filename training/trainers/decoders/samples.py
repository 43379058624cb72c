"""What a language model reads in training, and the answer that it is to give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """A prompt, and what follows it."""

    prompt: list[int]
    answer: list[int]
    """What the model says next, whose likelihood counts; empty where only a head reads the end."""
    taught: bool = False
    """Whether losses over tokens learn from it."""
    truncated: tuple[int, ...] = ()
    words: Sequence[int] = ()
    """First tokens of the answers that there can be, where their logits are the scores."""

    @property
    def ids(self) -> list[int]:
        """All that is read: the answer's last token is only predicted."""
        return [*self.prompt, *self.answer[:-1]]

    @property
    def whole(self) -> list[int]:
        """Prompt and answer."""
        return [*self.prompt, *self.answer]
