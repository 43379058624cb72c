"""The part of `rr tensors` that trains what makes them: a projection, or the whole encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from retrieve_rerank.cli.commands.tensor_refresh import refresh_index
from retrieve_rerank.cli.finetuning import (
    held_out_options,
    load_training,
    model_name,
    read_judged,
)
from retrieve_rerank.cli.judgments import say_division
from retrieve_rerank.cli.new_tensors import made
from retrieve_rerank.cli.options import NumberRange, field_options, index_option, json_option
from retrieve_rerank.cli.spending import ANSWERS
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.connecting import reranker_for
from retrieve_rerank.models.answer_store import AnswerStore
from retrieve_rerank.settings.build import locate, open_index
from retrieve_rerank.settings.promoted import index_address
from retrieve_rerank.settings.sources import Settings, load_settings

_LEARNING = ("dimensions", "loss", "learning_rate")
_OWN = (*_LEARNING, "base", "minutes", "train_queries", "margin")


@click.command()
@index_option
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="BEIR folder of judged queries. Its splits stay what they are; those that it lacks are "
    "drawn by hash, and a lone one is divided.  [default: queries are made from the index's own "
    "documents]",
)
@click.option(
    "--trainable",
    type=click.Choice(["projection", "encoder"]),
    default="projection",
    show_default=True,
    help="Make the tensors smaller by a projection of the tokens, or better by training the whole "
    "encoder.",
)
@click.option(
    "--dimensions",
    type=click.IntRange(min=1),
    help="Numbers that are kept of each token.  [default: 128 by a projection; all by an encoder]",
)
@click.option(
    "--loss",
    type=click.Choice(["distil", "contrast"]),
    help="For a projection: learn the scores of all dimensions, or to score what is judged "
    "relevant above the rest. An encoder learns the latter.  [default: distil]",
)
@click.option(
    "--teacher",
    metavar="MODEL",
    help="Cross-encoder whose scores --loss distil learns, or an encoder beside the judgments: an "
    "alias, a hub id or a folder.",
)
@click.option(
    "--base",
    help="Encoder to start from, for --trainable encoder: an alias, a hub id or a folder.  "
    "[default: the one that makes the index's tensors]",
)
@click.option(
    "--minutes",
    type=NumberRange(min=0, min_open=True),
    help="What all of --trainable encoder may take; it becomes a number of steps, which is kept.  "
    "[default: one round of the training queries]",
)
@click.option(
    "--learning-rate",
    type=NumberRange(min=0, min_open=True),
    help="Learning rate.  [default: 2e-4 of a projection, 3e-5 of an encoder]",
)
@click.option("--name", help="Name of the model.  [default: the index's, with -tokens]")
@click.option(
    "--train-queries",
    type=click.IntRange(min=1),
    help="How many queries to learn from at most, told by a hash.  [default: 300 for a projection, "
    "all for an encoder]",
)
@held_out_options
@click.option(
    "--margin",
    type=NumberRange(min=0, min_open=True),
    help="For a projection: loss of nDCG@10 that must be ruled out, at the lower end of its 95 % "
    "interval.  [default: 0.005]",
)
@click.option("--seed", type=int, default=13, show_default=True, help="What chance draws by.")
@click.option(
    "--refresh",
    is_flag=True,
    help="Give the index the new tensors at once, where they are proved on judged queries.",
)
@field_options
@json_option
def train(
    index: str | None,
    data: Path | None,
    trainable: str,
    teacher: str | None,
    name: str | None,
    dev_queries: int,
    test_queries: int,
    seed: int,
    refresh: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train what makes the tensors, a projection or the encoder, and prove it on held-out queries.

    The index stays as it is; rr tensors refresh gives it the new tensors, or --refresh where they
    are proved. What the first stage searches by stays the same. Stopped at any moment, the same
    command goes on.
    """
    began = time.perf_counter()
    own = {name: given.pop(name) for name in _OWN}
    _check(trainable, own, taught=teacher is not None)
    load_training("rr tensors train")  # which says what to install
    view = import_module(f"retrieve_rerank.cli.views.token_{trainable}")
    settings = load_settings(index=index, **given)
    where = locate(settings)
    name = model_name(name, settings, kind="tokens")
    watch = view.Terminal(quiet=as_json)
    taught = None if teacher is None else _load_teacher(teacher, settings)
    try:
        runs = settings.data_dir / "finetune" / name
        judged = read_judged(data, None, settings, runs, watch, query_model=None, dry_run=False)
        say_division(judged)
        with open_index(settings) as connector:
            tensors = made(connector)
            common = {
                "dev_queries": dev_queries,
                "test_queries": test_queries,
                "candidates": settings.candidates,
                "pooling_factor": tensors.pooling_factor,
                "dtype": tensors.dtype,
                "teacher": None if taught is None else taught.reranker.fingerprint,
            }
            if trainable == "encoder":
                run = _encoder_run(common, own, base=tensors.encoder.name, seed=seed)
                run = partial(run, spent_s=time.perf_counter() - began)
            else:
                run = _projection_run(common, own, seed=seed)
            trained = run(
                connector,
                judged,
                tensors.serving if trainable == "encoder" else tensors.encoder,
                name=name,
                data_dir=settings.data_dir,
                index=index_address(where),
                teacher=taught,
                watch=watch,
            )
    except KeyboardInterrupt:
        click.echo("\nWhat is done is kept; the same command goes on from there.", err=True)
        raise
    proved = trained.accepted and not judged.generated
    refreshes = refresh and proved
    if not as_json:
        view.print_trained(
            trained,
            index=settings.index or where.url,
            generated=judged.generated,
            refreshes=refreshes,
        )
    elif not refreshes:
        write_json(trained.to_dict())
    if refreshes:
        refresh_index(
            settings,
            model=trained.address,
            as_json=as_json,
            put=lambda done: write_json({**trained.to_dict(), "refreshed": done}),
        )


