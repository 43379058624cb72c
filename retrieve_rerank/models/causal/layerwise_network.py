"""MiniCPM decoders with a linear head after each of their upper layers, from which one may be read.

Needs the extra `torch`. The network is Granite's of transformers, which has the three scales of
MiniCPM under other names; the checkpoint's own code is not run.
"""

from __future__ import annotations

import math
import re
from typing import Any

from transformers import GraniteConfig, GranitePreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification

from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.models.causal.checkpoints import load_network
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
    try:
        start, total = int(given["start_layer"]), int(given["num_hidden_layers"])
        layers = min(DEFAULT_LAYERS, total) if layers is None else layers
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
        config = GraniteConfig.from_dict(
            {
                **{key: given[key] for key in _AS_IN_GRANITE},
                "num_hidden_layers": layers,
                "embedding_multiplier": given["scale_emb"],
                "residual_multiplier": given["scale_depth"] / math.sqrt(total),
                "attention_multiplier": 1 / math.sqrt(head_size),
                "num_labels": 1,
            }
        )
        head = f"lm_head.{layers - start}" if given["head_multi"] else "lm_head"
    except KeyError as exc:
        raise ModelError(f"the config.json of {checkpoint.name} lacks {exc}") from exc
    except TypeError as exc:  # null in place of a number
        raise ModelError(f"the config.json of {checkpoint.name} cannot be used: {exc}") from exc
    renamed = {"^" + re.escape(f"{head}.linear_head."): "score."}
    return load_network(checkpoint, _Network, threads=threads, config=config, renamed=renamed)
