"""The options that say which hits may become negatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from retrieve_rerank.cli.options import NumberRange
from retrieve_rerank.training.mining import Margin, Rules
from retrieve_rerank.training.mining.rules import DEFAULT_MARGIN, DEFAULT_RULES


def rule_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that become the command's `rules`, which has a `scorer` and a `veto`."""

    @wraps(command)
    def ruled(
        *,
        first_rank: int,
        last_rank: int | None,
        min_score: float | None,
        max_score: float | None,
        relative_margin: float | None,
        absolute_margin: float | None,
        no_margin: bool,
        exclude_same: tuple[str, ...],
        scorer: str | None,
        veto: str | None,
        **given: Any,
    ) -> None:
        others = (scorer, veto, min_score, max_score)
        margin: Margin | None = None
        if (relative_margin, absolute_margin) != (None, None):
            if no_margin:
                raise click.UsageError("--no-margin and a margin exclude each other")
            margin = Margin(relative_margin, absolute_margin or 0.0)
        elif not no_margin and not any(each is not None for each in others):
            margin = DEFAULT_MARGIN
        rules = Rules(first_rank, last_rank, min_score, max_score, margin, exclude_same)
        command(rules=rules, scorer=scorer, veto=veto, **given)

    for option in (
        click.option(
            "--exclude-same",
            "exclude_same",
            metavar="FIELD",
            multiple=True,
            help="Leave out what has the same value there as a positive, such as title; can be "
            "given several times.",
        ),
        click.option("--no-margin", is_flag=True, help="Keep no margin to the positive's score."),
        click.option(
            "--absolute-margin",
            type=NumberRange(min=0),
            help="How much less than the lowest positive a negative scores at least; with "
            "--relative-margin, where the positive's score is 0 or below.",
        ),
        click.option(
            "--relative-margin",
            type=NumberRange(0, 1, min_open=True),
            help="Highest share of the lowest positive's score that a negative may score.  "
            f"[default: {DEFAULT_MARGIN.relative}, where there are cosines and no other rule of "
            "scores]",
        ),
        click.option("--max-score", type=NumberRange(), help="Highest score of a negative."),
        click.option("--min-score", type=NumberRange(), help="Lowest score of a negative."),
        click.option(
            "--last-rank", type=click.IntRange(min=1), help="Leave out the ranks below it."
        ),
        click.option(
            "--first-rank",
            type=click.IntRange(min=1),
            default=DEFAULT_RULES.first_rank,
            show_default=True,
            help="Leave out the ranks above it, where false negatives stand.",
        ),
    ):
        ruled = option(ruled)
    return ruled
