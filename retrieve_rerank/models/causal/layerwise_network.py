"""MiniCPM decoders with a linear head after each of their upper layers, from which one may be read.

Needs the extra `torch`. The network is Granite's of transformers, which has the three scales of
MiniCPM under other names; the checkpoint's own code is not run.
"""

from __future__ import annotations

import math
import re
from typing import Any

from safetensors.torch import load_file
from torch.nn import Linear, ModuleList
from transformers import GraniteConfig, GraniteModel, GranitePreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification

from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.models.causal.checkpoints import load_network
from retrieve_rerank.models.causal.pretrained import loading
from retrieve_rerank.models.loading import Checkpoint

LAYERWISE = "LayerWiseMiniCPMForCausalLM"
"""The architecture that such a checkpoint records."""

DEFAULT_LAYERS = 28
"""Of 40, as in https://huggingface.co/BAAI/bge-reranker-v2-minicpm-layerwise#usage."""

_AS_IN_GRANITE = (
    *("vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings"),
    *("num_attention_heads", "num_key_value_heads", "attention_bias", "hidden_act"),
    *("rms_norm_eps", "rope_theta"),
)


class _Network(  # type: ignore[no-untyped-call]  # transformers' own
    GenericForSequenceClassification, GranitePreTrainedModel
):
    """A decoder called `model`, and a linear layer called `score` over its last state."""

    # Layers above those that are read, and the other heads.
    _keys_to_ignore_on_load_unexpected = [r"^model\.layers\.", r"^lm_head\."]  # noqa: RUF012


def load_layerwise(checkpoint: Checkpoint, layers: int | None, *, threads: int | None) -> Any:
    """Load a checkpoint's first layers, its final norm and the head that it has for them.

    The layers above are neither read nor kept. None is DEFAULT_LAYERS, or all where there are
    fewer. Raises ConfigError where the checkpoint has no head after so many layers.
    """
    given = checkpoint.folder.config
    total = int(given.get("num_hidden_layers") or 0)
    layers = min(DEFAULT_LAYERS, total) if layers is None else layers
    config = _config(checkpoint, layers)
    head = f"lm_head.{layers - int(given['start_layer'])}" if config.head_multi else "lm_head"
    renamed = {"^" + re.escape(f"{head}.linear_head."): "score."}
    return load_network(checkpoint, _Network, threads=threads, config=config, renamed=renamed)


class LayerwiseForSequenceClassification(  # type: ignore[no-untyped-call]  # transformers' own
    GranitePreTrainedModel
):
    """A decoder called `model`, and linear heads called `score`: one for all layers, or each one.

    Its first head is for the layer `start`, the last for the whole network.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = GraniteModel(config)
        self.score = ModuleList(
            [Linear(config.hidden_size, 1, bias=False) for _ in range(config.heads)]
        )
        self.post_init()  # type: ignore[no-untyped-call]  # its own

    def get_decoder(self) -> Any:
        """Return what the heads are on top of."""
        return self.model


def load_all_layers(checkpoint: Checkpoint) -> Any:
    """Load a checkpoint with all of its layers and heads in float32, for training.

    Raises ModelError where it is not as the published one.
    """
    config = _config(checkpoint, int(checkpoint.folder.config.get("num_hidden_layers") or 0))
    weights: dict[str, Any] = {}
    for file in sorted(checkpoint.folder.path.glob("model*.safetensors")):
        weights |= {_NAMED.sub(_ours, name): each for name, each in load_file(file).items()}
    with loading(checkpoint.folder.path):
        network: Any = LayerwiseForSequenceClassification(config)
        network.load_state_dict(weights)
    return network.float().eval()


def published_weights(network: Any) -> dict[str, Any]:
    """Return the weights of `load_all_layers` by the names that the checkpoint has them under."""
    head = r"lm_head.\1.linear_head." if network.config.head_multi else "lm_head.linear_head."
    return {_SCORE.sub(head, name): each for name, each in network.state_dict().items()}


_NAMED = re.compile(r"^lm_head\.(?:(\d+)\.)?linear_head\.")
_SCORE = re.compile(r"^score\.(\d+)\.")


def _ours(named: re.Match[str]) -> str:
    return f"score.{named[1] or 0}."


def _config(checkpoint: Checkpoint, layers: int) -> Any:
    """Return the configuration of a checkpoint's first layers; raise as `load_layerwise` does."""
    given = checkpoint.folder.config
    try:
        start, total = int(given["start_layer"]), int(given["num_hidden_layers"])
        if not start <= layers <= total:
            raise ConfigError(
                f"{checkpoint.name} can be read after {start} to {total} layers; layers is {layers}"
            )
        if given["head_type"] != "simple" or given.get("rope_scaling"):
            raise ModelError(
                f"{checkpoint.name} has head_type {given['head_type']!r} and rope_scaling"
                f" {given.get('rope_scaling')}; expected 'simple' and none"
            )
        head_size = given["hidden_size"] // given["num_attention_heads"]
        # https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/reranker/
        # decoder_only/models/modeling_minicpm_reranker.py: the residual's scale is that of the
        # whole network, however many layers are read, and `dim_model_base` scales no such head.
        config: Any = GraniteConfig.from_dict(
            {
                **{key: given[key] for key in _AS_IN_GRANITE},
                "num_hidden_layers": layers,
                "embedding_multiplier": given["scale_emb"],
                "residual_multiplier": given["scale_depth"] / math.sqrt(total),
                "attention_multiplier": 1 / math.sqrt(head_size),
                "num_labels": 1,
            }
        )
        config.head_multi = bool(given["head_multi"])
        config.heads = total - start + 1 if config.head_multi else 1
    except KeyError as exc:
        raise ModelError(f"the config.json of {checkpoint.name} lacks {exc}") from exc
    except TypeError as exc:  # null in place of a number
        raise ModelError(f"the config.json of {checkpoint.name} cannot be used: {exc}") from exc
    return config
