from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from retrieve_rerank.models.causal.vocabulary_head import VocabularyHead

_SIZES: Mapping[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pad_token_id": 0,
}
_FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "qwen2": {"num_key_value_heads": 2},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 0.5},
    "granite": {"logits_scaling": 7.0},
    "cohere": {"logit_scale": 0.3},
    "phi": {},  # with a bias
}


def make(family: str) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **{**_SIZES, **_FAMILIES[family]})
    kind: Any = AutoModelForCausalLM  # its methods have no types
    network = kind.from_config(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("family", _FAMILIES)
def test_the_rows_wanted_are_those_of_the_whole_output(family: str) -> None:
    network = make(family)
    ids = torch.tensor([[5, 9, 17, 3]])
    with torch.no_grad():
        expected = network(input_ids=ids).logits[0]
        states = network.get_decoder()(input_ids=ids).last_hidden_state[0]
    head = VocabularyHead(network)
    torch.testing.assert_close(
        head.logits(states, [7, 50]), expected[:, [7, 50]], atol=1e-4, rtol=0
    )
    tokens = [[1], [2], [3], [4]]
    found = head.log_probabilities(states, tokens)
    whole = expected.log_softmax(-1).gather(1, torch.tensor(tokens))
    torch.testing.assert_close(found, whole, atol=1e-4, rtol=0)
    head.check(network, 5)


def test_many_states_are_taken_some_at_a_time() -> None:
    network = make("qwen2")
    states = torch.randn(300, 32)
    expected = network.lm_head(states).log_softmax(-1)[:, [4]]
    found = VocabularyHead(network).log_probabilities(states, [[4]] * 300)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_logits_do_not_tie_for_want_of_bfloat16_bits() -> None:
    """At 100 a bfloat16 has steps of a half: documents tied at a probability of 1.0."""
    network = make("qwen2").to(torch.bfloat16)
    network.lm_head.weight[7] = 0.0
    network.lm_head.weight[7, 0] = 1.0
    network.lm_head.weight[7, 1] = 1.0
    states = torch.zeros(2, 32, dtype=torch.bfloat16)
    states[:, 0] = 100.0
    states[:, 1] = torch.tensor([0.125, 0.1875])
    usual = network.lm_head(states)[:, 7]
    assert usual[0] == usual[1]
    found = VocabularyHead(network).logits(states, [7])[:, 0]
    assert found.tolist() == [100.125, 100.1875]
