"""What can be set, and which sources it comes from.

A setting comes from the caller, else the environment (`RR_TOP_K`), else `rr.toml`, else its
default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from retrieve_rerank.concurrency.deadline import LONGEST_S
from retrieve_rerank.network.addresses import redacted, split_credentials
from retrieve_rerank.settings.file import APP, ENV_PREFIX, FOUND, config_file, read_config_file
from retrieve_rerank.settings.serving import ServerSettings
from retrieve_rerank.settings.stages import StageSettings

_EXPECTED = "SCHEME://HOST:PORT/INDEX, or a folder"

Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]


Address = Annotated[str, PlainSerializer(redacted, when_used="json")]
"""An index's URL or a model's name, which may hold a secret."""


class FusionSettings(BaseModel):
    """How the first stage's rankings become one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["weighted", "rrf", "server-rrf", "server-linear"] = Field(
        default="weighted",
        description="By standardised scores or by ranks, here; or by the server, where its "
        "licence allows.",
    )
    weights: dict[str, float] = Field(
        default_factory=dict, description="Ranking -> its weight; 0 leaves the ranking out."
    )


class FieldSettings(BaseModel):
    """What the fields of an index are for."""

    text_field: str | None = Field(
        default=None,
        description="Field of the index that holds the text; where not set, it is detected.",
    )
    title_field: str | None = Field(
        default=None, description="Field that holds the title; where not set, it is detected."
    )
    vector_field: str | None = Field(
        default=None, description="Field that holds the vectors; where not set, it is detected."
    )
    sparse_field: str | None = Field(
        default=None,
        description="Field that holds learned sparse vectors; where not set, it is detected.",
    )
    encoder: Address | None = Field(
        default=None,
        description="Model that the index's vectors were made with, which queries are encoded "
        "by: an alias, a hub id, a folder, or openai:MODEL, ollama:MODEL, cohere:MODEL, tei:URL; "
        "where not set, the recorded one.",
    )
    sparse_encoder: Address | None = Field(
        default=None,
        description="Model that the learned sparse vectors were made with.",
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show addresses without their secrets."""
        for name, value in super().__repr_args__():
            yield name, redacted(value) if isinstance(value, str) else value


class ConnectionSettings(FieldSettings):
    """How an index is reached, and how it is searched."""

    username: str | None = Field(default=None, description="User at the server.")
    password: SecretStr | None = Field(default=None, description="Password at the server.")
    api_key: SecretStr | None = Field(default=None, description="API key at the server.")
    bearer_token: SecretStr | None = Field(default=None, description="Token at the server.")
    cloud_id: SecretStr | None = Field(default=None, description="Id of an Elastic Cloud.")
    ca_certs: Path | None = Field(
        default=None, description="File of the authorities whose certificates are trusted."
    )
    fingerprint: str | None = Field(
        default=None, description="SHA-256 of the certificate that is trusted, in hexadecimal."
    )
    client_cert: Path | None = Field(
        default=None, description="Qdrant: file of the certificate that this side shows."
    )
    client_key: Path | None = Field(
        default=None, description="File of its key; where not set, it is in the same file."
    )
    grpc: bool | None = Field(default=None, description="Whether to talk to Qdrant by gRPC.")
    grpc_port: int | None = Field(
        default=None, ge=1, le=65535, description="Where not set, the port after that of the URL."
    )
    compress: bool | None = Field(
        default=None,
        description="Whether a server's answers may come compressed; where not set, those of "
        "Qdrant from beyond this machine and private networks.",
    )
    timeout_s: Seconds | None = Field(
        default=None, description="Seconds that one request may take."
    )
    num_candidates: PositiveInt | None = Field(
        default=None, description="Elasticsearch: candidates of a kNN search on each shard."
    )
    hnsw_ef: PositiveInt | None = Field(
        default=None, description="Qdrant and embedded: candidates that a walk of the graph keeps."
    )
    oversample: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How many times more candidates are taken from quantised vectors and "
        "compared again at full precision; 0 for none.",
    )
    fusion: FusionSettings | None = Field(
        default=None, description="How dense and lexical rankings become one."
    )


class IndexSettings(ConnectionSettings):
    """Where an index is, and what opens it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Address = Field(description="URL of the index, or the folder of an embedded one.")

    @model_validator(mode="before")
    @classmethod
    def _take_out_credentials(cls, values: Any) -> Any:
        url = values.get("url") if isinstance(values, Mapping) else None
        if not isinstance(url, str):
            return values
        clean, username, password = split_credentials(url, expected=_EXPECTED)
        # Alone, what stands before the @ is a key.
        found = {"username": username, "password": password} if password else {"password": username}
        return {**{name: value for name, value in found.items() if value}, **values, "url": clean}


class Settings(BaseSettings, ConnectionSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    chosen_config: ClassVar[Path | str | None] = FOUND
    """The file that is read; FOUND: what `config_file` finds; None: nor is the environment."""

    index: Address | None = Field(
        default=None,
        description="Name, folder or URL of the index to use; "
        "where not set, the only one there is.",
    )
    top_k: PositiveInt = Field(default=10, description="Hits to return.")
    candidates: PositiveInt = Field(
        default=100, description="Hits that the first stage fetches for the rerankers to score."
    )
    deadline_s: Seconds | None = Field(
        default=None,
        description="Seconds that a search may take; stages that cannot finish are given up.",
    )
    segment: str = Field(
        default="",
        description="Whose searches these are: a model that was trained for them alone serves, "
        "where there is one, else the one for all.",
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path(APP),
        description="Folder that holds the embedded indexes; "
        "where not set, the user's data folder.",
    )
    indexes: dict[str, IndexSettings] = Field(
        default_factory=dict, description="Name -> where that index is."
    )
    stages: list[StageSettings] | None = Field(
        default=None,
        description="The rerankers, in their order; where not set, MaxSim for an index with token "
        "tensors and none for any other.",
    )
    server: ServerSettings = Field(
        default_factory=ServerSettings, description="What `rr serve` serves, and how."
    )

    @model_validator(mode="before")
    @classmethod
    def _hide_credentials_of_index(cls, values: dict[str, Any]) -> dict[str, Any]:
        index = values.get("index")
        if not isinstance(index, str) or redacted(index) == index:
            return values
        entry = IndexSettings(url=index)
        name = redacted(entry.url)
        return {**values, "index": name, "indexes": {**values.get("indexes", {}), name: entry}}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Name the sources, the strongest first."""
        if cls.chosen_config is None:
            return (init_settings,)
        path = config_file() if cls.chosen_config == FOUND else Path(cls.chosen_config)
        file = InitSettingsSource(settings_cls, read_config_file(path))
        return init_settings, env_settings, file
