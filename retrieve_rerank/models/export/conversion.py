"""Networks of transformers to OpenVINO's format, by torch.export.

Needs the extra `export`. Never through TorchScript, whose result is silently wrong at other
shapes than the one it saw.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino as ov
import torch
from openvino_telemetry.utils.sender import (  # type: ignore[import-untyped]  # has no types
    TelemetrySender,
)

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.runtimes.torch import input_names, load_network

_FIRST_TOKEN = ("bert", "roberta", "xlm-roberta")
"""Model types whose classification head reads the first token's hidden state alone."""


def convert(folder: Path, *, pairs: bool) -> ov.Model:
    """Convert the safetensors checkpoint in `folder`; batch and length stay open.

    The output is "logits" of a pair model, "last_hidden_state" of an encoder. Raises ModelError
    where torch cannot export the architecture.
    """
    network = load_network(folder, head="scores" if pairs else "none", dtype=torch.float32)
    network.config.use_cache = False
    if _windowed(network.config):
        network.set_attn_implementation("eager")
    if pairs and network.config.model_type in _FIRST_TOKEN:
        layers = getattr(network, network.base_model_prefix).encoder.layer
        layers[-1] = FirstTokenLayer(layers[-1])
    names = input_names(network)
    example = {name: torch.ones((2, 8), dtype=torch.int64) for name in names}
    example["attention_mask"][1, 5:] = 0
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with no_telemetry(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations
            program = torch.export.export(
                _Output(network, pairs=pairs),
                tuple(example.values()),
                dynamic_shapes=((shape,) * len(names),),
            )
            model = ov.convert_model(program)
    except Exception as exc:  # torch.export has no common error
        raise ModelError(f"torch cannot export {type(network).__name__}: {exc}") from exc
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({"logits" if pairs else "last_hidden_state"})
    return model


def _windowed(config: Any) -> bool:
    """Whether tokens see their neighbours only.

    Where all of a padded position's neighbours are padding, fused attention gives NaN, which
    spreads; spelled out ("eager"), it adds a finite number to what is masked.
    """
    layers = getattr(config, "layer_types", None) or ()
    return hasattr(config, "local_attention") or "sliding_attention" in layers


class FirstTokenLayer(torch.nn.Module):
    """The last layer of a BERT-like encoder, computed for the first token alone.

    The other tokens' outputs are read by nobody; their keys and values are. Saves five sixths
    of the layer, and the logits are the same.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, states: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> torch.Tensor:
        """Return the first token's state (n, 1, dim)."""
        attention = self.layer.attention
        first = states[:, 0].unsqueeze(1)  # unlike [:, :1] a length that converters know
        context = torch.nn.functional.scaled_dot_product_attention(
            self._heads(attention.self.query(first)),
            self._heads(attention.self.key(states)),
            self._heads(attention.self.value(states)),
            attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
            scale=attention.self.scaling,
        )
        joined = context.transpose(1, 2).flatten(2)
        output: torch.Tensor = self.layer.feed_forward_chunk(attention.output(joined, first))
        return output

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        own = self.layer.attention.self
        split = states.view(*states.shape[:2], own.num_attention_heads, own.attention_head_size)
        return split.transpose(1, 2)


class _Output(torch.nn.Module):
    """Takes the inputs by position and returns the one output that we read."""

    def __init__(self, network: Any, *, pairs: bool) -> None:
        super().__init__()
        self.network = network
        self.names = input_names(network)
        self.output = "logits" if pairs else "last_hidden_state"

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = getattr(
            self.network(**dict(zip(self.names, inputs, strict=True))), self.output
        )
        return found


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keep OpenVINO and NNCF from reporting each conversion to their makers."""
    send = TelemetrySender.send
    TelemetrySender.send = lambda *_, **__: None
    try:
        yield
    finally:
        TelemetrySender.send = send
