"""What `rr finetune` is given, read; and the models that it trains where they are several."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import MissingExtraError
from retrieve_rerank.settings.build import build_retriever, locate, open_index
from retrieve_rerank.settings.promoted import index_address, with_promoted
from retrieve_rerank.settings.sources import Settings, load_settings


def read_judged(
    data: Path | None, groups: Path | None, settings: Settings, runs: Path, watch: Any
) -> Any:
    """Read what is to be learnt and measured; where nothing is given, make it from the index."""
    training = load_training()
    if groups is not None:
        beside = None if data is None else training.read_judged_folder(data)
        return training.read_ready_groups(groups, beside)
    if data is None:
        data = runs / "generated"
        if not (data / "queries.jsonl").is_file():
            queries = import_module("retrieve_rerank.training.queries")
            with (
                open_index(settings) as connector,
                watch.progress("making queries", connector.count(), "documents") as advance,
            ):
                queries.write_folder(queries.generate(connector, on_progress=advance), data)
    return training.read_judged_folder(data)


def read_protected(index: str, folder: Path, *, at_most: int) -> Any:
    """Read another collection that must not lose, and see that its index is there."""
    settings = load_settings(index=index)
    today = with_promoted(settings, index_address(locate(settings)))
    build_retriever(today).close()
    return load_training().read_protected(
        f"{short_name(index)} (another collection)",
        folder,
        lambda: build_retriever(today),
        at_most=at_most,
    )


def load_training() -> ModuleType:
    """Import what trains; raise MissingExtraError where its packages are missing."""
    try:
        return import_module("retrieve_rerank.training.finetuning")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError("rr finetune", "train") from exc


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
