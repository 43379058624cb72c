"""Weights, gradients and the optimizer's states divided among processes, as accelerate was told."""

from __future__ import annotations

import os
from typing import Any

from retrieve_rerank.errors import ConfigError

_ASKED_BY = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}


def asked_sharding() -> str | None:
    """Return what `accelerate launch` says in the environment; None where weights stay whole."""
    for variable, name in _ASKED_BY.items():
        if os.environ.get(variable, "").lower() == "true":
            return name
    return None


def sharding(state: Any) -> str | None:
    """Return how accelerate's state divides; None where each process has everything.

    Raises ConfigError for what cannot be trained or saved so.
    """
    deepspeed = getattr(state, "deepspeed_plugin", None)
    if deepspeed is not None:
        _check_zero(deepspeed)
        return f"DeepSpeed ZeRO-{deepspeed.zero_stage}"
    fsdp = getattr(state, "fsdp_plugin", None)
    if fsdp is not None:
        _check_fsdp(fsdp)
        return "FSDP"
    if asked_sharding():
        raise ConfigError(
            f"{asked_sharding()} was asked for, and accelerate divides nothing here: it does so"
            " among several processes on GPUs; on CPUs, torchrun trains with whole weights in each"
        )
    return None


def divides_weights(kind: str | None) -> bool:
    """Whether no process has all weights."""
    return kind in ("FSDP", "DeepSpeed ZeRO-3")


def _check_fsdp(plugin: Any) -> None:
    if plugin.fsdp_version != 2:
        raise ConfigError(
            f"fsdp_version is {plugin.fsdp_version}; training takes 2, as in"
            " deploy/accelerate/fsdp.yaml"
        )
    if plugin.cpu_ram_efficient_loading:
        raise ConfigError(
            "fsdp_cpu_ram_efficient_loading is on, by which only the first process would read the"
            " base; each has to look at it: set it to false"
        )


def _check_zero(plugin: Any) -> None:
    config = plugin.deepspeed_config.get("zero_optimization", {})
    if plugin.zero_stage == 3 and not config.get("stage3_gather_16bit_weights_on_model_save"):
        raise ConfigError(
            "ZeRO-3 without stage3_gather_16bit_weights_on_model_save (zero3_save_16bit_model),"
            " without which there would be no model in the end: set it to true"
        )
