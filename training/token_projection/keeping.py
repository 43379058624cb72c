"""A model that makes tensors, kept as a version with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCardData

from retrieve_rerank.evaluation.files import write_text
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.version_record import Record, now, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.training.card import CARD_FILE
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.provenance import Provenance
from retrieve_rerank.training.token_projection.proof import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptModel:
    """A model that makes tensors, kept as a version, and whether it is better."""

    name: str
    version: int
    folder: Path
    accepted: bool | None
    """None where the held-out queries do not tell."""
    verdict: Mapping[str, Any]
    """What was measured, and the verdict in words."""
    cache_bytes: int
    """What the kept token vectors take on the disk."""

    @property
    def address(self) -> str:
        """What names it wherever a model is asked for."""
        return f"{self.name}@{self.version}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**{**values, "folder": Path(values["folder"])})


def keep(
    model: Path,
    sentence: str,
    gain: Difference,
    *,
    base: str,
    index: str,
    index_fingerprint: str,
    judged: SplitJudgments,
    settings: Mapping[str, Any],
    looks: int,
    name: str,
    data_dir: Path,
) -> tuple[int, Path]:
    """Make a folder the next version of the model `name`; return its number and where it is.

    `sentence` is the verdict in words. The card names the licence that the base's card named.
    """
    licence = read_folder(model).licence
    front = ModelCardData(
        license=licence or "unknown",
        library_name="sentence-transformers",
        tags=["retrieve-rerank", "max-sim"],
        base_model=base,
        model_name=name,
    )
    write_text(
        model / CARD_FILE,
        f"---\n{front.to_yaml()}\n---\n\n# {name}\n\nAn encoder whose tokens max-sim compares,"
        f" trained from `{base}` for the index `{index}`: {sentence}. Licence:"
        f" {licence or f'unknown, see `{base}`'}.\n",
    )
    write_record(model, Record(now(), sentence, gain.gain, gain.low, gain.high))
    Provenance(
        base=base,
        index=index,
        index_fingerprint=index_fingerprint,
        data=judged.digests(),
        queries=judged.sizes(),
        settings=settings,
        looks_at_test=looks,
    ).write(model)
    versions = ModelVersions(data_dir, name)
    version = versions.add(model)
    return version, versions.path(version)
