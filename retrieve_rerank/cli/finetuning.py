"""What `rr finetune` is given, read; and the models that it trains where they are several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import unquote

import click

from retrieve_rerank.cli.judgments import say_judges
from retrieve_rerank.cli.new_index import is_foreign
from retrieve_rerank.cli.options import NumberRange
from retrieve_rerank.cli.spending import SpendingChoice
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.cli.written_queries import write_by_model
from retrieve_rerank.errors import ConfigError, MissingExtraError
from retrieve_rerank.evaluation.files import splits_of
from retrieve_rerank.evaluation.judges import folder_judges
from retrieve_rerank.models.checkpoints.folder_files import read_json
from retrieve_rerank.models.checkpoints.version_record import PROVENANCE_FILE
from retrieve_rerank.models.checkpoints.versions import ModelVersions, name_part
from retrieve_rerank.models.loading import BUNDLED_RERANKER
from retrieve_rerank.models.metering import FREE
from retrieve_rerank.settings.build import build_retriever, locate, open_index
from retrieve_rerank.settings.promoted import index_address, with_promoted
from retrieve_rerank.settings.sources import Settings, StageSettings, load_settings
from retrieve_rerank.text.language import detect_language
from retrieve_rerank.training.queries.generate import LIMIT, TRIED

Command = TypeVar("Command", bound=Callable[..., Any])


def query_options(command: Command) -> Command:
    """Add the options that say what makes queries where nobody has judged any."""
    for option in (
        click.option(
            "--query-model", help="Language model for --queries llm: openai:MODEL, a folder, …."
        ),
        click.option(
            "--queries",
            type=click.Choice(["documents", "llm"]),
            default="documents",
            show_default=True,
            help="Where neither --data nor --groups is given: what makes queries, the documents' "
            "own words or the language model --query-model.",
        ),
    ):
        command = option(command)
    return command


def held_out_options(command: Command) -> Command:
    """Add the options that say how many queries choose what is kept, and how many prove it."""
    for name, count, what in (
        (
            "--test-queries",
            300,
            "How many held-out queries at most to measure that on, told by a hash.",
        ),
        ("--dev-queries", 100, "How many queries at most to choose by what is kept."),
    ):
        command = click.option(
            name, type=click.IntRange(min=2), default=count, show_default=True, help=what
        )(command)
    return command


def gate_options(command: Command) -> Command:
    """Add the options that say what a model must be for it to be promoted."""
    for option in (
        click.option(
            "--accept-generated",
            is_flag=True,
            help="Promote what is better on queries made from the documents, too.",
        ),
        click.option(
            "--max-p95-ms",
            type=NumberRange(min=0, min_open=True),
            help="Milliseconds that 95 of 100 searches may take: the model reranks no more hits "
            "than fit into them, and is not promoted where searches of the held-out queries take "
            "longer.",
        ),
        click.option(
            "--min-gain",
            type=NumberRange(min=0),
            default=0.0,
            show_default=True,
            help="Gain in nDCG@10 that must be exceeded, at the lower end of its 95 % interval, "
            "for the model to be promoted.",
        ),
    ):
        command = option(command)
    return command


def model_name(given: str | None, settings: Settings, *, kind: str) -> str:
    """Name the model that is trained for an index: as is said, or after the index.

    Raises ConfigError where that is the name of a model of another index: the addresses of two may
    end alike.
    """
    if given is not None:
        return given
    where = locate(settings)
    name = f"{name_part(short_name(settings.index or where.url))}-{kind}"
    versions = ModelVersions(settings.data_dir, name)
    for number in versions.numbers[-1:]:
        provenance = read_json(versions.path(number) / PROVENANCE_FILE, absent={})
        trained_for = provenance.get("index")
        if trained_for not in (None, index_address(where)):
            raise ConfigError(
                f"the model {name} was trained for the index {trained_for}, not for "
                f"{index_address(where)}: give this one another name with --name, or that name "
                "itself where both are the same"
            )
    return name


def default_base(stages: Sequence[StageSettings] | None, queries: Iterable[str]) -> str:
    """Return the cross-encoder that serves, else the bundled one.

    Raises ConfigError where the queries are in another language than that one's, English.
    """
    for stage in reversed(stages or ()):
        if stage.reranker == "cross-encoder" and "model" in stage.options:
            return str(stage.options["model"])
    if is_foreign(detect_language(queries)):
        raise ConfigError(
            f"the queries do not look English, which is all that {BUNDLED_RERANKER} reads: name"
            " what to start from with --base, such as bge-reranker-base for Chinese"
        )
    return BUNDLED_RERANKER


def read_judged(
    data: Path | None,
    groups: Path | None,
    settings: Settings,
    runs: Path,
    watch: Any,
    *,
    query_model: str | None,
    dry_run: bool,
    base: str | None = None,
) -> Any:
    """Read what is to be learnt and measured; where nothing is given, make it from the index.

    A language model writes the queries where one is named. Groups are read as the base
    reads documents.
    """
    training = load_training()
    if groups is not None:
        beside = None if data is None else training.read_judged_folder(data)
        served = with_promoted(settings, index_address(locate(settings))).stages
        template = training.TrainerSettings().template_for(base or default_base(served, ()))
        return training.read_ready_groups(groups, beside, template=template)
    if data is None:
        data = runs / ("generated" if query_model is None else "generated-llm")
        if not (data / "queries.jsonl").is_file():
            if query_model is not None and dry_run:
                raise click.UsageError(
                    f"a dry run asks no model: {query_model} has written no queries yet; see what"
                    " that costs by rr queries --source llm --dry-run"
                )
            _make_queries(settings, data, watch, query_model)
    return training.read_judged_folder(data)


def _make_queries(settings: Settings, folder: Path, watch: Any, model: str | None) -> None:
    queries = import_module("retrieve_rerank.training.queries")
    with open_index(settings) as connector:
        count = connector.count()
        if model is None:
            tried = count + 2 * LIMIT  # as about half do not find back
            with watch.progress("making queries", tried, "documents and queries") as advance:
                made = queries.generate(connector, on_progress=advance)
        else:
            unbounded = SpendingChoice(FREE, max_cost=None, answers=None).open(settings)
            documents = TRIED * LIMIT
            written = write_by_model(
                connector, model, unbounded, documents=documents, seed=0, dry_run=False, quiet=False
            )
            made = queries.generate(connector, sources=("llm",), written=written)
        queries.write_folder(made, folder)


def read_protected(index: str, folder: Path, *, at_most: int) -> Any:
    """Read another collection that must not lose, and see that its index is there."""
    splits = splits_of(folder)
    say_judges(folder_judges(folder, splits=["test"] if "test" in splits else splits[:1]))
    settings = load_settings(index=index)
    today = with_promoted(settings, index_address(locate(settings)))
    build_retriever(today).close()
    return load_training().read_protected(
        f"{short_name(index)} (another collection)",
        folder,
        lambda: build_retriever(today),
        at_most=at_most,
    )


def load_training(command: str = "rr finetune") -> ModuleType:
    """Import what trains; raise MissingExtraError where its packages are missing."""
    try:
        return import_module("retrieve_rerank.training.finetuning")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError(command, "train") from exc


def train_by_segment(
    run: Callable[..., None],
    judged: Any,
    segments: Any,
    name: str,
    done: Any,
    *,
    shared: bool,
    dry_run: bool,
) -> None:
    """Train a model for each segment with enough queries, and first one for all where none is."""
    training = load_training()
    for value, lacks in segments.too_few.items():
        say(f"Note: {segments.field} {value} has {lacks} queries; the model for all serves it")
    plan = {training.name_of(name, value): value for value in segments.enough}
    if shared or name in done:
        plan = {name: "", **plan}
    for its_name, value in plan.items():
        if its_name in done:
            say(f"Note: {its_name} was trained before the command was stopped")
            continue
        say(f"{segments.field} {value}: {its_name}" if value else f"for all: {name}")
        its = replace(judged, segments=segments.of)
        if value:
            its = training.of_segment(judged, segments, value)
        run(its, its_name, segment=value, models=len(plan))
        if not dry_run:
            done.add(its_name)
    if not dry_run:
        done.forget()


def short_name(index: str) -> str:
    """Return the last part of an index's address: what a person calls it."""
    path = unquote(index) if "://" in index else os.path.abspath(index)
    return path.rstrip("/").rpartition("/")[2]
