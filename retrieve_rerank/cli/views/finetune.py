"""A fine-tuning run for people at a terminal: the plan, what was mined, the curve, the proof."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from math import inf
from pathlib import Path

from rich.table import Table

from retrieve_rerank.cli.views.mining import print_report, veto_lines
from retrieve_rerank.cli.views.progress import duration
from retrieve_rerank.cli.views.proof import print_proof
from retrieve_rerank.cli.views.terminal import say, wide_console, write, write_rows
from retrieve_rerank.cli.views.watching import TerminalWatch
from retrieve_rerank.errors import shown
from retrieve_rerank.training.doubtful import Doubtful
from retrieve_rerank.training.finetuning import Finetuned, Place, Plan
from retrieve_rerank.training.finetuning.folding import Fold, Procedure
from retrieve_rerank.training.finetuning.run_folder import DOUBTFUL_FILE
from retrieve_rerank.training.finishing import Finished
from retrieve_rerank.training.mining import CrossFitted, Mined, Veto
from retrieve_rerank.training.trainers import Progress, Trained
from retrieve_rerank.training.trainers.sweep import Swept

_EXAMPLES = 3


class Terminal(TerminalWatch):
    """Show a run as it goes; with `quiet` only what a person must know."""

    def __init__(self, *, quiet: bool, kept_in: Path) -> None:
        """Show what is kept in the folder `kept_in` of a model's versions."""
        super().__init__(quiet=quiet)
        self._kept_in = kept_in
        self._measured: float | None = None
        self._planned = False

    def tell(self, told: object) -> None:
        """Print what is told, by its kind."""
        if isinstance(told, Progress):
            self._curve(told)
        elif not self._quiet:
            if isinstance(told, Finetuned) and not self._planned:
                write(
                    "This has been done before, with the same data and settings. What came of it:"
                )
            _print(told)
            if isinstance(told, Plan):
                self._planned = True
                write(f"The model is kept in {self._kept_in}; it serves if it proves better.\n")

    def _curve(self, told: Progress) -> None:
        if told.measure is None or told.measure == self._measured or self._quiet:
            return
        self._measured = told.measure
        say(f"step {told.step:,}: loss {told.loss:.3f}, dev nDCG@10 {told.measure:.4f}")


@singledispatch
def _print(told: object) -> None:
    raise TypeError(f"a view for {type(told).__name__} is missing")


@_print.register
def _(plan: Plan) -> None:
    split = ", ".join(f"{count:,} {name}" for name, count in plan.splits.items())
    parts = ", ".join(
        f"{what} {duration(seconds)}" for what, seconds in plan.seconds.items() if seconds
    )
    times = f", {plan.folds + 1} times" if plan.folds else ""
    rate = f"{plan.pairs_per_s:.1f}/s"
    write_rows(
        [
            ("index", plan.index),
            ("starts from", f"{plan.base} (licence: {plan.licence or 'unknown'})"),
            ("queries", split),
            ("mining", f"negatives for {plan.mined_queries:,} queries")
            if plan.mined_queries
            else ("groups", "as they are given"),
            *_folds(plan),
            *_sweep(plan),
            ("training", f"{plan.steps:,} steps{times}, {plan.pairs:,} pairs at {rate}"),
            ("reranking", f"at most {plan.depth} hits of a query"),
            ("time", f"about {duration(plan.total_s)}: {parts}"),
        ]
    )


