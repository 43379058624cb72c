"""Names to networks in training: encoders for cross-encoders, decoders for what prompts ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.training.losses import rankinggpt
from retrieve_rerank.training.trainers.base import KINDS, load_base
from retrieve_rerank.training.trainers.decoders import open_decoder
from retrieve_rerank.training.trainers.network import Network
from retrieve_rerank.training.trainers.objective import Objective, Usable
from retrieve_rerank.training.trainers.pair_network import PairNetwork
from retrieve_rerank.training.trainers.settings import TrainerSettings

Opens: TypeAlias = Callable[..., Network[Any]]
"""What makes a network of a base, as `open_network` does, which it takes the arguments of."""


def open_network(
    name: str, settings: TrainerSettings, objective: Objective, *, users: bool = False
) -> Network[Any]:
    """Load a base in the form that its kind and the settings call for.

    With `users` groups say something of who asks. Raises ConfigError for settings of another kind
    of network, and as `load_base` and `open_decoder` do.
    """
    kind = read_folder(resolve(name, on_gpu=True)).config.get("model_type")
    if kind not in KINDS:
        return open_decoder(name, settings, objective, users=users)
    for_decoders = {
        "reranker": settings.reranker not in (None, PairNetwork.reranker) and settings.reranker,
        "prompt": settings.prompt,
        "loss": ", ".join(objective.token_losses),
    }
    for setting, value in for_decoders.items():
        if value:
            raise ConfigError(
                f"{setting} {value!r} is for decoders; {name} is an encoder of the kind {kind!r}:"
                f" leave {setting} out, or name a decoder as base"
            )
    return PairNetwork(load_base(name, settings, users=users), settings)


def check_goes_with(network: Network[Any], objective: Objective, settings: TrainerSettings) -> None:
    """Raise ConfigError for a loss or a setting that the network's scores are of no use to."""
    if any(part.loss is rankinggpt for part in objective.parts) and not network.mean_log_p:
        raise ConfigError(
            f"rankinggpt learns from the mean log-probability of the query's tokens, which"
            f" {network.reranker} does not score by here; take lce, or llm-query-likelihood with a"
            ' prompt whose aggregate is "mean"'
        )
    if settings.remine and not network.texts_alone:
        raise ConfigError(f"remine is for scores of single texts; {network.reranker} compares them")
    if settings.remine and not network.reads_all:
        raise ConfigError(
            f"remine chooses negatives, of which {objective} learns nothing with"
            f" {network.reranker}: leave it out, or add a loss of scores"
        )


def without_unreadable(usable: Usable, network: Network[Any]) -> Usable:
    """Leave out what the network cannot read, and count it; raise InputError if nothing is left."""
    reasons = [network.lacks(group) for group in usable.groups]
    if not any(reasons):
        return usable
    left = [group for group, reason in zip(usable.groups, reasons, strict=True) if not reason]
    left_out = usable.left_out + Counter(reason for reason in reasons if reason)
    if not left:
        why = ", ".join(f"{n:,} × {reason}" for reason, n in left_out.most_common())
        raise InputError(f"no group that {network.reranker} can be trained on: {why}")
    return replace(usable, groups=left, left_out=left_out)
