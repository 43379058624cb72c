"""Tiny checkpoints in the layout of bge-reranker-v2-minicpm-layerwise, and what they compute.

The formulas are written anew from the authors'
https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/reranker/decoder_only/models/modeling_minicpm_reranker.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.models.tiny_language_models import make_tokenizer

HEADS, KEY_HEADS, HEAD_SIZE, INNER = 4, 2, 8, 48
HIDDEN = HEADS * HEAD_SIZE
SCALE_EMB, SCALE_DEPTH, EPS, THETA = 12, 1.4, 1e-5, 10000.0
CODE = "modeling_minicpm_reranker.LayerWiseMiniCPM"


def make_layerwise(
    folder: Path, *, start: int = 2, layers: int = 4, head_multi: bool = True, **config: Any
) -> Path:
    """Save random weights under their names in the published checkpoint, in two files."""
    tokenizer = make_tokenizer("llama")
    tokenizer.save_pretrained(folder)
    recorded = json.loads((folder / "tokenizer_config.json").read_text())
    recorded |= {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(recorded))
    given = {
        "architectures": ["LayerWiseMiniCPMForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_minicpm_reranker.LayerWiseMiniCPMConfig",
            "AutoModel": f"{CODE}Model",
            "AutoModelForCausalLM": f"{CODE}ForCausalLM",
        },
        "model_type": "minicpm",
        "attention_bias": False,
        "dim_model_base": 8,
        "head_multi": head_multi,
        "head_type": "simple",
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "max_position_embeddings": 2048,
        "num_attention_heads": HEADS,
        "num_hidden_layers": layers,
        "num_key_value_heads": KEY_HEADS,
        "pretraining_tp": 1,
        "rms_norm_eps": EPS,
        "rope_scaling": None,
        "rope_theta": THETA,
        "scale_depth": SCALE_DEPTH,
        "scale_emb": SCALE_EMB,
        "start_layer": start,
        "torch_dtype": "bfloat16",
        "vocab_size": len(tokenizer),
        **config,
    }
    (folder / "config.json").write_text(json.dumps(given))
    shapes = {"model.embed_tokens.weight": (len(tokenizer), HIDDEN), "model.norm.weight": (HIDDEN,)}
    for number in range(layers):
        layer = f"model.layers.{number}."
        shapes[f"{layer}self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{layer}self_attn.k_proj.weight"] = (KEY_HEADS * HEAD_SIZE, HIDDEN)
        shapes[f"{layer}self_attn.v_proj.weight"] = (KEY_HEADS * HEAD_SIZE, HIDDEN)
        shapes[f"{layer}self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{layer}mlp.gate_proj.weight"] = (INNER, HIDDEN)
        shapes[f"{layer}mlp.up_proj.weight"] = (INNER, HIDDEN)
        shapes[f"{layer}mlp.down_proj.weight"] = (HIDDEN, INNER)
        shapes[f"{layer}input_layernorm.weight"] = (HIDDEN,)
        shapes[f"{layer}post_attention_layernorm.weight"] = (HIDDEN,)
    heads = [f"lm_head.{n}" for n in range(layers - start + 1)] if head_multi else ["lm_head"]
    shapes |= {f"{head}.linear_head.weight": (1, HIDDEN) for head in heads}
    random = torch.Generator().manual_seed(7)
    save_weights(
        folder,
        {
            name: torch.randn(shape, generator=random) * 0.3 + (len(shape) == 1)
            for name, shape in shapes.items()
        },
    )
    return folder


def save_weights(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write weights as large checkpoints are written: an index, and files that it names."""
    files: dict[str, dict[str, torch.Tensor]] = {}
    for place, (name, tensor) in enumerate(weights.items()):
        half = 1 + 2 * place // len(weights)
        files.setdefault(f"model-0000{half}-of-00002.safetensors", {})[name] = tensor
    for file, tensors in files.items():
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: f for f, ts in files.items() for n in ts}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def score_by_hand(folder: Path, ids: Sequence[int], layers: int) -> float:
    """Run the formulas of MiniCPM on one sequence, and the head of layer `layers` on its end."""
    weights = read_weights(folder)
    config = json.loads((folder / "config.json").read_text())
    scale = SCALE_DEPTH / config["num_hidden_layers"] ** 0.5
    length = len(ids)
    turns = THETA ** (-torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)
    angles = torch.outer(torch.arange(length), turns)  # (tokens, head size / 2)
    hidden_from = torch.ones(length, length, dtype=torch.bool).triu(1)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + EPS).sqrt() * weights[f"{name}.weight"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T

    def turned(x: torch.Tensor) -> torch.Tensor:  # (tokens, head size)
        left, right = x.chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)

    x = weights["model.embed_tokens.weight"][list(ids)] * SCALE_EMB
    for number in range(layers):
        layer = f"model.layers.{number}"
        before = norm(x, f"{layer}.input_layernorm")
        query, key, value = (  # each a list of (tokens, head size)
            torch.split_with_sizes(states, [HEAD_SIZE] * (states.shape[-1] // HEAD_SIZE), -1)
            for states in (linear(before, f"{layer}.self_attn.{part}_proj") for part in "qkv")
        )
        seen = []
        for head in range(HEADS):
            group = head * KEY_HEADS // HEADS
            weight = turned(query[head]) @ turned(key[group]).T / HEAD_SIZE**0.5
            seen.append(weight.masked_fill(hidden_from, -torch.inf).softmax(-1) @ value[group])
        x = x + linear(torch.cat(seen, -1), f"{layer}.self_attn.o_proj") * scale
        before = norm(x, f"{layer}.post_attention_layernorm")
        gate = linear(before, f"{layer}.mlp.gate_proj")
        inner = gate * gate.sigmoid() * linear(before, f"{layer}.mlp.up_proj")
        x = x + linear(inner, f"{layer}.mlp.down_proj") * scale
    place = f"lm_head.{layers - config['start_layer']}" if config["head_multi"] else "lm_head"
    return linear(norm(x[-1], "model.norm"), f"{place}.linear_head").item()
