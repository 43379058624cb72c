"""What there is to say of a model before it is run.

Opens settings, never weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieve_rerank.models.checkpoints.folder import ModelFolder
from retrieve_rerank.models.checkpoints.projection import read_projection
from retrieve_rerank.models.checkpoints.resolving import ALIASES, is_present
from retrieve_rerank.models.loading import Checkpoint, find_checkpoint
from retrieve_rerank.models.runtimes.openvino import choose_arithmetic


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model on this machine."""

    name: str
    kind: str
    """"encoder", "late interaction", "sparse encoder" or "cross-encoder"."""
    architecture: str
    layers: int | None
    dimension: int | None
    """Length of its vectors, a sparse encoder's vocabulary; None for a cross-encoder."""
    max_tokens: int
    pooling: Sequence[str]
    query_prompt: str
    document_prompt: str
    template: str
    """What it reads of a document."""
    labels: Sequence[str]
    """Names of a cross-encoder's several scores, of which one must be chosen."""
    calibration: str | None
    """How its probabilities were fitted; None where `rr calibrate` has not."""
    runs_on: str
    """Library, device and precision."""
    reason: str
    """Why these files of the checkpoint."""
    fingerprint: str
    licence: str | None
    folder: str
    export: Mapping[str, Any]
    """What `rr models export` recorded; empty for other checkpoints."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A line of `rr models list`."""

    name: str
    kind: str
    repository: str
    about: str
    present: bool
    """Whether it can be loaded without a network."""


def describe(name: str, *, device: str = "auto") -> ModelDescription:
    """Describe an alias, a folder, or a hub id, downloading it if need be."""
    checkpoint = find_checkpoint(name, device=device)
    folder = checkpoint.folder
    return ModelDescription(
        name=name,
        kind=kind_of(folder),
        architecture=folder.architecture or folder.config.get("model_type") or "unknown",
        layers=folder.config.get("num_hidden_layers"),
        dimension=None if folder.labels is not None else _dimension(checkpoint),
        max_tokens=folder.max_tokens,
        pooling=_pooling(checkpoint),
        query_prompt=folder.query_prompt,
        document_prompt=folder.document_prompt,
        template=folder.template.pattern,
        labels=folder.label_names if (folder.labels or 1) > 1 else (),
        calibration=folder.calibration.method if folder.calibration else None,
        runs_on=_runs_on(checkpoint),
        reason=checkpoint.network.reason,
        fingerprint=checkpoint.fingerprint,
        licence=folder.licence,
        folder=str(folder.path),
        export=folder.export,
    )


def kind_of(folder: ModelFolder) -> str:
    """Return a model's kind, as `ModelDescription` has it."""
    if folder.labels is not None:
        return "cross-encoder"
    if folder.splade is not None:
        return "sparse encoder"
    return "late interaction" if folder.late_interaction else "encoder"


def aliases() -> list[Alias]:
    """List the models that have short names."""
    return [
        Alias(name, model.kind, model.repository, model.about, is_present(name))
        for name, model in ALIASES.items()
    ]


def _pooling(checkpoint: Checkpoint) -> Sequence[str]:
    folder = checkpoint.folder
    if folder.splade is not None:
        return (folder.splade.activation, folder.splade.pooling)
    return () if folder.labels is not None or folder.late_interaction else folder.pooling


def _dimension(checkpoint: Checkpoint) -> int:
    folder = checkpoint.folder
    if folder.splade is not None:
        return int(folder.config["vocab_size"])
    projections = [*folder.token_projections, *folder.vector_projections]
    if projections:
        return read_projection(projections[-1]).dimension
    return folder.hidden_size * len(folder.pooling)


def _runs_on(checkpoint: Checkpoint) -> str:
    if checkpoint.network.form == "safetensors":
        return f"torch on {checkpoint.device}"
    return f"OpenVINO on the CPU, {choose_arithmetic(checkpoint.precision)}"
