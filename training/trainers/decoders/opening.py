"""Names to decoders in training."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.causal.checkpoints import find_language_model
from retrieve_rerank.models.causal.layerwise_network import LAYERWISE
from retrieve_rerank.training.trainers.decoders.comparisons import (
    ListwiseNetwork,
    PairwiseNetwork,
)
from retrieve_rerank.training.trainers.decoders.layerwise import LayerwiseNetwork
from retrieve_rerank.training.trainers.decoders.pointwise import (
    LikelihoodNetwork,
    ScalarHeadNetwork,
    YesNoNetwork,
)
from retrieve_rerank.training.trainers.decoders.prompt_network import PromptNetwork
from retrieve_rerank.training.trainers.objective import Objective
from retrieve_rerank.training.trainers.settings import TrainerSettings

FORMS: Mapping[str, type[PromptNetwork]] = {
    form.reranker: form
    for form in (
        YesNoNetwork,
        ScalarHeadNetwork,
        LikelihoodNetwork,
        PairwiseNetwork,
        ListwiseNetwork,
    )
}
"""Name of the reranker -> the form that is trained for it."""


def open_decoder(
    name: str, settings: TrainerSettings, objective: Objective, *, users: bool
) -> PromptNetwork:
    """Load a decoder or an encoder-decoder in the form of the settings' reranker.

    Raises ConfigError for a form that there is none of, for a prompt or a loss that does not go
    with it, and for `users`, of whom none reads; ModelError for networks of other kinds.
    """
    checkpoint = find_language_model(name, device="cpu")
    form = settings.reranker or _form(checkpoint.folder.architecture)
    if form not in FORMS:
        near = get_close_matches(form, FORMS, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"reranker {form!r} is no form that {name} can be trained in{meant} (known:"
            f" {', '.join(FORMS)})"
        )
    if users or settings.query_template:
        raise ConfigError(
            f"{form} reads nothing of users; leave out query_template, and `user` of the groups"
        )
    if checkpoint.folder.architecture == LAYERWISE and form == LayerwiseNetwork.reranker:
        return LayerwiseNetwork(checkpoint, settings, objective)
    return FORMS[form](checkpoint, settings, objective)


def _form(architecture: str) -> str:
    has_head = architecture.endswith("ForSequenceClassification") or architecture == LAYERWISE
    return (ScalarHeadNetwork if has_head else YesNoNetwork).reranker
