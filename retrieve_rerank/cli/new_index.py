"""The index that documents go to: opened where there is one, else made."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from retrieve_rerank.base import Connector
from retrieve_rerank.connectors.embedded.folder import SCHEME
from retrieve_rerank.errors import IndexExistsError, IndexMismatchError, IndexNotFoundError
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.network.addresses import redacted
from retrieve_rerank.settings.build import create_index, locate, open_index
from retrieve_rerank.settings.sources import Settings
from retrieve_rerank.text.language import UNKNOWN, Language, detect_language
from retrieve_rerank.types import Document

NO_ENCODER = "none"
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # while another process makes the index
MULTILINGUAL = ("bge-m3", "multilingual-e5-small")
"""Aliases to name to those whose documents are not English."""


def open_or_make(
    settings: Settings, *, encoder: str | None, sample: Sequence[Document], recreate: bool
) -> Connector:
    """Open the index that is set, or make one fit for documents such as `sample`.

    With `recreate`, one that takes its place once it is activated. Raises IndexMismatchError where
    the index has another encoder than the one asked for.
    """
    if recreate:
        return _make(settings, encoder=encoder, sample=sample, recreate=True)
    try:
        connector = open_index(settings)
    except IndexNotFoundError:
        try:
            return _make(settings, encoder=encoder, sample=sample)
        except IndexExistsError as exc:  # another process has made it in the meantime
            connector = _open_soon(settings, exc)
    present = connector.schema().encoder
    if encoder is not None and encoder != (present or NO_ENCODER):
        connector.close()
        raise IndexMismatchError(
            f"the index was made with encoder {present or NO_ENCODER}; got --encoder "
            f"{redacted(encoder)}. Leave that out to add to the index, or delete and make it anew "
            "with --recreate"
        )
    return connector


def _open_soon(settings: Settings, exists: IndexExistsError) -> Connector:
    """Open what another process is just making: servers know the name before the index."""
    for pause_s in _PAUSES_S:
        try:
            return open_index(settings)
        except IndexNotFoundError:
            time.sleep(pause_s)
    raise IndexExistsError(
        f"another process is making this index, and has not done so yet; run the same again "
        f"({exists})"
    ) from exists


def require_embedded(settings: Settings) -> None:
    """Raise a usage error unless the index is one that --recreate can replace."""
    if "://" in locate(settings).url.removeprefix(SCHEME):
        raise click.UsageError("--recreate is for embedded indexes; delete others at their server")


def _make(
    settings: Settings, *, encoder: str | None, sample: Sequence[Document], recreate: bool = False
) -> Connector:
    language = detect_language(f"{document.title} {document.text}" for document in sample)
    if encoder is None and is_foreign(language):
        name = language.name if language.name != UNKNOWN else language.script
        click.echo(
            f"Note: the documents look {name.capitalize()}, which the encoder {DEFAULT_ENCODER} "
            "was not made for: the index is for search by words alone. For search by meaning, "
            f"make it anew with --recreate --encoder {' or '.join(MULTILINGUAL)}",
            err=True,
        )
        encoder = NO_ENCODER
    elif encoder == DEFAULT_ENCODER and is_foreign(language):
        click.echo(
            f"Note: the documents do not look English, which is all that {encoder} was made for; "
            f"{' and '.join(MULTILINGUAL)} know other languages",
            err=True,
        )
    model = None if encoder == NO_ENCODER else load_encoder(encoder or DEFAULT_ENCODER)
    known = language.name if language.name != UNKNOWN else None
    return create_index(settings, encoder=model, language=known, recreate=recreate)


def is_foreign(language: Language) -> bool:
    """Tell whether texts are in another language than the bundled encoder's, English."""
    return language.name not in ("english", UNKNOWN) or language.script not in ("latin", UNKNOWN)
