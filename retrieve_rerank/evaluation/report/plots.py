"""The report's pictures, as SVG that stands inline in HTML.

Letters stay text, in the page's font.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.audit.audit import Audit, Measured
from retrieve_rerank.evaluation.audit.grid import walk
from retrieve_rerank.evaluation.evaluate import StageEvaluation
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.types import Qrels

# Okabe and Ito's colours, which colour-blind readers tell apart: https://jfly.uni-koeln.de/color/
STAGE_COLOURS = ("#7a7a7a", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
BETTER, WORSE = "#0072b2", "#d55e00"

DEPTHS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
_SPREAD = 0.005  # of recall, above which a line's points are worth naming
_LEGEND_CHARACTERS = 110  # that a line of the legend has room for
_CURVES = {"nDCG": "nDCG@k", "Recall": "Recall@k"}

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "retrieve-rerank",  # the same picture gets the same element ids every time
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.labelcolor": "#555555",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "grid.color": "#e8e8e8",
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar sign in a model's path is no formula
}


def quality_by_depth(stages: Sequence[StageEvaluation], qrels: Qrels) -> str:
    """Draw nDCG@k and Recall@k of each stage for k up to the longest ranking."""
    lengths = (len(ranking) for stage in stages for ranking in stage.rankings.values())
    longest = max(lengths, default=1)
    depths = [k for k in DEPTHS if k <= longest]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs name every key
        columns = max(1, _LEGEND_CHARACTERS // (max(len(stage.name) for stage in stages) + 6))
        height = 3.4 + 0.2 * math.ceil(len(stages) / columns)
        figure = Figure(figsize=(9.2, height), layout="constrained")
        panels: Sequence[Axes] = figure.subplots(1, len(_CURVES))
        for axes, (measure, label) in zip(panels, _CURVES.items(), strict=True):
            names = [f"{measure}@{k}" for k in depths]
            measures = parse_measures(names)
            for stage, colour in zip(stages, _colours(len(stages)), strict=True):
                scores = score(measures, qrels, stage.rankings)
                means = [sum(scores[name].values()) / len(qrels) for name in names]
                axes.plot(depths, means, marker="o", ms=3.5, lw=1.8, color=colour, label=stage.name)
            axes.set(title=label, xlabel="k, hits from the top", xscale="log", ylim=(0, None))
            axes.set_xticks(depths, [str(k) if k not in (2, 30, 300) else "" for k in depths])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(axis="y")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=columns)
        return _svg(figure, "nDCG and recall of each stage against depth")


def sorted_deltas(deltas: Sequence[float], *, measure: str, title: str) -> str:
    """Draw one bar for each query's difference from the baseline, the greatest gain first."""
    ordered = sorted(deltas, reverse=True)
    edges = range(len(ordered) + 1)
    bound = max(*(abs(delta) for delta in ordered), 1e-3) * 1.08
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs name every key
        figure = Figure(figsize=(9.2, 2.8), layout="constrained")
        axes = figure.subplots()
        for values, colour in (
            ([max(delta, 0.0) for delta in ordered], BETTER),
            ([min(delta, 0.0) for delta in ordered], WORSE),
        ):
            axes.stairs(values, edges, fill=True, color=colour)
        axes.axhline(0, color="#999999", lw=0.8)
        axes.set(
            title=title,
            xlabel=f"{len(ordered):,} queries, sorted",
            ylabel=f"difference in {measure}",
            xlim=(0, len(ordered)),
            ylim=(-bound, bound),
        )
        axes.yaxis.set_major_formatter(FuncFormatter(_signed))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        return _svg(figure, title)


