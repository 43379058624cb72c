"""`rr calibrate`: fit a cross-encoder's probabilities of relevance on judged queries."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from retrieve_rerank.cli.judgments import (
    exclude_self_option,
    judgment_options,
    read_judgments,
    say_judges,
)
from retrieve_rerank.cli.options import candidates_option, field_options, index_option, json_option
from retrieve_rerank.cli.views.calibration import print_report
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import InputError, MissingExtraError, ModelError
from retrieve_rerank.evaluation.calibration.calibrating import (
    FEWEST,
    FEWEST_FOR_ISOTONIC,
    calibrate,
    score_candidates,
)
from retrieve_rerank.evaluation.files import FITTING_SPLITS, fitting_split, make_folder_for
from retrieve_rerank.evaluation.report.findings import own_documents
from retrieve_rerank.models.checkpoints.calibration import (
    CALIBRATION_METHODS,
    CalibrationMethod,
    read_calibration,
    write_calibration,
)
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.checkpoints.resolving import ALIASES, local_folder, resolve
from retrieve_rerank.network.addresses import redacted
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings

_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")


@click.command()
@click.option("--model", required=True, help="The cross-encoder: an alias, a hub id or a folder.")
@click.option(
    "--label",
    help="Which of a model's several labels is the score: its number or name, or expectation.",
)
@index_option
@judgment_options
@click.option(
    "--split",
    help=f"Which judgments of --data.  [default: {', '.join(FITTING_SPLITS)}, the first that is "
    "there, else the only one there is]",
)
@candidates_option
@click.option(
    "--method",
    type=click.Choice(CALIBRATION_METHODS),
    default="platt",
    show_default=True,
    help="platt fits two numbers, temperature one; isotonic fits steps, and wants thousands of "
    "documents.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write the calibration to.  [default: the model's own, if it is a folder]",
)
@click.option(
    "--force",
    is_flag=True,
    help=f"Keep the calibration even if it was fitted on fewer than {FEWEST} relevant documents or"
    f" fewer than {FEWEST} others.",
)
@exclude_self_option
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Picture of the reliability diagram to write: .png, .svg or .pdf.",
)
@field_options
@json_option
def command(
    model: str,
    label: str | None,
    index: str | None,
    data: Path | None,
    split: str | None,
    queries: Path | None,
    qrels: Path | None,
    limit: int | None,
    candidates: int | None,
    method: CalibrationMethod,
    output: Path | None,
    force: bool,
    exclude_self: bool,
    plot: Path | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Fit a cross-encoder's probabilities of relevance on judged queries.

    Scores the candidates that the index has for each judged query; those without a judgment
    count as not relevant. Fits on every other query, shows on the rest how probabilities and
    relevance agree, and keeps the calibration with the model: searches then tell each hit's
    probability, and stages can have a min_probability. The order of hits stays as it is.
    """
    file = (output or _own_folder(model)) / SETTINGS_FILE
    make_folder_for(file.with_name(f".{file.name}"))  # beside it, where it is written first
    earlier = _earlier(file)
    plots = None if plot is None else _plots(plot)
    settings = load_settings(index=index, candidates=candidates, **fields)
    if data is not None and split is None:
        split = fitting_split(data)
        say(f"Note: fitting on the {split} judgments of {data}")
    judged = read_judgments(
        data=data, split=split or "", queries=queries, qrels=qrels, limit=limit, texts_needed=True
    )
    say_judges(judged.judges)
    number = int(label) if label is not None and label.isdecimal() else label
    scorer = CrossEncoder(model, label=number)
    share = share_of(sum(1 for query in judged.qrels if query in judged.queries))
    with (
        open_index(settings) as connector,
        show_progress(share, doing="scoring", quiet=as_json, things="queries") as advance,
    ):
        scored = score_candidates(
            scorer,
            connector,
            judged.queries,
            judged.qrels,
            depth=settings.candidates,
            exclude_self=exclude_self,
            on_progress=advance,
        )
    if own := sum(each.own for each in scored):
        say(f"Note: {own_documents(own, len(scored))}")
    report = calibrate(scored, method=method)
    fitted = replace(report.calibration, label=scorer.model.label_score.column)
    report = report._replace(calibration=fitted)
    if report.too_few and not force:
        raise InputError(
            f"the calibration is not kept: {report.too_few}; judge more queries or look deeper,"
            " or keep it all the same with --force"
        )
    if method == "isotonic" and report.documents[0] < FEWEST_FOR_ISOTONIC:
        say(
            f"Warning: isotonic was fitted on {report.documents[0]:,} documents; with fewer than"
            f" {FEWEST_FOR_ISOTONIC:,} it follows chance, and platt is the better choice"
        )
    write_calibration(fitted, file)
    if as_json:
        write_json({**report.as_json(), "folder": file.parent, "replaced": earlier})
    else:
        print_report(report)
        say(f"Calibration: {file}")
    if earlier is not None:
        say(f"It replaced an earlier one: {earlier}")
    if plots is not None:
        plots.plot_reliability({"before": report.before, "after": report.after}, plot)


def _own_folder(model: str) -> Path:
    own = local_folder(model)
    if own is None and model not in ALIASES and not _HUB_ID.fullmatch(model):
        resolve(model)  # which says that there is no such model
    if own is None or not os.access(own, os.W_OK):
        raise InputError(
            f"the calibration of {redacted(model)} cannot be kept with it; give a folder with"
            " --output, and name that to the reranker with its option calibration"
        )
    return own


def _earlier(file: Path) -> str | None:
    """Describe the calibration that is there already."""
    settings = read_settings(file, OURS)
    try:
        found = read_calibration(settings, where=file)
    except ModelError:  # to be replaced, like any other
        return "one that could not be read"
    return None if found is None else str(found)


def _plots(path: Path) -> ModuleType:
    """Load what draws, before the work whose result it is to draw; raise if it will not do."""
    try:
        plots = import_module("retrieve_rerank.evaluation.calibration.plot")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError("--plot", "eval") from exc
    plots.check_plot(path)
    return plots
