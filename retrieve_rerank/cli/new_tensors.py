"""The token tensors that an index is to have: which model makes them, and how they are stored."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from retrieve_rerank.base import (
    Connector,
    Embedder,
    Embedding,
    IndexSchema,
    TensorDtype,
    TensorSettings,
    TensorStore,
)
from retrieve_rerank.cli.new_index import MULTILINGUAL, is_foreign
from retrieve_rerank.connectors.two_encoders import TwoEncoders
from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.indexing.token_tensors import POOLING_FACTOR, TensorStatus, tensor_settings
from retrieve_rerank.models.catalog.embedding_apis import APIS
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import Settings
from retrieve_rerank.text.language import detect_language

EMBEDDED_DTYPE: TensorDtype = "int8"
"""How an embedded index keeps tensors."""

_SAMPLE = 200  # documents that tell the language


def open_store(settings: Settings) -> TensorStore:
    """Open an index that tensors can be added to; raise ConfigError for any other."""
    connector = open_index(settings)
    try:
        return as_store(connector)
    except ConfigError:
        connector.close()
        raise


def as_store(connector: Connector) -> TensorStore:
    """Return an index as one that tensors can be added to; raise ConfigError for any other."""
    if isinstance(connector, TensorStore):
        return connector
    schema = connector.schema()
    if has_its_own(schema):
        raise ConfigError(
            "an embedded index makes its token tensors itself, as documents are indexed; "
            "rr tensors refresh makes them anew"
        )
    raise _without_tensors(schema)


def has_its_own(schema: IndexSchema) -> bool:
    """Tell whether it is an embedded index that makes tensors together with its documents."""
    return schema.connector == "embedded" and schema.token_tensors


def own_status(schema: IndexSchema) -> TensorStatus:
    """Say how the tensors of such an index stand: they are written with the documents."""
    its = schema.details["tensors"]
    settings = TensorSettings(
        encoder=its.get("encoder", schema.encoder),
        fingerprint=its.get("fingerprint", schema.details["fingerprint"]),
        dimension=its.get("dimension", schema.dimension),
        dtype=EMBEDDED_DTYPE,
        pooling_factor=embedded_pooling(schema),
    )
    there = schema.documents
    return TensorStatus(there, present=there, missing=0, stale=0, orphaned=0, settings=settings)


def choose(
    store: TensorStore, *, model: str | None, dtype: TensorDtype | None, pool: int | None
) -> tuple[TextEncoder, TensorSettings]:
    """Load the encoder and settle how tensors are stored.

    What is not given is as the tensors that are there were made; where there are none, the model
    is the index's own encoder, if it runs here, and else the bundled one.
    """
    there = store.tensor_settings()
    encoder = load_encoder(model or (there.encoder if there else _default_model(store)))
    settings = tensor_settings(
        encoder,
        dtype=dtype or (there.dtype if there else store.tensor_dtype),
        pooling_factor=pool or (there.pooling_factor if there else POOLING_FACTOR),
    )
    if there and there.fingerprint == settings.fingerprint:  # a model has several names
        settings = replace(settings, encoder=there.encoder)
    return encoder, settings


class Made(NamedTuple):
    """How an index's token tensors are made, or would be."""

    serving: TextEncoder
    """Whose tokens they are."""
    encoder: TextEncoder
    """The same, or what it was made from by projecting the tokens, which have all dimensions."""
    dtype: TensorDtype
    pooling_factor: int


def made(connector: Connector) -> Made:
    """Tell how the tensors of an index are made; raise ConfigError where it can have none."""
    if isinstance(connector, TensorStore):
        encoder, settings = choose(connector, model=None, dtype=None, pool=None)
        return _made(encoder, settings.dtype, settings.pooling_factor)
    schema = connector.schema()
    factor = embedded_pooling(schema)
    if not isinstance(connector, Embedding):
        raise ConfigError(f"{schema.location} does not tell its encoder")
    return _made(connector.embedder(), EMBEDDED_DTYPE, factor)


def embedded_pooling(schema: IndexSchema) -> int:
    """Tell how many tokens are averaged in an embedded index; ConfigError where it has none."""
    if not schema.token_tensors:
        raise _without_tensors(schema)
    factor: int = schema.details.get("tensors", {}).get("pooling_factor", POOLING_FACTOR)
    return factor


def _without_tensors(schema: IndexSchema) -> ConfigError:
    if schema.connector != "embedded":
        return ConfigError(f"an index of {schema.connector} cannot be given token tensors")
    return ConfigError(
        f"{schema.location} has no token tensors: it was made for search by words alone, as it is "
        "by --encoder none, and where documents do not look English. Make it anew: rr index SOURCE "
        f"--index {schema.location} --recreate --encoder MODEL, such as {DEFAULT_ENCODER} for "
        f"English, {' or '.join(MULTILINGUAL)} for other languages"
    )


def _made(encoder: Embedder, dtype: TensorDtype, pooling_factor: int) -> Made:
    if isinstance(encoder, TwoEncoders):
        encoder = encoder.tokens
    if not isinstance(encoder, TextEncoder):
        raise ConfigError(f"{encoder.name} gives no vectors of tokens")
    return Made(encoder, _whole(encoder), dtype, pooling_factor)


def _whole(encoder: TextEncoder) -> TextEncoder:
    of = encoder.folder.vectors_of
    if not of:
        return encoder
    whole = load_encoder(of["name"])
    if whole.fingerprint != of["fingerprint"]:
        raise ModelError(
            f"{encoder.name} was made from {of['name']} (fingerprint {of['fingerprint']}); what is "
            f"found under that name now has fingerprint {whole.fingerprint}"
        )
    return whole


def _default_model(store: TensorStore) -> str:
    own = store.schema().encoder
    if own is not None and own.partition(":")[0] not in APIS:
        return own
    language = detect_language(
        f"{each.title} {each.text}" for each in islice(store.scan(), _SAMPLE)
    )
    if is_foreign(language):
        raise ConfigError(
            f"the documents do not look English, which is all that {DEFAULT_ENCODER} was made "
            f"for; choose a model with --model, such as {' or '.join(MULTILINGUAL)}"
        )
    return DEFAULT_ENCODER
