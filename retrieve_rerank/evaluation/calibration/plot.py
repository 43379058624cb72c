"""The reliability diagram as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.calibration.calibrating import BINS, Reliability

FORMATS = (".png", ".svg", ".pdf")
"""What `path` may end in."""

# Okabe and Ito's colours, which colour-blind readers tell apart: https://jfly.uni-koeln.de/color/
_COLOURS = ("#7a7a7a", "#0072b2")


def check_plot(path: Path) -> None:
    """Raise InputError where no diagram can be written to `path`."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"cannot write the diagram to {path}: expected an ending of {', '.join(FORMATS)}"
        )
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"cannot write the diagram to {path}: no folder to write to")


def plot_reliability(measured: Mapping[str, Reliability], path: Path) -> None:
    """Draw the share of relevant documents against their probability, a line for each name.

    The ending of `path` says as what: .png, .svg, .pdf. Raises InputError where it cannot.
    """
    figure = Figure(figsize=(5.5, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], ls=":", lw=1, color="#999999", label="perfectly calibrated")
    width = 1 / BINS / (len(measured) + 1)
    for number, ((name, each), colour) in enumerate(zip(measured.items(), _COLOURS, strict=False)):
        upper.plot(
            [found.predicted for found in each.bins],
            [found.observed for found in each.bins],
            marker="o",
            ms=4,
            color=colour,
            label=f"{name}: error {each.error:.3f}",
        )
        lefts = [found.low + (number + 0.5) * width for found in each.bins]
        heights = [found.documents for found in each.bins]
        lower.bar(lefts, heights, width, align="edge", color=colour)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is relevant")
    upper.legend(frameon=False, loc="upper left")
    lower.set(xlabel="probability", ylabel="documents", yscale="log")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot write the diagram to {path}: {exc}") from exc
