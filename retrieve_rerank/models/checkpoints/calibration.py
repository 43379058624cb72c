"""Scores to probabilities of relevance, as fitted on judged data and kept with a model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from retrieve_rerank.errors import ModelError

CalibrationMethod = Literal["platt", "temperature", "isotonic"]
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising function from raw scores to probabilities.

    Of "platt" and "temperature" it is the logistic function of slope · score + intercept; of
    "isotonic" it runs straight between the points, and level beyond the first and last.
    """

    method: CalibrationMethod
    slope: float = 1.0
    intercept: float = 0.0
    scores: Sequence[float] = ()
    """Where the points of "isotonic" lie, rising."""
    probabilities: Sequence[float] = ()
    """How high they lie, rising."""
    label: int | None = 0
    """Which of a model's labels the scores are of; None is the expectation over them."""

    def __call__(self, scores: Sequence[float]) -> list[float]:
        """Turn raw scores into probabilities."""
        raw = np.asarray(scores, dtype=np.float64)
        found: list[float]
        if self.method == "isotonic":
            found = np.interp(raw, self.scores, self.probabilities).tolist()
        else:
            # By tanh, which does not overflow.
            found = (0.5 + 0.5 * np.tanh((self.slope * raw + self.intercept) / 2)).tolist()
        return found

    def __str__(self) -> str:
        if self.method == "isotonic":
            return f"isotonic, {len(self.scores)} points"
        return f"{self.method}, slope {self.slope:.4g}, intercept {self.intercept:.4g}"

    def as_json(self) -> dict[str, Any]:
        """Say what `read_calibration` reads."""
        if self.method == "isotonic":
            shape: dict[str, Any] = {
                "scores": list(self.scores),
                "probabilities": list(self.probabilities),
            }
        else:
            shape = {"slope": self.slope, "intercept": self.intercept}
        return {"method": self.method, **shape, "label": self.label}


def read_calibration(settings: Mapping[str, Any], *, where: Path) -> Calibration | None:
    """Read the calibration in a model's settings; None where there is none.

    Raises ModelError, naming the file `where`, for one that cannot be used.
    """
    recorded = settings.get("calibration")
    if recorded is None:
        return None
    try:
        calibration = Calibration(**recorded)
        numbers = [calibration.slope, calibration.intercept]
        points = np.array([calibration.scores, calibration.probabilities], dtype=np.float64)
        usable = (
            calibration.method in CALIBRATION_METHODS
            and np.isfinite(np.array(numbers, dtype=np.float64)).all()
            and np.isfinite(points).all()
            and (np.diff(points) >= 0).all()
            and bool(points.size) == (calibration.method == "isotonic")
            and (points[1] >= 0).all()
            and (points[1] <= 1).all()
        )
    except (TypeError, ValueError) as exc:
        raise ModelError(f"{where} holds a calibration that cannot be read: {exc}") from exc
    if not usable:
        raise ModelError(f"{where} holds a calibration that cannot be used; rr calibrate makes one")
    return calibration


def write_calibration(calibration: Calibration, file: Path) -> None:
    """Put a calibration into a file of settings, beside what is in it; raise ModelError."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        text = json.dumps({**settings, "calibration": calibration.as_json()}, indent=2)
        file.parent.mkdir(parents=True, exist_ok=True)
        half_written = file.with_name(f".{file.name}.{os.getpid()}")
        half_written.write_text(text + "\n", encoding="utf-8")
        half_written.replace(file)
    except (OSError, ValueError) as exc:
        raise ModelError(f"cannot write the calibration to {file}: {exc}") from exc
