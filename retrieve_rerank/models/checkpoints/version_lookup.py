"""Which of the models that were trained here a name or an index means."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import platformdirs

from retrieve_rerank.errors import ModelError, NotPromotedError
from retrieve_rerank.models.checkpoints.versions import (
    NAME,
    NUMBER,
    ModelVersions,
    Promotion,
    models_folder,
)

logger = logging.getLogger(__name__)


def known_models(data_dir: Path) -> list[ModelVersions]:
    """List the models that have versions in a data directory."""
    folders = models_folder(data_dir)
    names = [each.name for each in (folders.iterdir() if folders.is_dir() else ())]
    return [ModelVersions(data_dir, name) for name in sorted(names) if NAME.fullmatch(name)]


def promotion_for(data_dir: Path, index: str, *, segment: str = "") -> Promotion | None:
    """Return the promotion that serves the index at an address; of several the latest.

    One that is for the searches of this `segment` alone comes before those for all. What cannot be
    read is warned of and left out: searches go on without it.
    """
    serving = []
    for versions in known_models(data_dir):
        try:
            found = versions.promotion
        except ModelError as exc:
            logger.warning("what is promoted of %s is not known: %s", versions.name, exc)
            continue
        if found and (its := found.serving) and its.index == index and its.segment in ("", segment):
            serving.append((bool(its.segment), found.since, found))
    return max(serving, key=lambda each: each[:2], default=(False, "", None))[2]


_looked_in: dict[Path, None] = {}


def look_in(data_dir: Path) -> None:
    """Have names be looked up in this data directory too, before those that were said earlier."""
    _looked_in.pop(data_dir, None)
    _looked_in[data_dir] = None


def find_version(name: str) -> Path | None:
    """Return the folder of `NAME`, the promoted version, or `NAME@2`; None for other names.

    Raises ModelNotFoundError, with the versions there are, where NAME is known and that is not;
    NotPromotedError, which is one, where none is promoted.
    """
    model, at, number = name.partition("@")
    if not NAME.fullmatch(model):
        return None
    for data_dir in [*reversed(_looked_in), _default_data_dir()]:
        versions = ModelVersions(data_dir, model)
        if not versions.folder.is_dir():
            continue
        chosen = number if at else str(versions.promoted or "")
        if not chosen:
            raise NotPromotedError(
                f"{model} has these versions, none of which is promoted: {versions.addresses}; "
                f"name one, or promote one: rr models promote {model} VERSION"
            )
        if not NUMBER.fullmatch(chosen) or int(chosen) not in versions.numbers:
            raise versions.unknown(chosen, "" if at else "which is promoted")
        return versions.path(int(chosen))
    return None


def _default_data_dir() -> Path:
    return Path(os.environ.get("RR_DATA_DIR") or platformdirs.user_data_path("retrieve-rerank"))
