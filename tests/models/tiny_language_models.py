"""Tiny language models with random weights, and tokenizers with the quirks of real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

FastTokenizer: Any = PreTrainedTokenizerFast  # its constructor has no types

QUERY = "which wing flutter was measured?"
DOCUMENTS = [
    "Wing flutter at supersonic speeds was measured in a wind tunnel; the results agree with"
    " theory. Several models were tested at different angles of attack.",
    "The cat sat on the mat.",
    "",
    "short",
    "The cat sat on the mat.",
    "Die Sätze haben Umlaute: äöü, and some 中文字符 as well.",
]
"""Of different lengths, one of them empty, one twice."""

_WORDS = ["yes", "no", "true", "false", "1", "0", "Yes", "No", "是", "否"]
"""Each of them a token, with and without a blank before it."""

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}"
    "{% if not (loop.last and m.role == 'assistant') %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""In the manner of Qwen3's."""

_SIZES: Mapping[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "qwen3": {**_SIZES, "num_key_value_heads": 2, "head_dim": 8},
    "llama": {**_SIZES, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2},
    "gemma2": {
        **_SIZES,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 16,
        "final_logit_softcapping": 2.0,
    },
    "lfm2": {  # whose convolutions remember the last tokens, in a memory of their own
        **_SIZES,
        "num_key_value_heads": 2,
        "layer_types": ["conv", "full_attention"],
    },
    "gpt2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "t5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
    },
}
CAUSAL = ("qwen3", "llama", "gemma2", "lfm2")


def make_language_model(
    folder: Path, family: str, *, labels: int | None = None, positions: int = 512, std: float = 0.3
) -> Path:
    """Save a random checkpoint of transformers; with a linear head where `labels` is given."""
    tokenizer = make_tokenizer(family)
    length = {} if family == "t5" else {"max_position_embeddings": positions}
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        **_CONFIGS[family],
        **length,
        **({} if labels is None else {"num_labels": labels, "pad_token_id": 0}),
    )
    kind: Any = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    if labels is not None:
        kind = AutoModelForSequenceClassification
    torch.manual_seed(7)
    model = kind.from_config(config).eval()
    for parameter in model.parameters():  # larger than usual, so that differences would show
        torch.nn.init.normal_(parameter, std=std) if parameter.dim() > 1 else None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(family: str) -> Any:
    """Train a tokenizer of the family's kind."""
    return {"t5": _t5, "llama": _llama, "gemma2": _llama}.get(family, _qwen)()


def _texts() -> list[str]:
    return [*DOCUMENTS, QUERY, *(w for word in _WORDS for w in [word, f"a {word}"] * 9)] * 3


def _qwen() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    for token in ("<think>", "</think>"):  # added, but not special, as Qwen3 has them
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=False)])
    return FastTokenizer(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )


def _llama() -> Any:
    """Without a pad token, with one before every text, words beginning with "▁"."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))],
        ),
    )
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = written["added_tokens"][:3]  # bytes are tokens like any other
    tokenizer = Tokenizer.from_str(json.dumps(written))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return FastTokenizer(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _t5() -> Any:
    special = ["<pad>", "</s>", "<unk>", "<extra_id_10>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(" +$", ""), normalizers.Replace("  ", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        _texts(),
        trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>"),
    )
    written = json.loads(tokenizer.to_str())
    known = {word for word, _ in written["model"]["vocab"]}
    written["model"]["vocab"] += [[f"▁{w}", -4.0] for w in _WORDS if f"▁{w}" not in known]
    tokenizer = Tokenizer.from_str(json.dumps(written))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return FastTokenizer(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )
