"""What asking models costs: counted beforehand and on the way, and stopped at a limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from retrieve_rerank.errors import CostLimitError
from retrieve_rerank.models.language_model import Prompt

_BYTES_A_TOKEN = 3.0  # English has 4 to 5, Chinese about 3: an estimate that errs on the dear side


class Price(NamedTuple):
    """What a model costs, in any one currency; what runs here costs nothing."""

    input: float = 0.0
    """Of a million tokens that it reads."""
    output: float = 0.0
    """Of a million tokens that it writes."""
    request: float = 0.0
    """Of a thousand requests, as reranking services charge."""

    def __bool__(self) -> bool:
        return bool(self.input or self.output or self.request)


FREE = Price()
"""Of what runs here."""


class Usage(NamedTuple):
    """What questions amount to. Tokens are estimated at three bytes each, which is rather many."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    """The most that may be written."""

    def plus(self, other: Usage) -> Usage:
        """Add another's."""
        return Usage(*(mine + its for mine, its in zip(self, other, strict=True)))

    def cost(self, price: Price) -> float:
        """Say what it costs, in the price's currency."""
        tokens = self.input_tokens * price.input + self.output_tokens * price.output
        return tokens / 1e6 + self.requests * price.request / 1e3


def tokens_of(text: str) -> int:
    """Estimate a text's tokens."""
    return int(len(text.encode(errors="replace")) / _BYTES_A_TOKEN) + 1


def usage_of(prompts: Sequence[Prompt], *, max_new_tokens: int) -> Usage:
    """Estimate what asking once for each prompt amounts to."""
    texts = (p.text for prompt in prompts for piece in prompt.pieces for p in piece.parts)
    return Usage(len(prompts), sum(map(tokens_of, texts)), max_new_tokens * len(prompts))


class Purse:
    """What may be spent, and has been; several models may share one, and threads too."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self.spent = 0.0
        self._lock = threading.Lock()

    def pay(self, usage: Usage, price: Price) -> None:
        """Note what is about to be asked; raise CostLimitError, with nothing spent, beyond it."""
        cost = usage.cost(price)
        with self._lock:
            if self.limit is not None and self.spent + cost > self.limit:
                raise CostLimitError(
                    f"{self.spent:.4f} is spent, and the next questions may cost {cost:.4f}: more"
                    f" than the {self.limit:g} allowed; what was answered is kept. Allow more"
                    " (--max-cost), or ask about less"
                )
            self.spent += cost


class Meter:
    """One model's price and what it was asked, against a purse."""

    def __init__(self, price: Price = FREE, purse: Purse | None = None) -> None:
        self.price = price
        self.purse = purse or Purse()
        self.used = Usage()
        self.known = 0
        """Questions whose answers were there already."""
        self._lock = threading.Lock()

    def ask(self, usage: Usage) -> None:
        """Note what is about to be asked; raise CostLimitError where that is more than allowed."""
        self.purse.pay(usage, self.price)
        with self._lock:
            self.used = self.used.plus(usage)

    def find_known(self, count: int) -> None:
        """Note that so many questions need not be asked."""
        with self._lock:
            self.known += count

    @property
    def cost(self) -> float:
        """Of what was asked."""
        return self.used.cost(self.price)
