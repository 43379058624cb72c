"""`rr search`: search an index and rerank what it finds."""

from __future__ import annotations

from functools import partial

import click

from retrieve_rerank.cli.filters import parse_filters
from retrieve_rerank.cli.options import (
    candidates_option,
    deadline_option,
    field_options,
    index_option,
    json_option,
    segment_option,
    stage_options,
    top_k_option,
    with_stage,
)
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.stage_messages import no_reranker, stage_messages
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.pipeline.result_json import result_as_json
from retrieve_rerank.settings.build import build_retriever, open_index
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.text.language import detect_language

LEAST_TIMEOUT_S = 1.0
"""For a request that opens the index, however short a search is to be: connecting takes a while."""


@click.command()
@click.argument("query")
@index_option
@top_k_option
@candidates_option
@segment_option
@stage_options
@click.option(
    "--filter",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Only documents whose metadata are so: FIELD=VALUE, FIELD!=VALUE, FIELD>=BOUND (or >, <=, "
    "<; numbers or dates), FIELD=* (any value), FIELD!=* (none). Given several times, all must "
    "hold, but of several FIELD=VALUE of one field any; 'THIS | THAT' is either.",
)
@click.option(
    "--user",
    metavar="TEXT",
    help="What is known of who asks (a profile, past clicks), for a model that was trained to "
    "read it.",
)
@deadline_option
@field_options
@click.option("--explain", is_flag=True, help="Show what each stage did to each hit.")
@json_option
def command(
    query: str,
    index: str | None,
    top_k: int | None,
    candidates: int | None,
    segment: str | None,
    rerank: str | None,
    model: str | None,
    prompt: str | None,
    depth: int | None,
    weight: float | None,
    conditions: tuple[str, ...],
    user: str | None,
    deadline_s: float | None,
    explain: bool,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Search an index and rerank what it finds.

    Shows for each hit its rank after reranking, its rank before, its score, and the part of its
    text that matches best. Scores compare within one search, and among the hits that the same
    stage scored last.
    """
    settings = load_settings(
        index=index,
        segment=segment,
        top_k=top_k,
        candidates=candidates,
        deadline_s=deadline_s,
        **fields,
    )
    settings = with_stage(
        settings, rerank=rerank, model=model, prompt=prompt, depth=depth, weight=weight
    )
    filter = parse_filters(conditions)
    # A server that is stalled is not to be waited for longer while its index is opened.
    given = settings.deadline_s
    timeout_s = None if given is None else max(given, LEAST_TIMEOUT_S)
    with build_retriever(settings, partial(open_index, timeout_s=timeout_s)) as retriever:
        schema = retriever.connector.schema()
        result = retriever.search(
            query,
            top_k=settings.top_k,
            filter=filter,
            deadline_s=settings.deadline_s,
            user=user,
        )
        for note in schema.notes:
            say(f"Note: {note}")
        for message in stage_messages(result, retriever.stages):
            say(message)
        for message in no_reranker(settings, retriever):
            say(message)
        if as_json:
            write_json(result_as_json(result, stages=retriever.stages))
        else:
            # Loading rich takes a tenth of a second, for which --json need not wait.
            from retrieve_rerank.cli.views.hits import print_result

            texts = (hit.document.text for hit in result)
            language = schema.language or detect_language(texts).name
            print_result(result, language=language, explain=explain)
