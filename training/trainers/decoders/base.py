"""What training of decoders starts from: networks of transformers, and their tokenizers' traps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.models.causal.checkpoints import most_tokens
from retrieve_rerank.models.causal.pretrained import load_pretrained, loading, silent
from retrieve_rerank.models.causal.vocabulary_head import VocabularyHead
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE, ModelFolder, read_folder
from retrieve_rerank.models.loading import Checkpoint
from retrieve_rerank.models.tokenizers.prompts import PromptTokenizer
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.trainers.base import Base
from retrieve_rerank.training.trainers.settings import TrainerSettings

_HEAD = "score."
_MARK = re.compile(r"<\|[^<>|\s]+\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]")
_ALONE = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


def load_decoder(
    checkpoint: Checkpoint, settings: TrainerSettings, *, head: bool, max_tokens: int | None
) -> Base:
    """Load a decoder or an encoder-decoder in float32, with a linear head of one output or none.

    A head that the checkpoint lacks is a new one. `max_tokens` is what the prompt's authors read,
    where the settings say nothing. Raises ModelError for networks of other kinds or of unknown
    logits, and InputError for more tokens than the network has positions for.
    """
    name, path = checkpoint.name, checkpoint.folder.path
    architecture = checkpoint.folder.architecture
    if not head and architecture.endswith("ForSequenceClassification"):
        raise ModelError(
            f"{name} is a {architecture}, which has a linear head in place of a vocabulary; train"
            " it with reranker: llm-scalar-head, or name a causal language model"
        )
    with silent(), loading(path):
        config = AutoConfig.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False
        )
    seq2seq = bool(getattr(config, "is_encoder_decoder", False))
    if head and seq2seq:
        raise ModelError(f"{name} is an encoder-decoder; a linear head is trained on decoders")
    kind: Any = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    if type(config) not in kind._model_mapping:
        raise ModelError(
            f"{name} is a network of the kind {config.model_type!r}; training takes BERT,"
            " RoBERTa, XLM-RoBERTa, ModernBERT, causal language models and encoder-decoders"
        )
    _check_whole(config, name=name)
    if head:
        kind = AutoModelForSequenceClassification
        config.num_labels = 1
    if hasattr(config, "attention_dropout"):
        config.attention_dropout = settings.attention_dropout
    torch.manual_seed(settings.seed)  # of a new head
    network, found = load_pretrained(kind, path, config=config, dtype=torch.float32)
    lacking = [key for key in found["missing_keys"] if not (head and key.startswith(_HEAD))]
    if lacking:
        raise ModelError(
            f"{path} lacks weights of its network: {len(lacking)}, as {min(lacking)}; expected a"
            f" checkpoint of {type(network).__name__}"
        )
    if not seq2seq and not _looks_back_alone(network):
        raise ModelError(
            f"{name} is a network of the kind {config.model_type!r} that reads texts in both"
            " directions; as a cross-encoder, training takes BERT, RoBERTa, XLM-RoBERTa and"
            " ModernBERT"
        )
    if not head:
        VocabularyHead(network).check(network.eval(), 1)  # a token of any vocabulary
    folder = folder_of(checkpoint, network, settings, max_tokens=max_tokens)
    return Base(name, folder, network, bool(head and found["missing_keys"]))


def folder_of(
    checkpoint: Checkpoint, network: Any, settings: TrainerSettings, *, max_tokens: int | None
) -> ModelFolder:
    """Return what the checkpoint's folder records, with the settings' tokens and template.

    `max_tokens` is as for `load_decoder`.
    """
    folder = read_folder(checkpoint.folder.path)
    if settings.max_tokens is not None:
        folder = folder.with_max_tokens(settings.max_tokens)
    else:
        most = most_tokens(checkpoint, network)
        folder = replace(folder, max_tokens=min(max_tokens or most, most))
    if settings.template:
        folder = replace(folder, template=Template(settings.template))
    return folder


def _check_whole(config: Any, *, name: str) -> None:
    """Raise ModelError for quantised weights; forget that whole ones were made from such."""
    quantised = getattr(config, "quantization_config", None)
    if quantised is None:
        return
    method = quantised["quant_method"] if isinstance(quantised, dict) else quantised.quant_method
    if method != "gguf":  # which transformers reads from its own files alone, and never safetensors
        raise ModelError(
            f"{name} is quantised ({method}); training starts from whole weights: name the"
            " checkpoint that it was made from"
        )
    del config.quantization_config


def _looks_back_alone(network: Any) -> bool:
    """Whether a token's state is the same whatever follows it."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 1]], device=network.device)
    with torch.no_grad():
        states = network.eval().get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    return bool(torch.allclose(states[0, :3], states[1, :3], atol=1e-4))


def check_marks(texts: Iterable[str], tokenizer: PromptTokenizer, *, name: str) -> None:
    """Raise ConfigError where a special token that a prompt writes is none of the tokenizer's.

    It would be cut into pieces, as any text is, and teach the network nothing of structure.
    """
    for text in texts:
        marks = [text] if _ALONE.fullmatch(text) else _MARK.findall(text)
        for mark in marks:
            if len(tokenizer.tokens(mark)) != 1:
                raise ConfigError(
                    f"the prompt writes {mark!r}, which the tokenizer of {name} splits into"
                    " several tokens: take a special token that it has (tokenizer.json,"
                    f" added_tokens), plain words, or another prompt than {SETTINGS_FILE} or"
                    " `prompt` names"
                )
