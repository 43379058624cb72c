"""`rr judge`: graded relevance judgments by a language model, marked as such."""

from __future__ import annotations

from pathlib import Path

import click

from retrieve_rerank.cli.judgments import say_judges
from retrieve_rerank.cli.options import (
    candidates_option,
    field_options,
    index_option,
    json_option,
)
from retrieve_rerank.cli.spending import SpendingChoice, check_cost, check_price, spending_options
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.spending import agreement_lines, meter_lines, meters_as_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import ModelError, RetrieveRerankError
from retrieve_rerank.evaluation.files import (
    USER,
    make_folder_for,
    read_folder,
    read_queries,
    read_query_field,
    write_text,
)
from retrieve_rerank.evaluation.judges import folder_judges, keep_others, read_people
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.metered_model import MeteredModel
from retrieve_rerank.models.metering import Meter
from retrieve_rerank.settings.build import build_retriever, locate
from retrieve_rerank.settings.promoted import index_address, with_promoted
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.training.labelling.judge import (
    agreement,
    count_questions,
    judge,
    marked_lines,
    pool,
)
from retrieve_rerank.types import Qrels


@click.command()
@index_option
@click.option(
    "--queries",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Queries: a file, or a BEIR folder, whose --split people have judged.",
)
@click.option("--split", default="test", show_default=True, help="Which of a BEIR folder.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Use so many of the queries, evenly spread.  [default: all]",
)
@click.option(
    "--model",
    required=True,
    help="Language model: openai:MODEL, ollama:MODEL, a folder or a hub id.",
)
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many hits of a query to judge.",
)
@click.option(
    "--compare",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="How many documents that people judged and the search did not return are judged too, to "
    "see how far the model agrees.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of judgments to write, in TREC's form.",
)
@spending_options
@candidates_option
@field_options
@json_option
def command(
    index: str | None,
    queries: Path,
    split: str,
    limit: int | None,
    model: str,
    depth: int,
    compare: int,
    output: Path,
    chosen_spending: SpendingChoice,
    dry_run: bool,
    candidates: int | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Have a language model judge how relevant hits are, in four grades.

    It is asked as UMBRELA asks, about the first hits of each query, and what it answers is marked
    in the file as a model's: rr eval and rr finetune say so. Where people have judged, Cohen's
    kappa says how far they agree. Answers are kept: the same command goes on where it was stopped.
    """
    settings = load_settings(index=index, candidates=candidates, **fields)
    human: Qrels = {}
    keep_others(output)
    if queries.is_dir():
        texts, judged_before = read_folder(queries, split=split)
        texts = {id_: texts[id_] for id_ in judged_before if id_ in texts}
        human = read_people(queries, split=split)
        say_judges(folder_judges(queries, splits=[split]))
    else:
        texts = read_queries(queries)
    if limit is not None and limit < len(texts):
        ids = list(texts)
        texts = {id_: texts[id_] for id_ in (ids[n * len(ids) // limit] for n in range(limit))}
    spending = chosen_spending.open(settings)
    meter = Meter(spending.price, spending.purse)
    loaded = load_language_model(model)
    check_price(loaded.name, not loaded.tells_logits, spending.price, spending.purse)
    asked = MeteredModel(loaded, spending.store, meter)
    with (
        build_retriever(with_promoted(settings, index_address(locate(settings)))) as retriever,
        show_progress(
            share_of(len(texts)), doing="searching", quiet=as_json, things="queries"
        ) as advance,
    ):
        pooled = pool(
            retriever,
            texts,
            human,
            depth=depth,
            compared=compare,
            users=read_query_field(queries, USER),
            on_progress=advance,
        )
    expected = Meter(spending.price)
    count_questions(pooled, texts, asked.counting(expected))
    if not as_json:
        for line in meter_lines([(loaded.name, expected)], about=True):
            say(line)
    check_cost(expected.cost, chosen_spending.max_cost)
    [planned] = meters_as_json([(loaded.name, expected)])
    if dry_run:
        if as_json:
            write_json({"queries": len(pooled), "estimate": planned})
        return
    make_folder_for(output)  # before anything is paid for
    try:
        with show_progress(
            share_of(len(pooled)), doing="judging", quiet=as_json, things="queries"
        ) as advance:
            judged = judge(pooled, texts, asked, on_progress=advance)
    except KeyboardInterrupt:
        say("What was answered is kept; the same command goes on from there.")
        raise
    except ModelError as exc:
        raise RetrieveRerankError(
            f"{exc} (what was answered is kept; the same command goes on)"
        ) from exc
    write_text(output, "".join(marked_lines(judged.qrels, loaded.name)))
    agreed = agreement(judged.qrels, human)
    grades = [grade for its in judged.qrels.values() for grade in its.values()]
    if as_json:
        write_json(
            {
                "judge": loaded.name,
                "queries": len(judged.qrels),
                "judgments": len(grades),
                "grades": {str(grade): grades.count(grade) for grade in sorted(set(grades))},
                "unread": judged.unread,
                "agreement": agreed,
                "estimate": planned,
                "asked": meters_as_json([(loaded.name, meter)])[0],
                "output": str(output),
            }
        )
    else:
        for line in (*meter_lines([(loaded.name, meter)], about=False), *agreement_lines(agreed)):
            say(line)
        say(f"{len(grades):,} judgments of {len(judged.qrels):,} queries, by a model: {output}")
    if judged.unread:
        raise RetrieveRerankError(
            f"{judged.unread:,} documents have no grade, as the answer could not be read; the same"
            f" command asks about them again. For example {judged.example}"
        )
