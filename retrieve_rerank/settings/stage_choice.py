"""One reranker chosen in place of the stages that are set, as `--rerank` and `connect` do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.settings.build import reranker_of
from retrieve_rerank.settings.promoted import promoted_in
from retrieve_rerank.settings.sources import Settings, StageSettings

NO_RERANKER = "none"


def choose_stage(settings: Settings, rerank: str | None, options: Mapping[str, Any]) -> Settings:
    """Put the reranker called `rerank`, "none" for none, in place of the stages that are set.

    Without a name, the options that are not None change the one stage that is set; where none is,
    the model says what reranks. A promoted model keeps its place under another depth or weight, and
    gives it up to all else. Raises InputError, which begins with an option's name.
    """
    changes = {name: value for name, value in options.items() if value is not None}
    promoted = promoted_in(settings.stages)
    if promoted is not None:
        if rerank is None and changes.keys() <= {"depth", "weight"}:
            before = [stage for stage in settings.stages or () if stage is not promoted]
            stages = [*before, promoted.changed(changes)]
            return settings.model_copy(update={"stages": stages})
        settings = settings.model_copy(update={"stages": promoted.instead})
    if rerank == NO_RERANKER:
        if changes:
            raise InputError(f"{next(iter(changes))} needs a reranker; got {rerank} as its name")
        return settings.model_copy(update={"stages": []})
    stage: dict[str, Any] = {}
    if rerank is not None:
        stage["reranker"] = rerank
    elif not changes:
        return settings
    else:
        stage = _one_stage(settings, changes)
    chosen = StageSettings.model_validate({**stage, **changes})
    return settings.model_copy(update={"stages": [chosen]})


def _one_stage(settings: Settings, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stage that is set, without what the changes make useless."""
    model = changes.get("model")
    if settings.stages is None:
        return {"reranker": reranker_of(model)}
    if len(settings.stages) != 1:
        raise InputError(
            f"{next(iter(changes))} needs the name of a reranker: {len(settings.stages)} stages "
            "are configured"
        )
    stage = settings.stages[0].model_dump()
    if model is not None:
        was = str(settings.stages[0].options.get("model", ""))
        if _service(was) != _service(model):  # which the key is not for
            stage = {name: stage[name] for name in stage if name not in ("key", "url")}
    return stage


def _service(model: str) -> str:
    """Return what a model's key is for: `cohere` of `cohere:MODEL`, of a URL all of it."""
    kind, _, served = model.partition(":")
    return model if "://" in served else kind
