"""What an embedded index is made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.lexical import K1, B
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.text.template import Template

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
