"""What asking models takes, and took, for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from retrieve_rerank.models.metering import Meter

Meters: TypeAlias = Sequence[tuple[str, Meter]]
"""Models' names, and what each was asked."""


def meters_as_json(meters: Meters) -> list[dict[str, Any]]:
    """Say what each model was asked, as JSON values."""
    return [
        {
            "name": name,
            **meter.used._asdict(),
            "known": meter.known,
            "cost": round(meter.cost, 6),
        }
        for name, meter in meters
    ]


def meter_lines(meters: Meters, *, about: bool) -> Sequence[str]:
    """Say it in a line each; `about` where nothing was asked yet."""
    return [
        f"{name}: {'about ' if about else ''}{meter.used.requests:,} requests,"
        f" {meter.used.input_tokens:,} tokens in and at most {meter.used.output_tokens:,} out"
        + (f", {meter.known:,} answers known" if meter.known else "")
        + (f", costing {'about ' if about else 'at most '}{meter.cost:.4f}" if meter.price else "")
        for name, meter in meters
    ]


def agreement_lines(agreed: Mapping[str, Any]) -> Sequence[str]:
    """Say how far a model agrees with people, where both judged."""
    if not agreed["pairs"]:
        return ["People have judged none of these documents: how far they agree is not known."]
    lines = [
        f"People judged {agreed['pairs']:,} of these documents, {agreed['people_relevant']:,} of"
        f" them relevant; the model says {agreed['model_relevant']:,} (grade 2 or 3).",
        f"Cohen's kappa, relevant or not: {_kappa(agreed['kappa_relevant'])}",
    ]
    if "kappa_grades" in agreed:
        lines.append(
            f"Cohen's kappa of the four grades: {_kappa(agreed['kappa_grades'])}, with quadratic"
            f" weights {_kappa(agreed['kappa_quadratic'])}"
        )
    return lines


def _kappa(value: float | None) -> str:
    return "not defined, as both gave one grade throughout" if value is None else f"{value:.3f}"
