"""A model that makes tensors, kept as a version with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from retrieve_rerank.evaluation.files import write_text
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.version_record import Record, now, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.training.card import CARD_FILE
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.provenance import Provenance
from retrieve_rerank.training.token_projection.proof import Difference


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
    ).write(model)
    versions = ModelVersions(data_dir, name)
    version = versions.add(model)
    return version, versions.path(version)
