"""Tiny models with random weights, each family with a tokenizer as its real members have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
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
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

FastTokenizer: Any = PreTrainedTokenizerFast  # its constructor has no types

TEXTS = [
    "The cat sat on the mat.",
    "A reranker reads the query and the passage together, and gives them one score.",
    "short",
    "Wing flutter at supersonic speeds was measured in a wind tunnel; the results agree with"
    " theory. Several models were tested at different angles of attack, and compared with those"
    " of earlier work in other tunnels.",
    "",
    "Die Sätze haben Umlaute: äöü, and some 中文字符 as well.",
]
"""Of different lengths, one of them empty, one longer than MAX_TOKENS."""

QUERY = "which wing flutter was measured?"
MAX_TOKENS = 40

_SIZES: Mapping[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "bert": {"max_position_embeddings": 64},
    "roberta": {"max_position_embeddings": 66, "type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": {"max_position_embeddings": 66, "type_vocab_size": 1, "pad_token_id": 1},
    "modernbert": {
        "max_position_embeddings": 64,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    },
    "qwen3": {
        "max_position_embeddings": 64,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "pad_token_id": 0,
    },
}
FAMILIES = tuple(_CONFIGS)


def make_model(
    folder: Path, family: str, *, labels: int | None = None, masked: bool = False, **tokenizer: Any
) -> Path:
    """Save a random checkpoint of transformers.

    A pair model where `labels` is given, a masked language model where `masked`.
    """
    fast = make_tokenizer(family, **tokenizer)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(fast),
        **_SIZES,
        **_CONFIGS[family],
        **({} if labels is None else {"num_labels": labels}),
    )
    torch.manual_seed(5)
    kind: Any = AutoModel if labels is None else AutoModelForSequenceClassification
    if masked:
        kind = AutoModelForMaskedLM
    model = kind.from_config(config).eval()
    for parameter in model.parameters():  # larger than usual, so that differences would show
        torch.nn.init.normal_(parameter, std=0.1) if parameter.dim() > 1 else None
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_tokenizer(family: str, **settings: Any) -> Any:
    """Train a tokenizer of the family's kind on TEXTS."""
    build = {"bert": _wordpiece, "xlm-roberta": _unigram}.get(family, _byte_level)
    return build(family, {"model_max_length": MAX_TOKENS, **settings})


def _wordpiece(family: str, settings: Mapping[str, Any]) -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        [*TEXTS, QUERY], trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return FastTokenizer(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **settings,
    )


def _unigram(family: str, settings: Mapping[str, Any]) -> Any:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        [*TEXTS, QUERY],
        trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>"),
    )
    return _roberta_like(tokenizer, settings)


def _byte_level(family: str, settings: Mapping[str, Any]) -> Any:
    special = {
        "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        "modernbert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        "qwen3": ["<|endoftext|>"],
    }[family]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [*TEXTS, QUERY],
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    if family == "roberta":
        return _roberta_like(tokenizer, settings)
    if family == "modernbert":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        return FastTokenizer(
            tokenizer_object=tokenizer,
            pad_token="[PAD]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
            model_input_names=["input_ids", "attention_mask"],
            **settings,
        )
    tokenizer.post_processor = processors.TemplateProcessing(  # as Qwen3-Embedding ends its texts
        single="$A <|endoftext|>",
        pair="$A $B <|endoftext|>",
        special_tokens=[("<|endoftext|>", 0)],
    )
    return FastTokenizer(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        **settings,
    )


def _roberta_like(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> Any:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return FastTokenizer(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
        **settings,
    )
