"""What follows training: the model's fast form, and its calibration, put into its own folder.

A folder that is finished is loaded as it will be served: on the CPU in its fast form, on a GPU from
its weights. So what is measured of it afterwards is what is promoted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from retrieve_rerank.errors import FidelityError, InputError, MissingExtraError
from retrieve_rerank.evaluation.calibration.calibrating import CalibrationReport, calibrate
from retrieve_rerank.models.checkpoints.calibration import write_calibration
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE, read_folder
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.tuning import FoundCandidates

if TYPE_CHECKING:
    from retrieve_rerank.models.export.exporting import Export

PRECISIONS = ("int8", "bf16", "fp32")
"""From the fastest to the most faithful."""

_SAMPLES = 80  # groups: half calibrate the fast form's ranges, a part of the rest checks it
_FAST = "openvino"


@dataclass(frozen=True, slots=True)
class Finished:
    """What was added to a trained model's folder."""

    export: Export | None
    """The fast form and its fidelity; None where there is none."""
    calibration: CalibrationReport | None
    """None where none was fitted."""
    notes: Sequence[str]
    """Why something was left out, a sentence each."""


def finish(
    model: Path,
    *,
    groups: Iterable[Group],
    calibration: FoundCandidates | None,
    depth: int | None = None,
    precisions: Sequence[str] = PRECISIONS,
    tokens: bool = False,
) -> Finished:
    """Add the fast form and the calibration to a trained model's folder.

    `groups` are of the model's own field: the fast form is fitted and checked on some of them. Of
    `precisions` it takes the first that is faithful. `calibration` are the candidates of queries
    that serve for nothing else; `depth` of each are scored. `tokens` is for an encoder that makes
    tensors: it is checked by MaxSim. Done again, it does both anew.
    """
    notes: list[str] = []
    try:
        made = _add_fast_form(model, groups, precisions, tokens=tokens)
    except OSError as exc:
        raise InputError(
            f"cannot write the fast form of {model}: {exc.strerror or exc}; what was trained is"
            " kept, and the same call goes on from there"
        ) from exc
    except (MissingExtraError, FidelityError, InputError) as exc:
        made = None
        notes.append(f"no fast form: {exc}")
    fitted = None
    if calibration is not None:
        try:
            fitted = _add_calibration(model, calibration, depth)
        except InputError as exc:
            notes.append(f"no calibration: {exc}")
    return Finished(made, fitted, notes)


def _add_fast_form(
    model: Path, groups: Iterable[Group], precisions: Sequence[str], *, tokens: bool
) -> Export:
    """Export what is trained, and move the network into its folder."""
    try:
        exporting = import_module("retrieve_rerank.models.export.exporting")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError("the fast form of a model", "export") from exc
    _remove_fast_form(model)
    with tempfile.TemporaryDirectory(dir=model.parent, prefix=".fast-") as temporary:
        samples = Path(temporary) / "samples.jsonl"
        _write_samples(model, groups, samples)
        for precision in precisions:
            out = Path(temporary) / precision
            try:
                written: Export = exporting.export(
                    str(model), out, precision=precision, calibrate=samples, tokens=tokens
                )
            except FidelityError:
                if precision == precisions[-1]:
                    raise
                continue
            break
        (out / _FAST).rename(model / _FAST)
        exported = read_settings(out / SETTINGS_FILE, OURS)["export"]
    settings = read_settings(model / SETTINGS_FILE, OURS)
    facts = {**exported, "source": model.name, "texts": "training groups"}
    write_json(model / SETTINGS_FILE, {**settings, "export": facts})
    return written


def _remove_fast_form(model: Path) -> None:
    shutil.rmtree(model / _FAST, ignore_errors=True)
    settings = read_settings(model / SETTINGS_FILE, OURS)
    if settings.pop("export", None) is not None:
        write_json(model / SETTINGS_FILE, settings)


def _write_samples(model: Path, groups: Iterable[Group], file: Path) -> None:
    folder = read_folder(model)
    with file.open("w", encoding="utf-8") as lines:
        for group in islice((each for each in groups if each.texts), _SAMPLES):
            query = folder.for_user(group.query, group.user)
            texts = [each.text for each in group.texts]
            lines.write(json.dumps({"query": query, "documents": texts}) + "\n")


def _add_calibration(
    model: Path, candidates: FoundCandidates, depth: int | None
) -> CalibrationReport:
    reranker = CrossEncoder(model)
    report = calibrate(
        candidates.scored({"tuned": reranker}, depth=depth).judged_scores("tuned"), method="platt"
    )
    if report.too_few:
        raise InputError(report.too_few)
    write_calibration(report.calibration, model / SETTINGS_FILE)
    return report
