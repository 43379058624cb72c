"""Options that say what asking models costs and may cost, and where answers are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from retrieve_rerank.cli.options import NumberRange
from retrieve_rerank.errors import ConfigError, CostLimitError
from retrieve_rerank.models.answer_store import AnswerStore
from retrieve_rerank.models.metering import Price, Purse
from retrieve_rerank.settings.sources import Settings

ANSWERS = "answers.db"
"""File in the data directory where answers are kept."""


class Spending(NamedTuple):
    """What `spending_options` say."""

    price: Price
    purse: Purse
    store: AnswerStore


class SpendingChoice(NamedTuple):
    """What a command was told of prices and bounds."""

    price: Price
    max_cost: float | None
    answers: Path | None

    def open(self, settings: Settings) -> Spending:
        """Open the file of answers."""
        store = AnswerStore(self.answers or settings.data_dir / ANSWERS)
        return Spending(self.price, Purse(self.max_cost), store)


def spending_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that become the command's `chosen_spending`, and --dry-run."""

    @wraps(command)
    def asking(
        *,
        input_price: float,
        output_price: float,
        request_price: float,
        max_cost: float | None,
        answers: Path | None,
        **given: Any,
    ) -> None:
        price = Price(input_price, output_price, request_price)
        command(chosen_spending=SpendingChoice(price, max_cost, answers), **given)

    for option in (
        click.option(
            "--dry-run",
            is_flag=True,
            help="Say how many questions there are and what they cost; ask none.",
        ),
        click.option(
            "--answers",
            type=click.Path(dir_okay=False, path_type=Path),
            help=f"File where answers are kept, so that none is asked twice.  [default: {ANSWERS} "
            "in the data directory]",
        ),
        click.option(
            "--max-cost",
            type=NumberRange(min=0),
            help="What may be spent, in the prices' currency; nothing is asked beyond it.",
        ),
        click.option(
            "--request-price",
            type=NumberRange(min=0),
            default=0.0,
            help="Price of a thousand requests.",
        ),
        click.option(
            "--output-price",
            type=NumberRange(min=0),
            default=0.0,
            help="Price of a million tokens that the model writes.",
        ),
        click.option(
            "--input-price",
            type=NumberRange(min=0),
            default=0.0,
            help="Price of a million tokens that the model reads.",
        ),
    ):
        asking = option(asking)
    return asking


def check_price(name: str, served: bool, price: Price, purse: Purse) -> None:
    """Raise ConfigError where spending is bounded and it is not known what a server costs."""
    if purse.limit is not None and served and not price:
        raise ConfigError(
            f"--max-cost cannot hold without the price of {name}; give --input-price and"
            " --output-price, or --request-price"
        )


def check_cost(cost: float, max_cost: float | None) -> None:
    """Raise CostLimitError where an estimate is more than may be spent."""
    if max_cost is not None and cost > max_cost:
        raise CostLimitError(
            f"this may cost about {cost:.4f}, more than the {max_cost:g} of --max-cost; nothing was"
            " asked"
        )
