"""`rr label`: labels for candidates by rerankers, language models or rules of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import click

from retrieve_rerank.cli.judgments import say_judges
from retrieve_rerank.cli.options import (
    candidates_option,
    field_options,
    index_option,
    json_option,
)
from retrieve_rerank.cli.outputs import keep_inputs
from retrieve_rerank.cli.spending import SpendingChoice, check_cost, spending_options
from retrieve_rerank.cli.teachers import make_teachers
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.spending import Meters, meter_lines, meters_as_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import ModelError, RetrieveRerankError
from retrieve_rerank.evaluation.files import USER, read_folder, read_queries, read_query_field
from retrieve_rerank.evaluation.judges import folder_judges
from retrieve_rerank.registry import RERANKERS
from retrieve_rerank.settings.build import build_retriever, locate
from retrieve_rerank.settings.promoted import index_address, with_promoted
from retrieve_rerank.settings.sources import Settings, load_settings
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.judgments import TRAIN_SPLIT
from retrieve_rerank.training.labelling import (
    Labelled,
    Labels,
    Teacher,
    estimate,
    label,
    load_rule,
    mined_candidates,
)
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource
from retrieve_rerank.types import Qrels


@click.command()
@index_option
@click.option(
    "--queries",
    type=click.Path(exists=True, path_type=Path),
    help="Queries to search --index for: a file, or a BEIR folder of which --split is read.",
)
@click.option("--split", default=TRAIN_SPLIT, show_default=True, help="Which of a BEIR folder.")
@click.option(
    "--groups",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Groups whose texts to label, in any format of rr data, in place of an index's hits.",
)
@click.option(
    "--teacher",
    "names",
    multiple=True,
    metavar="MODEL",
    help="Model that labels: an alias, a hub id, a folder, a service's, openai:MODEL or "
    "ollama:MODEL; or a .toml file with the options of its stage and its prices. Several count "
    "with the mean of their normalised scores.",
)
@click.option(
    "--reranker",
    metavar="NAME",
    help=f"How teachers are asked: {', '.join(RERANKERS)}.  [default: what the model is made for; "
    "llm-listwise for a chat model]",
)
@click.option("--prompt", help="What language models are asked, as for rr search.")
@click.option(
    "--labels",
    type=click.Choice(get_args(Labels)),
    default="scores",
    show_default=True,
    help="What the labels are: scores from 0 to 1 within a query, probabilities, ranks (-1 the "
    "best), or those that there are. Teachers' own scores are written beside.",
)
@click.option(
    "--rules",
    metavar="FILE.py[:FUNCTION]",
    help="Python file, which is run, with a function label(text, group) that gives each label.",
)
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many hits of a query to label.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write, gzipped if it ends in .gz.",
)
@click.option(
    "--to",
    "format",
    type=click.Choice(["grouped", "pointwise"]),
    default="grouped",
    show_default=True,
    help="Its format.",
)
@spending_options
@candidates_option
@field_options
@json_option
def command(
    index: str | None,
    queries: Path | None,
    split: str,
    groups: Path | None,
    names: tuple[str, ...],
    reranker: str | None,
    prompt: str | None,
    labels: Labels,
    rules: str | None,
    depth: int,
    output: Path,
    format: str,
    chosen_spending: SpendingChoice,
    dry_run: bool,
    candidates: int | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Label candidates by rerankers, language models or rules of your own.

    Candidates are the first hits of queries in the index, as it serves, or the texts of groups
    that are there. Before anything is asked it says how many questions there are and what they
    cost. Answers are kept: the same command goes on where it was stopped.
    """
    if (queries is None) == (groups is None):
        raise click.UsageError("give --groups FILE, or --queries and the --index to search")
    if not names and rules is None:
        raise click.UsageError("give a --teacher, or --rules")
    file = None if rules is None else rules.partition(".py:")[0]
    keep_inputs(output, queries, groups, rules, file and f"{file}.py", *names)
    settings = load_settings(index=index, candidates=candidates, **fields)
    rule = load_rule(rules) if rules is not None else None
    spending = chosen_spending.open(settings)
    teachers = make_teachers(names, spending, reranker=reranker, prompt=prompt)
    if groups is not None:
        source = read_groups(groups)
    else:
        assert queries is not None
        source = _search(settings, queries, split, depth=depth, beside=output, quiet=as_json)
    expected = estimate(source, teachers)
    planned = _meters(expected.teachers)
    if not as_json:
        say(f"{expected.groups:,} queries with {expected.texts:,} texts")
        for line in meter_lines(planned, about=True):
            say(line)
    check_cost(sum(meter.cost for _, meter in planned), chosen_spending.max_cost)
    plan = {
        "queries": expected.groups,
        "texts": expected.texts,
        "estimate": meters_as_json(planned),
    }
    if dry_run:
        if as_json:
            write_json(plan)
        return
    report = Labelled()
    try:
        with show_progress(
            share_of(expected.groups), doing="labelling", quiet=as_json, things="queries"
        ) as advance:
            labelled = label(
                source, teachers, labels=labels, rule=rule, report=report, on_progress=advance
            )
            write_groups(labelled, output, format=format)
    except KeyboardInterrupt:
        say("What was answered is kept; the same command goes on from there.")
        raise
    except ModelError as exc:
        raise RetrieveRerankError(
            f"{exc} (what was answered is kept; the same command goes on)"
        ) from exc
    if groups is None and not report.failed:
        Path(source.name).unlink(missing_ok=True)
    if as_json:
        asked = meters_as_json(_meters(teachers))
        write_json({**plan, **report.to_dict(), "teachers": asked, "output": str(output)})
    else:
        for line in meter_lines(_meters(teachers), about=False):
            say(line)
        say(f"{report.groups:,} queries with {report.texts:,} labelled texts: {output}")
    if report.failed:
        raise RetrieveRerankError(
            f"{report.failed:,} queries could not be labelled, and are left out; the same command"
            f" asks about them again. {'; '.join(report.failures)}"
        )


def _search(
    settings: Settings, queries: Path, split: str, *, depth: int, beside: Path, quiet: bool
) -> GroupSource:
    """Search for the queries, unless their candidates are there already."""
    grades: Qrels = {}
    texts: Mapping[str, str]
    if queries.is_dir():
        known, grades = read_folder(queries, split=split)
        say_judges(folder_judges(queries, splits=[split]))
        texts = {id_: known[id_] for id_ in grades if id_ in known}
    else:
        texts = read_queries(queries)
    with ExitStack() as stack:
        served = with_promoted(settings, index_address(locate(settings)))
        retriever = stack.enter_context(build_retriever(served))
        advance = stack.enter_context(
            show_progress(share_of(len(texts)), doing="searching", quiet=quiet, things="queries")
        )
        return mined_candidates(
            retriever,
            texts,
            grades,
            depth=depth,
            beside=beside,
            users=read_query_field(queries, USER),
            on_progress=advance,
        )


def _meters(teachers: list[Teacher]) -> Meters:
    return [(teacher.name, teacher.meter) for teacher in teachers]
