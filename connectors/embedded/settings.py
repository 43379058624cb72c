"""What an embedded index is made with, and the manifest that records it.

Knows nothing of the engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.lexical import K1, B, Bm25
from retrieve_rerank.errors import (
    ConfigError,
    IndexCorruptError,
    IndexMismatchError,
    IndexNotFoundError,
)
from retrieve_rerank.template import Template

FORMAT = 2
"""Goes up when older releases could not read what is written."""

MANIFEST = "manifest.json"

TensorStorage = Literal["float32", "float16", "turbo8"]


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """How an embedded index analyses, stores and ranks; fixed when it is created."""

    language: str | None = None
    """Of the documents, as `detect_language` names it; None tells it from the first ones."""
    k1: float = K1
    b: float = B
    template: str = Template().pattern
    """What is indexed of a document."""
    pooling_factor: int = 2
    """Token vectors that are merged into one, on average."""
    tensor_storage: TensorStorage = "turbo8"
    """How a number of a token vector is kept: 4 bytes, 2 bytes, or Qdrant's 8-bit TurboQuant."""
    fusion: Fusion = field(default_factory=Fusion)

    def __post_init__(self) -> None:
        if self.tensor_storage not in get_args(TensorStorage):
            raise ConfigError(
                f"unknown tensor_storage {self.tensor_storage!r}; "
                f"known: {', '.join(get_args(TensorStorage))}"
            )
        if self.pooling_factor < 1:
            raise ConfigError(f"pooling_factor must be at least 1; got {self.pooling_factor}")
        if self.k1 < 0:
            raise ConfigError(f"k1 must not be negative; got {self.k1}")
        if not 0 <= self.b <= 1:
            raise ConfigError(f"b must lie between 0 and 1; got {self.b}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is known of an index without opening the engine's files."""

    settings: EmbeddedSettings
    encoder: EncoderFacts | None
    """None for an index without vectors, searched by BM25 alone."""
    bm25: Bm25 | None = None
    """None until the first documents have come, which tell language and average length."""
    fields: Fields = field(default_factory=dict)
    """May name fields of documents that are no longer there, never lack one."""

    def save(self, folder: Path) -> None:
        """Write to `folder` so that a crash leaves either the old or the new one."""
        draft = folder / f"{MANIFEST}.new"
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **asdict(self)}, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read from `folder`; raise IndexNotFoundError where there is none."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if content.pop("format") > FORMAT:
                raise IndexMismatchError(
                    f"the index at {folder} was written by a newer release; upgrade "
                    "retrieve-rerank, or make the index anew with this one"
                )
            return cls(
                _settings(content["settings"]),
                EncoderFacts(**content["encoder"]) if content["encoder"] else None,
                Bm25(**content["bm25"]) if content["bm25"] else None,
                content["fields"],
            )
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise IndexNotFoundError(
                f"no index at {folder}; make one: rr index SOURCE --index {folder}"
            ) from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise IndexCorruptError(
                f"{folder / MANIFEST} cannot be read ({exc}); restore it from a backup, or "
                "delete the folder and make the index anew"
            ) from exc


def _settings(values: Mapping[str, Any]) -> EmbeddedSettings:
    return EmbeddedSettings(**{**values, "fusion": Fusion(**values["fusion"])})
