"""`rr mine`: training groups with hard negatives from the index that serves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal, get_args

import click

from retrieve_rerank.cli.filters import parse_filters
from retrieve_rerank.cli.judgments import (
    exclude_self_option,
    judgment_options,
    read_judgments,
    say_judges,
)
from retrieve_rerank.cli.mining_rules import rule_options
from retrieve_rerank.cli.options import (
    NumberRange,
    candidates_option,
    field_options,
    index_option,
    json_option,
    stage_options,
    with_stage,
)
from retrieve_rerank.cli.views.mining import print_report
from retrieve_rerank.cli.views.progress import share_of, show_progress, show_wait
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, wide_console
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.evaluation.files import USER, read_query_field
from retrieve_rerank.settings.build import build_retriever
from retrieve_rerank.settings.first_stage import FIRST_STAGES, FirstStage, with_first_stage
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.judgments import TRAIN_SPLIT
from retrieve_rerank.training.mining import (
    Mining,
    Rules,
    Sampling,
    Veto,
    fit_veto,
    measure_overlap,
    mine_to_file,
)
from retrieve_rerank.training.mining.scores import SERVED, named_scorer
from retrieve_rerank.training.mining.to_file import describe, recorded_settings
from retrieve_rerank.training.mining.veto import QUERIES, SHARE, Vetoed
from retrieve_rerank.training.queries import Cuts, read_cuts, without_spans


@click.command()
@index_option
@judgment_options
@click.option("--split", default=TRAIN_SPLIT, show_default=True, help="Which judgments of --data.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of groups to write, gzipped if it ends in .gz.",
)
@click.option(
    "--method",
    type=click.Choice([SERVED, *FIRST_STAGES]),
    default=SERVED,
    show_default=True,
    help="Ranking to mine from: all that serves, with its rerankers; or its first stage, as it is "
    "(hybrid), or by vectors or words alone.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Compare each query with all vectors, in place of approximate search; for --method dense.",
)
@click.option(
    "--negatives",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Negatives of a query, at most.",
)
@click.option(
    "--sampling",
    type=click.Choice(get_args(Sampling)),
    default="random",
    show_default=True,
    help="Which of those that the rules admit: any, the first, or one from each part of the "
    "ranking.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="What chance draws by.")
@rule_options
@click.option(
    "--scorer",
    metavar="MODEL",
    help="Cross-encoder whose scores the bounds and margins compare: an alias, a hub id, a folder, "
    f"or '{SERVED}' for the index's own.  [default: the cosines of the dense ranking]",
)
@click.option(
    "--veto",
    metavar="MODEL",
    help="Cross-encoder that keeps texts which it takes for relevant from becoming negatives; "
    "named as for --scorer.",
)
@click.option(
    "--veto-share",
    type=NumberRange(0, 1),
    default=SHARE,
    show_default=True,
    help="A text is vetoed where it scores above so large a share of judged positives; fitted on "
    f"up to {QUERIES} of the queries.",
)
@click.option(
    "--veto-threshold", type=NumberRange(), help="Score from which texts are vetoed, not fitted."
)
@click.option(
    "--vetoed",
    type=click.Choice(get_args(Vetoed)),
    default="leave-out",
    show_default=True,
    help="What becomes of them: left out; kept with their probability of relevance as label; or "
    "made positives.",
)
@click.option(
    "--template",
    default=Template().pattern,
    show_default=True,
    help="What the model to be trained reads of a document, with its fields in braces.",
)
@click.option(
    "--filter",
    "conditions",
    metavar="CONDITION",
    multiple=True,
    help="Mine only from documents that meet it, as for rr search; can be given several times.",
)
@click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on where documents were added to the index or deleted since mining began.",
)
@exclude_self_option
@candidates_option
@stage_options
@field_options
@json_option
def command(
    index: str | None,
    data: Path | None,
    split: str,
    queries: Path | None,
    qrels: Path | None,
    limit: int | None,
    output: Path,
    method: FirstStage | Literal["served"],
    exact: bool,
    negatives: int,
    sampling: Sampling,
    seed: int,
    rules: Rules,
    scorer: str | None,
    veto: str | None,
    veto_share: float,
    veto_threshold: float | None,
    vetoed: Vetoed,
    template: str,
    conditions: tuple[str, ...],
    accept_changes: bool,
    exclude_self: bool,
    candidates: int | None,
    rerank: str | None,
    model: str | None,
    prompt: str | None,
    depth: int | None,
    weight: float | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Mine hard negatives for judged queries from the index that serves.

    Searches for each query as rr search does, with the same fields, filters and depth, and writes
    a group for each: its judged positives, and hits that are not judged relevant. Nothing is
    embedded but the queries, and documents that rr queries cut a query out of. The same command
    goes on where it was stopped; what is mined and how far it has come stands in OUTPUT.mining.
    """
    if exact and method != "dense":
        raise click.UsageError("--exact compares vectors; it needs --method dense")
    filter = parse_filters(conditions) or None
    judged = read_judgments(
        data=data, split=split, queries=queries, qrels=qrels, limit=limit, texts_needed=True
    )
    say_judges(judged.judges)
    asked = data or queries
    users = read_query_field(asked, USER) if asked is not None else {}
    settings = load_settings(index=index, candidates=candidates, **fields)
    settings = with_stage(
        settings, rerank=rerank, model=model, prompt=prompt, depth=depth, weight=weight
    )
    if method != SERVED:
        if SERVED in (scorer, veto):
            raise click.UsageError(
                f"'{SERVED}' as a model needs --method {SERVED}; name the model itself"
            )
        settings = with_first_stage(settings, method)
    with build_retriever(settings) as served:
        cuts = read_cuts(data) if data is not None else Cuts()
        retriever = without_spans(served, judged.queries, cuts)
        models = {
            name: named_scorer(name, retriever) for name in (scorer, veto) if name is not None
        }
        fitted = None
        if veto is not None and veto_threshold is not None:
            fitted = Veto(models[veto], veto_threshold, vetoed)
        elif veto is not None:
            recorded = (recorded_settings(output) or {}).get("veto")
            fitted = Veto.fitted_before(recorded, models[veto], share=veto_share, then=vetoed)
            if fitted is None:
                with show_wait("fitting the veto's threshold …", quiet=as_json):
                    fitted = fit_veto(
                        models[veto],
                        retriever,
                        judged.queries,
                        judged.qrels,
                        share=veto_share,
                        then=vetoed,
                        seed=seed,
                        users=users,
                    )
        mining = Mining(
            retriever=retriever,
            queries=judged.queries,
            qrels=judged.qrels,
            negatives=negatives,
            rules=rules,
            sampling=sampling,
            seed=seed,
            scorer=models[scorer] if scorer is not None else None,
            veto=fitted,
            filter=filter,
            exclude_self=exclude_self,
            exact=exact,
            users=users,
            template=Template(template),
        )
        known = len(judged.qrels) - mining.textless
        try:
            with show_progress(
                share_of(known), doing="mining", quiet=as_json, things="queries"
            ) as advance:
                report = mine_to_file(
                    mining, output, accept_changes=accept_changes, on_progress=advance
                )
        except KeyboardInterrupt:
            say(f"What was mined is kept; the same command goes on with {output}.")
            raise
        settings_used = describe(mining)
        overlap = None
        try:
            with show_wait("comparing with exact search …", quiet=as_json):
                overlap = measure_overlap(mining)
        except RetrieveRerankError as exc:  # the groups are there
            say(f"Note: not compared with exact search: {exc}")
    if as_json:
        write_json(
            {
                **report.to_dict(),
                "overlap": overlap and asdict(overlap),
                "output": str(output),
                "settings": settings_used,
            }
        )
    else:
        print_report(wide_console(), report, veto=fitted, overlap=overlap)
        say(f"Groups: {output}")