def _folds(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.folds:
        yield (
            "judged by",
            f"{plan.folds} folds, as few queries can be held out: so many trainings judge the"
            " procedure, and one more, on all queries, makes the model",
        )


@_print.register
def _(fold: Fold) -> None:
    write(f"Fold {fold.number} of {fold.of}: {len(fold.test):,} queries are held out.")


@_print.register
def _(procedure: Procedure) -> None:
    write(
        f"All folds are measured. The model is trained on all queries, for {procedure.steps:,}"
        " steps, the median of the folds' best."
    )
    write("")


def _sweep(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.sweep_steps:
        yield "tries", f"learning rates, by trainings of {plan.sweep_steps:,} steps and more"


@_print.register
def _(veto: Veto) -> None:
    for line in veto_lines(veto):
        write(line)
    write("")


@_print.register
def _(both: CrossFitted) -> None:
    for veto in both.vetoes:
        _print(veto)


@_print.register
def _(mined: Mined) -> None:
    print_report(wide_console(), mined, veto=None)
    write("")


@_print.register
def _(swept: Swept) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("learning rate", overflow="fold")
    for number in range(len(swept.rounds)):
        table.add_column(f"dev nDCG@10, round {number + 1}", justify="right", overflow="fold")
    for rate in swept.rounds[0]:
        values = [each[rate] for each in swept.rounds if rate in each]
        table.add_row(
            f"{rate:g}",
            *("stopped" if value == -inf else f"{value:.4f}" for value in values),
            style="bold" if rate == swept.settings.learning_rate else "",
        )
    wide_console().print(table)
    write("")


@_print.register
def _(trained: Trained) -> None:
    figures = (
        f"Trained {trained.steps:,} steps with {trained.loss}, {trained.pairs_per_s:.1f} pairs/s"
    )
    write(f"{figures} ({trained.description}).")
    curve = [(p.step, p.measure) for p in trained.curve if p.measure is not None]
    if curve:
        write("Dev nDCG@10: " + ", ".join(f"{value:.4f} at {step:,}" for step, value in curve))
    for reason, count in trained.left_out.items():
        write(f"Left out: {count:,} {reason}")
    for message in (*trained.warnings, *([trained.stopped] if trained.stopped else [])):
        say(f"Note: {message}")
    write("")


@_print.register
def _(finished: Finished) -> None:
    if finished.export is not None:
        write(f"Fast form: {finished.export.precision}, whose scores agree with the weights'.")
    if finished.calibration is not None:
        write(f"Calibrated on {sum(finished.calibration.queries):,} queries.")
    for note in finished.notes:
        say(f"Note: {note}")
    write("")


@_print.register
def _(doubtful: Doubtful) -> None:
    if doubtful.note:
        say(f"Note: {doubtful.note}")
    if not doubtful.positives:
        return
    write(
        f"Probably wrong: {doubtful.count:,} of {doubtful.positives:,} training positives, which"
        f" the trained model and {doubtful.other} both score no higher than most negatives."
    )
    for each in doubtful.found[:_EXAMPLES]:
        write(f"  {shown(each.query)}: {shown(each.text)}")
        write(f"    {each.trained:.3f} by the trained model, {each.other:.3f} by {doubtful.other}")
    write("")


@_print.register
def _(place: Place) -> None:
    tuned = place.tuned
    after = f", after {place.kept} of today's stages" if place.kept else ""
    if place.deepest is not None:
        write(f"Hits that fit into what a search may take: {place.deepest}.")
    write(
        f"Chosen on dev: depth {tuned.depth}, weight {tuned.weight:g}{after}"
        f" (nDCG@10 {tuned.value:.4f})."
    )
    write("")


_print.register(print_proof)


@_print.register
def _(done: Finetuned) -> None:
    write(f"Verdict: {done.sentence}.")
    for each in done.advice:
        write(f"To try: {each}.")
    if done.promoted:
        write(
            f"Promoted: {done.name}@{done.version} serves this index from now on. rr models"
            f" rollback {done.name} goes back."
        )
    else:
        write(
            f"Kept as {done.name}@{done.version}; searches are as they were. rr models promote"
            f" {done.name} {done.version} uses it all the same."
        )
    write(f"Report, with examples: {done.report}")
    if done.doubtful.count:
        write(f"Training positives to look at: {done.report.with_name(DOUBTFUL_FILE)}")
