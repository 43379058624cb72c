"""The last layer's feed-forward part works for the tokens asked about, and they stay the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from retrieve_rerank.models.causal.causal_network import CausalNetwork
from retrieve_rerank.models.causal.last_layer import LastLayer

SIZES = {
    **{"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
}
PROMPTS = [[7, 8, 9], [7, 11, 12, 13, 14], [7, 15]]
COMMON = [[*range(20, 40), *prompt] for prompt in PROMPTS]  # long enough to be read once


def decoder(kind: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, pad_token_id=0, **changes)
    kinds: Any = AutoModel
    return kinds.from_config(config).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("qwen3", {"head_dim": 8}),
        ("llama", {}),
        ("granite", {"residual_multiplier": 0.3}),
        ("gemma2", {"head_dim": 8, "sliding_window": 8}),
        ("phi", {}),  # attends and feeds forward side by side
        ("gpt_neox", {}),
        (
            "qwen3_moe",
            {
                "head_dim": 8,
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 16,
            },
        ),
    ],
)
@pytest.mark.parametrize("prompts", [PROMPTS, COMMON], ids=["each", "common beginning"])
def test_states_are_those_of_the_whole_layer(
    kind: str, changes: dict[str, Any], prompts: list[list[int]]
) -> None:
    network = decoder(kind, **changes)
    with torch.inference_mode():
        expected = [
            network(input_ids=torch.tensor([prompt])).last_hidden_state[0, -1] for prompt in prompts
        ]
    causal = CausalNetwork(network, pad_id=0, budget=1000)
    seen: list[torch.Size] = []
    network.layers[-1].mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    found = causal.states(prompts, [[1]] * 3)
    torch.testing.assert_close(torch.cat(found), torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert seen[-1] == (3, 1, 32)


def test_all_tokens_are_right_where_several_are_asked_about() -> None:
    network = decoder("llama")
    with torch.inference_mode():
        expected = network(input_ids=torch.tensor([[7, 8, 9, 10]])).last_hidden_state[0, 2:]
    [found] = CausalNetwork(network, pad_id=0, budget=1000).states([[7, 8, 9]], [[10, 11]])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_minds_is_left_alone() -> None:
    network = decoder("llama")
    last = network.layers[-1]
    plain = last.forward

    def mixed(*args: Any, **kwargs: Any) -> torch.Tensor:
        states: torch.Tensor = plain(*args, **kwargs)
        return states - states.mean(dim=1, keepdim=True)  # over what is not right any more

    last.forward = mixed
    layer = LastLayer(network)
    ids = torch.tensor([[7, 8, 9]])
    with torch.inference_mode(), layer.only([2]):
        found = network(input_ids=ids).last_hidden_state
    with torch.inference_mode():
        torch.testing.assert_close(found, network(input_ids=ids).last_hidden_state)
