"""The part of `rr tensors` that makes token tensors smaller: a trained projection."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from retrieve_rerank.cli.finetuning import (
    held_out_options,
    load_training,
    model_name,
    read_judged,
)
from retrieve_rerank.cli.judgments import say_judges
from retrieve_rerank.cli.new_tensors import made
from retrieve_rerank.cli.options import NumberRange, field_options, index_option, json_option
from retrieve_rerank.cli.spending import ANSWERS
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.connecting import reranker_for
from retrieve_rerank.models.answer_store import AnswerStore
from retrieve_rerank.settings.build import locate, open_index
from retrieve_rerank.settings.promoted import index_address
from retrieve_rerank.settings.sources import Settings, load_settings


@click.command()
@index_option
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="BEIR folder of judged queries. Its splits stay what they are; those that it lacks are "
    "drawn by hash.  [default: queries are made from the index's own documents]",
)
@click.option(
    "--dimensions",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Numbers that are kept of each token.",
)
@click.option(
    "--loss",
    type=click.Choice(["distil", "contrast"]),
    default="distil",
    show_default=True,
    help="Learn the scores of all dimensions, or to score what is judged relevant above the rest.",
)
@click.option(
    "--teacher",
    metavar="MODEL",
    help="Cross-encoder whose scores --loss distil learns: an alias, a hub id or a folder.  "
    "[default: the scores of all dimensions]",
)
@click.option("--name", help="Name of the model.  [default: the index's, with -tokens]")
@click.option(
    "--train-queries",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many queries to learn from at most, told by a hash.",
)
@held_out_options
@click.option(
    "--margin",
    type=NumberRange(min=0, min_open=True),
    default=0.005,
    show_default=True,
    help="Loss of nDCG@10 that must be ruled out, at the lower end of its 95 % interval.",
)
@click.option("--seed", type=int, default=13, show_default=True, help="What chance draws by.")
@field_options
@json_option
def train(
    index: str | None,
    data: Path | None,
    dimensions: int,
    loss: Any,
    teacher: str | None,
    name: str | None,
    train_queries: int,
    dev_queries: int,
    test_queries: int,
    margin: float,
    seed: int,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Train a projection of the tokens' vectors, and measure what it loses and saves.

    The index stays as it is; rr tensors refresh gives it the smaller tensors. What the first stage
    searches by stays the same. Stopped at any moment, the same command goes on.
    """
    if teacher is not None and loss != "distil":
        raise click.UsageError("--teacher is for --loss distil; judgments teach contrast")
    load_training("rr tensors train")  # which says what to install
    training = import_module("retrieve_rerank.training.token_projection")
    view = import_module("retrieve_rerank.cli.views.token_projection")
    settings = load_settings(index=index, **fields)
    where = locate(settings)
    name = model_name(name, settings, kind="tokens")
    watch = view.Terminal(quiet=as_json)
    taught = None if teacher is None else _load_teacher(teacher, settings)
    try:
        runs = settings.data_dir / "finetune" / name
        judged = read_judged(data, None, settings, runs, watch, query_model=None, dry_run=False)
        say_judges(judged.judges)
        with open_index(settings) as connector:
            encoder, dtype, pooling_factor = made(connector)
            trained = training.train_projection(
                connector,
                judged,
                encoder,
                name=name,
                data_dir=settings.data_dir,
                index=index_address(where),
                settings=training.ProjectionSettings(
                    learning=training.LearningSettings(dimensions=dimensions, loss=loss, seed=seed),
                    train_queries=train_queries,
                    dev_queries=dev_queries,
                    test_queries=test_queries,
                    candidates=settings.candidates,
                    pooling_factor=pooling_factor,
                    dtype=dtype,
                    margin=margin,
                    teacher=None if taught is None else taught.reranker.fingerprint,
                ),
                teacher=taught,
                watch=watch,
            )
    except KeyboardInterrupt:
        click.echo("\nWhat is done is kept; the same command goes on from there.", err=True)
        raise
    if as_json:
        write_json(trained.to_dict())
    else:
        view.print_trained(trained, index=settings.index or where.url, generated=judged.generated)


def _load_teacher(model: str, settings: Settings) -> Any:
    labelling = import_module("retrieve_rerank.training.labelling")
    store = AnswerStore(settings.data_dir / ANSWERS)
    return labelling.Teacher(reranker_for(model, "cross-encoder", {}), store)
