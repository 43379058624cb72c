"""What an index records of itself: how it was made, which shard is in use, what its files are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from retrieve_rerank.base import Encoder
from retrieve_rerank.connectors.embedded.inventory import FileState, Inventory
from retrieve_rerank.connectors.embedded.settings import EmbeddedSettings
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.errors import (
    ConfigError,
    IndexCorruptError,
    IndexMismatchError,
    IndexNotFoundError,
)

FORMAT = 4
"""Goes up when older releases could not read what is written. 1 has no inventory, 2 no
`token_encoder`, 3 no `vectors_apart`; an index that has neither is written as 2."""

MANIFEST = "manifest.json"
DRAFT = "manifest.draft.json"
"""The manifest of an index that is being made; it becomes `MANIFEST` when that is complete."""

SHARD = "shard"
"""Folder of the engine's files; an index that replaces another has `shard-2`, and so on."""

_SHARD_NAME = re.compile(rf"{SHARD}(-\d{{1,6}})?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is known of an index without opening the engine's files."""

    settings: EmbeddedSettings
    encoder: EncoderFacts | None
    """None for an index without vectors, searched by BM25 alone."""
    token_encoder: EncoderFacts | None = None
    """What makes the token tensors where that is another; its dimension is a token's."""
    bm25: Bm25 | None = None
    """None until the first documents have come, which tell language and average length."""
    fields: Fields = field(default_factory=dict)
    """May name fields of documents that are no longer there, never lack one."""
    shard: str = SHARD
    replaced: str | None = None
    """The shard whose place this one took; what is left of it is to be removed."""
    inventory: Inventory | None = None
    """The shard's files when it was last closed; None where that has not been recorded yet."""
    writing: bool = True
    """Whether writing has begun since then, so that the files may differ from the inventory."""
    vectors_apart: bool = False
    """Whether the vectors take a pass of `encoder` of their own, as `token_encoder` gives others.
    """
    in_graph: int | None = None
    """What `counted_in_graph` said when the shard was last optimized."""

    def with_token_encoder(self, encoder: Encoder, *, location: str) -> Self:
        """Describe the index as it becomes when `encoder` makes its token tensors.

        Raises ConfigError for an index without vectors.
        """
        own = self.encoder
        if own is None:
            raise ConfigError(
                f"the index at {location} was made without an encoder, for BM25 alone: it has no"
                " token tensors"
            )
        if encoder.fingerprint == own.fingerprint:
            own_tokens = replace(self, token_encoder=None, vectors_apart=False)
            return replace(own_tokens, inventory=None, writing=True)
        [probe] = encoder.encode_documents(["a"])
        return replace(
            self,
            token_encoder=replace(EncoderFacts.of(encoder), dimension=probe.tokens.shape[1]),
            vectors_apart=getattr(encoder, "vectors_of", encoder.fingerprint) != own.fingerprint,
            inventory=None,
            writing=True,
        )

    def save(self, file: Path) -> None:
        """Write so that a crash leaves either the old or the new one."""
        new = file.with_name(f"{file.name}.new")
        with new.open("w", encoding="utf-8") as opened:
            written_as = FORMAT if self.vectors_apart else 3 if self.token_encoder else 2
            content = {"format": written_as, **asdict(self)}
            json.dump(content, opened, ensure_ascii=False, indent=1)
            opened.flush()
            os.fsync(opened.fileno())
        rename(new, file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read; raise IndexNotFoundError where there is none, IndexCorruptError for others."""
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content.pop("format") > FORMAT:
                raise IndexMismatchError(
                    f"the index at {file.parent} was written by a newer release; upgrade "
                    "retrieve-rerank, or make an index in another folder with this one"
                )
            shard, replaced = content.get("shard", SHARD), content.get("replaced")
            _check_names(shard, replaced)
            return cls(
                _settings(content["settings"]),
                _encoder(content["encoder"]),
                _encoder(content.get("token_encoder")),
                Bm25(**content["bm25"]) if content["bm25"] else None,
                content["fields"],
                shard,
                replaced,
                _inventory(content.get("inventory")),
                content.get("writing", True),
                content.get("vectors_apart", False),
                content.get("in_graph"),
            )
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise IndexNotFoundError(
                f"no index at {file.parent}; make one: rr index SOURCE --index {file.parent}"
            ) from exc
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise IndexCorruptError(
                f"{file} cannot be read as an index's ({type(exc).__name__}: {exc}), so that "
                f"nothing at {file.parent} is touched; restore it from a backup, or make an index "
                "in another folder"
            ) from exc


def shards(folder: Path) -> list[Path]:
    """List what looks like a shard in an index's folder."""
    return [entry for entry in folder.iterdir() if _SHARD_NAME.fullmatch(entry.name)]


def rename(old: Path, new: Path) -> None:
    """Put a file in another's place, durably."""
    old.replace(new)
    folder = os.open(new.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _encoder(values: Mapping[str, Any] | None) -> EncoderFacts | None:
    return EncoderFacts(**values) if values else None


def _settings(values: Mapping[str, Any]) -> EmbeddedSettings:
    return EmbeddedSettings(**{**values, "fusion": Fusion(**values["fusion"])})


def _check_names(shard: str, replaced: str | None) -> None:
    # Shards are removed some day: nothing else shall be, and never the one in use.
    for name in (shard, shard if replaced is None else replaced):
        if not _SHARD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no shard's name")
    if shard == replaced:
        raise ValueError(f"{shard} cannot take its own place")


def _inventory(values: Mapping[str, Any] | None) -> Inventory | None:
    if values is None:
        return None
    files = {name: FileState(*map(int, state)) for name, state in values["files"].items()}
    return Inventory(values["documents"], files)