def _check(trainable: str, own: Mapping[str, Any], *, taught: bool) -> None:
    """Raise UsageError for an option of the other kind of training."""
    other = ("loss", "margin") if trainable == "encoder" else ("base", "minutes")
    for option in other:
        if own[option] is not None:
            kind = "projection" if trainable == "encoder" else "encoder"
            raise click.UsageError(f"--{option} is for --trainable {kind}")
    if taught and own["loss"] == "contrast":
        raise click.UsageError("--teacher is for --loss distil; judgments teach contrast")


def _projection_run(common: Mapping[str, Any], own: Mapping[str, Any], *, seed: int) -> Any:
    training = import_module("retrieve_rerank.training.token_projection")
    learning = training.LearningSettings(seed=seed, **_given(own, *_LEARNING))
    settings = training.ProjectionSettings(
        learning=learning, **common, **_given(own, "train_queries", "margin")
    )
    return partial(training.train_projection, settings=settings)


def _encoder_run(common: Mapping[str, Any], own: Mapping[str, Any], *, base: str, seed: int) -> Any:
    training = import_module("retrieve_rerank.training.token_encoder")
    settings = training.EncoderSettings(
        base=own["base"] or base,
        **common,
        **_given(own, "dimensions", "minutes", "train_queries"),
    )
    trainer = replace(settings.trainer, seed=seed, **_given(own, "learning_rate"))
    return partial(training.train_encoder, settings=replace(settings, trainer=trainer))


def _given(own: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return what was said; the settings have the defaults of the rest."""
    return {name: own[name] for name in names if own[name] is not None}


def _load_teacher(model: str, settings: Settings) -> Any:
    labelling = import_module("retrieve_rerank.training.labelling")
    store = AnswerStore(settings.data_dir / ANSWERS)
    return labelling.Teacher(reranker_for(model, "cross-encoder", {}), store)
