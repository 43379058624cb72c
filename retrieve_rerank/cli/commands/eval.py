"""`rr eval`: measure an index and its rerankers, or a run file, against judgments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from retrieve_rerank.cli.judgments import (
    FILE,
    Judged,
    exclude_self_option,
    judgment_options,
    read_judgments,
)
from retrieve_rerank.cli.options import (
    candidates_option,
    deadline_option,
    field_options,
    index_option,
    json_option,
    segment_option,
    stage_options,
    with_stage,
)
from retrieve_rerank.cli.outputs import keep_inputs
from retrieve_rerank.cli.views.eval import print_evaluation
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.stage_messages import no_reranker
from retrieve_rerank.cli.views.terminal import say, wide_console
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.compare import compare
from retrieve_rerank.evaluation.evaluate import (
    Evaluation,
    StageEvaluation,
    evaluate,
    evaluate_rankings,
    stage_names,
)
from retrieve_rerank.evaluation.files import (
    USER,
    make_folder_for,
    read_query_field,
    read_run,
    write_runs,
    write_text,
)
from retrieve_rerank.evaluation.measures import DEFAULT_MEASURES, order, parse_measures
from retrieve_rerank.evaluation.report.findings import cautions
from retrieve_rerank.evaluation.report.report import render_report
from retrieve_rerank.pipeline.retriever import FIRST_STAGE, Retriever
from retrieve_rerank.settings.build import build_retriever
from retrieve_rerank.settings.sources import FieldSettings, load_settings

_OF_A_SEARCH = (
    *("index", "candidates", "segment", "deadline_s", "run_out"),
    *("rerank", "model", "prompt", "depth", "weight"),
    *FieldSettings.model_fields,
)


@click.command("eval")
@index_option
@judgment_options
@click.option("--split", default="test", show_default=True, help="Which judgments of --data.")
@click.option("--run", type=FILE, help="Measure this TREC run file; no index is searched.")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    default=DEFAULT_MEASURES,
    show_default=True,
    help="Measure of ir_measures, such as nDCG@20 or P(rel=2)@5; can be given several times. "
    "The first leads the report.",
)
@click.option(
    "--baseline",
    help=f"Stage, or TREC run file, to compare with.  [default: {FIRST_STAGE}]",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    help="Measure only the first hits of each ranking.  [default: all candidates]",
)
@click.option(
    "--run-out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which to write a TREC run file of each stage.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@exclude_self_option
@candidates_option
@segment_option
@stage_options
@deadline_option
@field_options
@json_option
def command(
    index: str | None,
    data: Path | None,
    split: str,
    queries: Path | None,
    qrels: Path | None,
    limit: int | None,
    run: Path | None,
    measures: tuple[str, ...],
    baseline: str | None,
    top_k: int | None,
    run_out: Path | None,
    report: Path | None,
    exclude_self: bool,
    candidates: int | None,
    segment: str | None,
    rerank: str | None,
    model: str | None,
    prompt: str | None,
    depth: int | None,
    weight: float | None,
    deadline_s: float | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Measure an index and its rerankers against judgments.

    Searches for every judged query as `rr search` does, and measures the ranking that left each
    stage. Differences from the baseline are tested for significance.
    """
    if run is not None and (searching := _given(*_OF_A_SEARCH)):
        raise click.UsageError(f"--run measures a file: it takes no {', '.join(searching)}")
    names = [measure.name for measure in parse_measures(measures)]
    judged = read_judgments(
        data=data,
        split=split,
        queries=queries,
        qrels=qrels,
        limit=limit,
        texts_needed=run is None,
    )
    for path in (report, run_out / f"{FIRST_STAGE}.run" if run_out else None):
        if path is not None:
            keep_inputs(path, data, queries, qrels, run, baseline)
            make_folder_for(path)

    def measured(path: Path) -> StageEvaluation:
        return evaluate_rankings(
            path.name,
            order(read_run(path)),
            judged.qrels,
            measures=names,
            top_k=top_k,
            exclude_self=exclude_self,
        )

    if run is not None:
        title = run.name
        rival = measured(_baseline_file(baseline)) if baseline is not None else None
        evaluation = Evaluation(judged.qrels, judged.queries, names, [measured(run)])
    else:
        settings = load_settings(
            index=index,
            segment=segment,
            candidates=candidates,
            deadline_s=deadline_s,
            **fields,
        )
        settings = with_stage(
            settings, rerank=rerank, model=model, prompt=prompt, depth=depth, weight=weight
        )
        baseline = baseline or FIRST_STAGE
        asked = data or queries
        with build_retriever(settings) as retriever:
            title = settings.index or retriever.connector.schema().location
            stages = stage_names(retriever)
            rival = None if baseline in stages else measured(_baseline_file(baseline, *stages))
            for message in no_reranker(settings, retriever):
                say(message)
            evaluation = _search(
                retriever,
                judged,
                names,
                top_k,
                settings.deadline_s,
                exclude_self=exclude_self,
                users=read_query_field(asked, USER) if asked is not None else {},
                quiet=as_json,
            )
        rival = rival or next(stage for stage in evaluation.stages if stage.name == baseline)

    evaluation = replace(evaluation, judges=judged.judges)
    comparisons = compare(evaluation.stages, rival) if rival is not None else []
    if as_json:
        differences = [comparison.to_dict() for comparison in comparisons]
        write_json({**evaluation.to_dict(), "comparisons": differences})
    else:
        print_evaluation(wide_console(), evaluation, baseline=rival, comparisons=comparisons)
    for caution in cautions(evaluation, baseline=rival):
        say(f"Note: {caution}")
    if report is not None:
        html = render_report(evaluation, title=title, baseline=rival, comparisons=comparisons)
        write_text(report, html)
        say(f"Report: {report}")
    if run_out is not None:
        write_runs(run_out, {stage.name: stage.rankings for stage in evaluation.stages})


def _given(*names: str) -> list[str]:
    """Name those of these options that the command line has; the environment may hold others'."""
    context = click.get_current_context()
    return [
        param.opts[0]
        for param in context.command.params
        if param.name in names
        and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]


def _search(
    retriever: Retriever,
    judged: Judged,
    measures: Sequence[str],
    top_k: int | None,
    deadline_s: float | None,
    *,
    exclude_self: bool,
    users: Mapping[str, str],
    quiet: bool,
) -> Evaluation:
    """Evaluate behind a progress bar."""
    known = sum(1 for query in judged.qrels if query in judged.queries)
    with show_progress(
        share_of(known), doing="searching", quiet=quiet, things="queries"
    ) as advance:
        return evaluate(
            retriever,
            judged.queries,
            judged.qrels,
            measures=measures,
            top_k=top_k,
            deadline_s=deadline_s,
            exclude_self=exclude_self,
            users=users,
            on_progress=advance,
        )


def _baseline_file(baseline: str, *stages: str) -> Path:
    path = Path(baseline)
    if not path.is_file():
        stage = f"a stage ({', '.join(stages)}) or " if stages else ""
        raise InputError(f"expected {stage}a TREC run file as --baseline; got {baseline!r}")
    return path
