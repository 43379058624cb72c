"""Which of its rankings an index is searched by, for work that wants another than serves."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from retrieve_rerank.connectors.hybrid import DENSE, LEXICAL
from retrieve_rerank.settings.build import locate
from retrieve_rerank.settings.schema import FusionSettings
from retrieve_rerank.settings.sources import Settings

FirstStage: TypeAlias = Literal["hybrid", "dense", "lexical"]
"""All rankings that searches use, fused as is set; the one by vectors; or those by words."""

FIRST_STAGES: tuple[FirstStage, ...] = get_args(FirstStage)


def with_first_stage(settings: Settings, which: FirstStage) -> Settings:
    """Search by these rankings alone, and with no reranker.

    An index that has none of them raises ConfigError when it is opened.
    """
    settings = settings.model_copy(update={"stages": []})
    if which == "hybrid":
        return settings
    others = LEXICAL if which == "dense" else (DENSE,)
    fusion = FusionSettings(weights=dict.fromkeys(others, 0.0))
    where = locate(settings).model_copy(update={"fusion": fusion})
    name = settings.index or where.url
    return settings.model_copy(update={"index": name, "indexes": {**settings.indexes, name: where}})
