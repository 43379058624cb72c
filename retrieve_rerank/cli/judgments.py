"""Options that name judged queries, and the reading of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.evaluation.files import read_folder, read_qrels, read_queries
from retrieve_rerank.evaluation.judges import by_models, folder_judges, llm_judges
from retrieve_rerank.types import Qrels

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


exclude_self_option = click.option(
    "--exclude-self",
    is_flag=True,
    help="Leave out the document that has the query's own id, as BEIR does: for queries that were "
    "taken from the documents (ArguAna, Quora).",
)


class Judged(NamedTuple):
    """Texts of queries, and judgments; either may know queries that the other does not."""

    queries: Mapping[str, str]
    qrels: Qrels
    judges: Mapping[str, int] = {}
    """Language models that gave judgments, and how many; empty where people gave all."""


def say_judges(judges: Mapping[str, int]) -> None:
    """Say which judgments are no people's."""
    if judges:
        say(f"Note: {by_models(judges)}")


def say_division(judged: Any) -> None:
    """Say what became of judged queries that were divided."""
    say_judges(judged.judges)
    if judged.lone:
        splits = [split for split in ("train", "dev", "calibration") if getattr(judged, split)]
        say(
            f"Note: {judged.lone} alone has judgments: its queries are divided into"
            f" {', '.join(splits)} and test"
        )
    say_left_out(judged.left_out)


def say_left_out(left_out: Mapping[str, int], *, told: Collection[str] = ()) -> None:
    """Say what was left out, and why, but for what was `told` already."""
    for why, count in left_out.items():
        if why not in told:
            say(f"Note: {count:,} left out: {why}")


def judgment_options(command: Command) -> Command:
    """Add the options that `read_judgments` takes, but for its own and the split."""
    for option in (
        click.option(
            "--limit",
            type=click.IntRange(min=1),
            help="Use so many of the judged queries, evenly spread.  [default: all]",
        ),
        click.option("--qrels", type=FILE, help="Judgments, in BEIR's form or TREC's."),
        click.option("--queries", type=FILE, help="Queries: JSON lines, or lines of id<TAB>text."),
        click.option(
            "--data",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="BEIR folder with queries.jsonl and qrels/, gzipped or not.",
        ),
    ):
        command = option(command)
    return command


def read_judgments(
    *,
    data: Path | None,
    split: str,
    queries: Path | None,
    qrels: Path | None,
    limit: int | None,
    texts_needed: bool,
) -> Judged:
    """Read what the options name; `limit` keeps so many of the judged queries that can be used.

    They are evenly spread: neighbours in such files often stem from one document.
    """
    if data is not None:
        if queries is not None or qrels is not None:
            raise click.UsageError("give --data, or --queries and --qrels, not both")
        judged = Judged(*read_folder(data, split=split))
    elif qrels is None or (queries is None and texts_needed):
        raise click.UsageError("give --data FOLDER, or --queries FILE and --qrels FILE")
    else:
        judged = Judged(read_queries(queries) if queries else {}, read_qrels(qrels))
    judges = folder_judges(data, splits=[split]) if data is not None else {}
    judges |= llm_judges(qrels) if qrels is not None else {}
    judged = judged._replace(judges=judges)
    if limit is None:
        return judged
    usable = [query for query in judged.qrels if query in judged.queries or not texts_needed]
    limit = min(limit, len(usable))
    chosen = (usable[i * len(usable) // limit] for i in range(limit))
    return judged._replace(qrels={query: judged.qrels[query] for query in chosen})
