"""Which weights are trained, and how fast each layer learns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from torch.nn import Linear
from transformers.pytorch_utils import Conv1D

from retrieve_rerank.errors import ConfigError, MissingExtraError
from retrieve_rerank.models.causal.pretrained import silent
from retrieve_rerank.training.trainers.settings import TrainerSettings

_LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")
_VOCABULARY = re.compile(r"embed|\b(?:wte|wpe|shared|lm_head)\b")


def choose_trainable(network: Any, settings: TrainerSettings) -> Any:
    """Freeze what is not trained, or add LoRA's weights; return the network to train."""
    if settings.trainable == "lora":
        return _with_lora(network, settings)
    if isinstance(settings.trainable, int):
        layers = network.config.num_hidden_layers
        if settings.trainable > layers:
            raise ConfigError(f"trainable is {settings.trainable} layers; the network has {layers}")
        first = layers - settings.trainable
        for name, parameter in network.named_parameters():
            parameter.requires_grad = depth(name, layers) > first
    return network


def parameter_groups(network: Any, settings: TrainerSettings) -> list[dict[str, Any]]:
    """Group the weights by what they learn at: decayed or not, and each layer's learning rate.

    The head learns at the full rate, each layer at `layer_decay` of the one after it (Howard and
    Ruder, https://arxiv.org/abs/1801.06146, §3.2). Biases and norms are not decayed.
    """
    layers = network.config.num_hidden_layers
    found: dict[tuple[int, bool], list[Any]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decayed = parameter.dim() > 1
            place = layers + 1 if settings.layer_decay == 1 else depth(name, layers)
            found[place, decayed].append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * settings.layer_decay ** (layers + 1 - place),
            "weight_decay": settings.weight_decay if decayed else 0.0,
        }
        for (place, decayed), parameters in sorted(found.items(), key=lambda each: each[0])
    ]


def depth(name: str, layers: int) -> int:
    """Return 0 for embeddings and for an output over the vocabulary, 1 … `layers` for a layer's
    weight, `layers` + 1 for the head's."""
    layer = _LAYER.search(name)
    if layer:
        return int(layer[1]) + 1
    return 0 if _VOCABULARY.search(name) else layers + 1


def _with_lora(network: Any, settings: TrainerSettings) -> Any:
    if find_spec("peft") is None:
        raise MissingExtraError("trainable = 'lora'", "lora")
    from peft import LoraConfig, TaskType, get_peft_model

    architecture = type(network).__name__
    if architecture.endswith("ForSequenceClassification"):
        task = TaskType.SEQ_CLS  # which trains the head whole
    else:
        seq2seq = getattr(network.config, "is_encoder_decoder", False)
        task = TaskType.SEQ_2_SEQ_LM if seq2seq else TaskType.CAUSAL_LM
    targets = settings.lora_targets
    if targets is not None:
        _check_targets(targets, network)
    config = LoraConfig(
        task_type=task,
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        lora_dropout=0.05,
        target_modules="all-linear" if targets is None else list(targets),
    )
    with silent():
        return get_peft_model(network, config)


def _check_targets(targets: Sequence[str], network: Any) -> None:
    """Raise ConfigError where a target is none of the linear layers within the network, which are
    Conv1D in GPT-2."""
    linear = {
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if isinstance(module, Linear | Conv1D) and _LAYER.search(name)
    }
    unknown = [target for target in targets if target not in linear]
    if unknown:
        raise ConfigError(
            f"lora_targets names {', '.join(unknown)}, which no layer of"
            f" {type(network).__name__} has; its linear layers: {', '.join(sorted(linear))}"
        )
