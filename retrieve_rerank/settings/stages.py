"""The settings of one stage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, Secret, field_validator
from pydantic_core import PydanticCustomError


class StageSettings(BaseModel):
    """A reranker and its place; further keys are the reranker's own options."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    # Which of them are secret only the reranker knows; a URL may hold a password, too.
    __pydantic_extra__: dict[str, Secret[Any]] = Field(init=False)

    reranker: str = Field(description='Its registered name: "max-sim", "cross-encoder".')
    # Strict, as all options of a stage: a number in quotes is a mistake.
    depth: PositiveInt | None = Field(
        default=None,
        strict=True,
        description="How many of the incoming hits it scores; all where not set.",
    )
    weight: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=1,
        description="Share of its scores in the new order, the rest going to the incoming "
        "scores; where not set, what the reranker recommends.",
    )
    min_probability: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=1,
        description="Hits less likely to be relevant are dropped; for calibrated models.",
    )
    cache: bool | Path = Field(
        default=False,
        description="Whether to keep the scores of pairs of query and text: true for as long as "
        "the process lives, or the file to keep them in.",
    )

    @property
    def options(self) -> dict[str, Any]:
        """What the reranker is configured with."""
        return {name: value.get_secret_value() for name, value in self.__pydantic_extra__.items()}

    @field_validator("cache", mode="before")
    @classmethod
    def _read_cache(cls, value: Any) -> Any:
        if not isinstance(value, bool | str | Path):
            raise PydanticCustomError("cache", "expected true, false or a file")
        return value if isinstance(value, bool) else Path(os.path.expanduser(value))
