"""Options that say what training data are, and the opening of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from retrieve_rerank.cli.views.progress import Share
from retrieve_rerank.evaluation.files import read_folder, read_queries
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.formats import FORMATS
from retrieve_rerank.training.judgments import TRAIN_SPLIT
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource

Command = TypeVar("Command", bound=Callable[..., Any])

DATA = click.Path(exists=True, allow_dash=True)


def data_options(command: Command) -> Command:
    """Add the options that `open_data` takes."""
    for option in (
        click.option(
            "--corpus",
            type=click.Path(exists=True),
            help="Documents that relevance judgments name: whatever rr index reads.",
        ),
        click.option(
            "--queries",
            type=click.Path(exists=True, dir_okay=False),
            help="Queries that relevance judgments name: JSON lines, or lines of id<TAB>text.",
        ),
        click.option(
            "--split",
            default=TRAIN_SPLIT,
            show_default=True,
            help="Which judgments of a BEIR folder.",
        ),
        click.option(
            "--min-label",
            type=float,
            default=0.0,
            show_default=True,
            help="The label that becomes 0, with --max-label.",
        ),
        click.option(
            "--max-label",
            type=float,
            help="The label that becomes 1; others lie between, or are refused.  "
            "[default: labels stay as they are]",
        ),
        click.option(
            "--label-key",
            help="Name of the field with the labels.  [default: label, or what the format has]",
        ),
        click.option(
            "--format",
            type=click.Choice(list(FORMATS)),
            help="Format of the data.  [default: recognised by the first line]",
        ),
    ):
        command = option(command)
    return command


def open_data(
    path: str, *, template: Template | None = None, skip_bad: bool = False, **chosen: Any
) -> GroupSource:
    """Open what the options name."""
    if chosen["min_label"] and chosen["max_label"] is None:
        raise click.UsageError("--min-label needs --max-label")
    return read_groups(path, template=template, skip_bad=skip_bad, **chosen)


def share_read(sources: Sequence[GroupSource]) -> Share:
    """Tell the share of the sources' bytes that has been read."""
    size = sum(source.size for source in sources)
    return lambda done: sum(source.position for source in sources) / size if size else None


def read_test_queries(path: Path) -> list[str]:
    """Read the queries of a BEIR folder's test split, or of a file."""
    if not path.is_dir():
        return list(read_queries(path).values())
    queries, qrels = read_folder(path, split="test")
    return [text for id_, text in queries.items() if id_ in qrels]
