"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from retrieve_rerank.concurrency.deadline import LONGEST_S
from retrieve_rerank.errors import InputError
from retrieve_rerank.registry import RERANKERS
from retrieve_rerank.settings.build import locate
from retrieve_rerank.settings.file import ENV_PREFIX
from retrieve_rerank.settings.promoted import index_address, with_promoted
from retrieve_rerank.settings.sources import FieldSettings, Settings
from retrieve_rerank.settings.stage_choice import NO_RERANKER, choose_stage

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


class NumberRange(click.FloatRange):
    """A range that NaN, which is neither below nor above anything, is not in."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number; exit code 2 where it is outside."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def setting(
    name: str, *, type: click.ParamType[Any], flag: str = "", help: str = ""
) -> Decorator[Any]:
    """Make the option of a setting, which tells what it is, its default and its variable."""
    field = Settings.model_fields[name]
    default = field.get_default()
    return click.option(
        flag or f"--{name.replace('_', '-')}",
        name,
        type=type,
        help=help or field.description,
        envvar=f"{ENV_PREFIX}{name}".upper(),
        show_envvar=True,
        show_default=str(default) if default is not None else False,
    )


index_option = setting("index", type=click.STRING)
top_k_option = setting("top_k", type=click.IntRange(min=1))
candidates_option = setting("candidates", type=click.IntRange(min=1))
deadline_option = setting(
    "deadline_s", type=NumberRange(min=0, min_open=True, max=LONGEST_S), flag="--deadline"
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON to stdout, one object a line."
)


segment_option = setting("segment", type=click.STRING)

companion_option = click.option(
    "--companion/--in-place",
    default=None,
    help="Keep them in an index beside the documents', or in it.  [default: as those that there "
    "are, else what suits the index]",
)


def field_options(command: Command) -> Command:
    """Add the options that say what the index's fields are; pass them to `load_settings`."""
    for name in reversed(FieldSettings.model_fields):
        setting(name, type=click.STRING)(command)
    return command


def stage_options(command: Command) -> Command:
    """Add the options that choose the reranker: rerank, model, prompt, depth and weight."""
    for option in (
        click.option(
            "--weight",
            type=NumberRange(0, 1),
            help="Share of the reranker's scores in the new order, the rest going to the first "
            "stage's.  [default: what the reranker recommends]",
        ),
        click.option(
            "--depth",
            type=click.IntRange(min=1),
            help="How many of the candidates the reranker scores.  [default: all]",
        ),
        click.option(
            "--prompt",
            help="What a language model is asked: the name of a published prompt, or a .toml or "
            ".json file.  [default: what the model was trained with]",
        ),
        click.option(
            "--model",
            help="Model of the reranker: an alias, a hub id, a folder, or a service's, such as "
            "cohere:rerank-v3.5 or tei:http://localhost:8080.",
        ),
        click.option(
            "--rerank",
            metavar="NAME",
            help=f"Reranker: {', '.join(RERANKERS)}, or {NO_RERANKER}.  "
            "[default: what is promoted for the index or set in rr.toml, else max-sim where there "
            "are token tensors]",
        ),
    ):
        command = option(command)
    return command


def with_stage(
    settings: Settings,
    *,
    rerank: str | None,
    model: str | None,
    prompt: str | None,
    depth: int | None,
    weight: float | None,
) -> Settings:
    """Put what `stage_options` chose in place of the stages that are set, see `choose_stage`.

    What is promoted for the index is among these. Raises ConfigError where there is no one index.
    """
    settings = with_promoted(settings, index_address(locate(settings)))
    options = {"model": model, "prompt": prompt, "depth": depth, "weight": weight}
    try:
        return choose_stage(settings, rerank, options)
    except InputError as exc:
        raise click.UsageError(f"--{exc}") from exc
