"""Calibrations kept with a model, and what becomes of damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.calibration import (
    Calibration,
    read_calibration,
    write_calibration,
)

PLATT = Calibration("platt", slope=0.5, intercept=-1.0)
ISOTONIC = Calibration("isotonic", scores=[-1.0, 2.0], probabilities=[0.1, 0.9], label=None)


@pytest.mark.parametrize("calibration", [PLATT, ISOTONIC])
def test_what_is_written_is_read_and_other_settings_stay(
    tmp_path: Path, calibration: Calibration
) -> None:
    file = tmp_path / "new" / "retrieve_rerank.json"
    write_calibration(PLATT, file)
    file.write_text(json.dumps({**json.loads(file.read_text()), "template": "{text}"}))
    write_calibration(calibration, file)

    settings = json.loads(file.read_text())
    assert read_calibration(settings, where=file) == calibration
    assert settings["template"] == "{text}"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_probabilities_are_worked_out() -> None:
    assert PLATT([2.0, 4.0, -1e6, 1e6]) == pytest.approx([0.5, 0.7310586, 0.0, 1.0])
    assert ISOTONIC([-5.0, 0.5, 5.0]) == pytest.approx([0.1, 0.5, 0.9])
    assert PLATT([]) == []


@pytest.mark.parametrize(
    "recorded",
    [
        {"method": "magic"},
        {"method": "platt", "slope": "steep"},
        {"method": "platt", "slope": float("nan")},
        {"method": "platt", "base": 2},
        {"method": "platt", "scores": [1], "probabilities": [1]},
        {"method": "isotonic"},
        {"method": "isotonic", "scores": [1, 2], "probabilities": [0.5]},
        {"method": "isotonic", "scores": [2, 1], "probabilities": [0.1, 0.5]},
        {"method": "isotonic", "scores": [1, 2], "probabilities": [0.5, 0.1]},
        {"method": "isotonic", "scores": [1, 2], "probabilities": [0.5, 1.5]},
        [],
        "platt",
    ],
)
def test_a_damaged_calibration_is_an_error_that_names_its_file(recorded: Any) -> None:
    with pytest.raises(ModelError, match=r"^model.json holds a calibration that cannot be"):
        read_calibration({"calibration": recorded}, where=Path("model.json"))


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write the calibration to"):
        write_calibration(PLATT, tmp_path / "file" / "retrieve_rerank.json")