def learning_curve(points: Sequence[tuple[int, float | None, float | None]]) -> str:
    """Draw a training's loss and dev measure against its steps: (step, loss, measure) each."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs name every key
        figure = Figure(figsize=(9.2, 2.8), layout="constrained")
        panels: Sequence[Axes] = figure.subplots(1, 2)
        losses = [(step, loss) for step, loss, _ in points if loss is not None]
        measures = [(step, measure) for step, _, measure in points if measure is not None]
        for axes, drawn, title, colour in zip(
            panels, (losses, measures), ("Loss", "Dev measure"), STAGE_COLOURS[1:3], strict=True
        ):
            steps, values = [step for step, _ in drawn], [value for _, value in drawn]
            axes.plot(steps, values, marker="o", ms=3.5, lw=1.8, color=colour)
            axes.set(title=title, xlabel="steps")
            axes.grid(axis="y")
        return _svg(figure, "Loss and dev measure against the steps of training")


def recall_by_latency(audit: Audit) -> str:
    """Draw what each setting finds against the time it takes, a line for each oversampling."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs name every key
        return _svg(_recall_by_latency(audit), "Recall of each setting against its latency")


def save_recall_by_latency(audit: Audit, path: Path) -> None:
    """Write that picture to a file, whose name says in which format: .png, .svg or .pdf.

    Raises InputError where that fails.
    """
    try:
        with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # its stubs name every key
            _recall_by_latency(audit).savefig(path, dpi=160)
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}; name a file elsewhere") from exc


def _recall_by_latency(audit: Audit) -> Figure:
    width = found.name if (found := walk(audit.knobs)) else ""
    oversample = next((knob.name for knob in audit.knobs if knob.name != width), None)
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    panels = figure.subplots(1, len(audit.top_ks), squeeze=False)[0]
    for axes, top_k in zip(panels, audit.top_ks, strict=True):
        lines: dict[float | None, list[Measured]] = {}
        for each in audit.at(top_k):
            lines.setdefault(each.settings.get(oversample or ""), []).append(each)
        for (value, points), colour in zip(
            lines.items(), _ordered_colours(len(lines)), strict=True
        ):
            shown = "the server's own" if value is None else f"{value:g}"
            label = f"{oversample} {shown}" if oversample else f"by {width or 'exact search'}"
            ms, recalls = [each.ms.p50 for each in points], [each.recall for each in points]
            axes.plot(ms, recalls, marker="o", ms=3.5, lw=1.8, color=colour, label=label)
        best = max(lines.values(), key=lambda points: points[-1].recall)
        spread = max(each.recall for each in best) - min(each.recall for each in best)
        numbered = [each for each in best if width in each.settings and spread > _SPREAD]
        for each in numbered:
            axes.annotate(
                f"{each.settings[width]:g}",
                (each.ms.p50, each.recall),
                xytext=(5, -11),
                textcoords="offset points",
                fontsize=8,
                color="#555555",
            )
        default = audit.default(top_k)
        axes.plot(
            [default.ms.p50],
            [default.recall],
            ls="",
            marker="o",
            ms=10,
            mfc="none",
            mec="#1d1d1d",
            label="as it is set now",
        )
        axes.axhline(audit.target_recall, color=WORSE, lw=1, ls="--", label="wanted")
        axes.margins(0.1)
        axes.set(title=f"Recall@{top_k}", xlim=(0, None))
        numbers = f"; the numbers are {width}" if numbered else ""
        axes.set_xlabel(f"ms, median of a search{numbers}")
        axes.grid(axis="y")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=4)
    return figure


def _ordered_colours(count: int) -> list[str]:
    """Dark to light, for what has an order."""
    shades = (mpl.colormaps["viridis"](0.9 * i / max(count - 1, 1)) for i in range(count))
    return [to_hex(shade) for shade in shades]


def _signed(value: float, _position: int | None) -> str:
    return f"{value:+.2f}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _colours(count: int) -> list[str]:
    return [STAGE_COLOURS[i % len(STAGE_COLOURS)] for i in range(count)]


def _svg(figure: Figure, label: str) -> str:
    """Return the <svg> element alone, named for those who cannot see it."""
    target = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with warnings.catch_warnings():
        # of matplotlib's own font, which only measures: the page's draws the letters
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(target, format="svg", metadata=nothing)
    element = re.sub(r"^.*?(?=<svg )", "", target.getvalue(), count=1, flags=re.DOTALL)
    return element.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
