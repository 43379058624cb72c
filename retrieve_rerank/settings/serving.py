"""What `rr serve` is told: where it listens, and what it serves to whom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
)
from pydantic_core import PydanticCustomError

from retrieve_rerank.settings.stages import StageSettings

LONGEST_REQUEST_S = 600.0


class ModelSettings(StageSettings):
    """A reranker that is served by itself: its options, as a stage has them."""

    reranker: str = Field(default="", description="Where not set, what the model is made for.")


def _as_table(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


def _as_root_path(value: str) -> str:
    if value and not value.startswith("/"):
        raise PydanticCustomError("root_path", "expected a path that begins with /")
    return value.rstrip("/")


ServedModel = Annotated[ModelSettings, BeforeValidator(_as_table)]


class ServerSettings(BaseModel):
    """The table `[server]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen at; others than this machine's own need keys.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    indexes: list[str] | None = Field(
        default=None,
        description="Names of the indexes to serve, the first where a request names none; where "
        "not set, all that rr.toml names and those in the data folder.",
    )
    models: Mapping[str, ServedModel] = Field(
        default_factory=dict,
        description="Name that requests give -> a model, or a table of a stage's options; the "
        "first where a request names none. Where not set, max-sim with the bundled encoder.",
    )
    key: SecretStr | None = Field(
        default=None, description="Key that requests must bring, or several with commas between."
    )
    keys: Path | None = Field(
        default=None,
        description="TOML file of keys with their quotas and filters, see docs/server.md; read "
        "again when it changes.",
    )
    deadline_s: float = Field(
        default=30.0,
        gt=0,
        le=LONGEST_REQUEST_S,
        description="Seconds that any request may take; one may ask for less.",
    )
    max_documents: PositiveInt = Field(
        default=1000, description="Documents in one request to rerank."
    )
    max_body_mb: PositiveInt = Field(default=16, description="Megabytes in a request's body.")
    queue: PositiveInt = Field(
        default=8000,
        description="Documents that all requests under way may have between them; others are "
        "answered with 429.",
    )
    queue_s: float = Field(
        default=0.5,
        gt=0,
        le=LONGEST_REQUEST_S,
        description="Seconds that a request may wait for a cross-encoder that has been overloaded "
        "for ten, or as long as it takes itself; others are answered with 429.",
    )
    root_path: Annotated[str, AfterValidator(_as_root_path)] = Field(
        default="", description="Path below which a proxy serves this server."
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses whose X-Forwarded-For and -Proto are believed, commas between.",
    )
    drain_s: float = Field(
        default=1.0,
        ge=0,
        le=LONGEST_REQUEST_S,
        description="Seconds between SIGTERM, from which on /ready is 503, and the end of "
        "listening.",
    )
