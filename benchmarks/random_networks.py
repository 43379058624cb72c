"""Networks of known shapes with random weights: their speed does not depend on what they know.

Each word of the texts is one of their tokens, so that lengths are what one asks for.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

WORDS = [f"w{number}" for number in range(5000)]
_SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "yes", "no", "answer", ":"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a network is."""

    name: str
    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int
    key_heads: int = 0
    """Of decoders."""
    head_size: int = 0


MINILM = Shape("MiniLM-L6", 6, 384, 12, 1536, 30_522)
BGE_BASE = Shape("bge-base", 12, 768, 12, 3072, 30_522)
QWEN3 = Shape("Qwen3-0.6B", 28, 1024, 16, 3072, 151_936, 8, 128)
TINY = Shape("tiny encoder", 2, 32, 4, 48, 6000)
TINY_DECODER = Shape("tiny decoder", 2, 32, 4, 48, 6000, 2, 8)


def make_encoder(folder: Path, shape: Shape, *, dropout: float = 0.1) -> Path:
    """Save a cross-encoder of one label in BERT's form, in float32."""
    tokenizer = _tokenizer()
    first, last = (tokenizer.token_to_id(token) for token in ("<s>", "</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", first), ("</s>", last)],
    )
    marks = {"cls_token": "<s>", "sep_token": "</s>"}
    reads = ["input_ids", "token_type_ids", "attention_mask"]
    _save_tokenizer(tokenizer, folder, model_max_length=512, model_input_names=reads, **marks)
    configuration: Any = BertConfig  # its types leave out what all configurations take
    config = configuration(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        hidden_dropout_prob=dropout,
        num_labels=1,
    )
    torch.manual_seed(0)
    kind: Any = AutoModelForSequenceClassification
    network = kind.from_config(config)
    for weight in network.parameters():  # larger than usual, so that scores are far apart
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=shape.hidden**-0.5)
    network.save_pretrained(folder)
    return folder


def stored_in(folder: Path, dtype: torch.dtype) -> Path:
    """Return a copy of a checkpoint in another type, the one itself where that is float32."""
    if dtype == torch.float32:
        return folder
    copy = folder.with_name(f"{folder.name}-{dtype}".replace("torch.", ""))
    shutil.copytree(folder, copy)
    kind: Any = AutoModelForSequenceClassification
    kind.from_pretrained(str(folder), dtype=dtype).save_pretrained(copy)
    return copy


def make_decoder(folder: Path, shape: Shape) -> Path:
    """Save a decoder like Qwen3, in bfloat16."""
    _save_tokenizer(_tokenizer(), folder, model_max_length=4096)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.head_size,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    network: Any = Qwen3ForCausalLM(config)
    network.to(torch.bfloat16).save_pretrained(folder)
    return folder


def make_texts(count: int, *, words: tuple[int, int], seed: int = 0) -> Sequence[str]:
    """Draw texts of so many words, each length as likely."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(*words))) for _ in range(count)]


def _tokenizer() -> Tokenizer:
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, **settings: Any) -> None:
    fast: Any = PreTrainedTokenizerFast
    saved = fast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", **settings)
    saved.save_pretrained(folder)
