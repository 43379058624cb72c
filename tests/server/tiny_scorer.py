"""A tiny cross-encoder in OpenVINO's format, made without torch, which takes long to load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

WORDS = "wing flutter was measured in a wind tunnel bread is baked which delta heart valve of the"
MAX_TOKENS = 40


def make_scorer(folder: Path, *, seed: int = 0) -> Path:
    """Save a checkpoint whose logit is a sum of random weights of the pair's tokens."""
    folder.mkdir(parents=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "vocab_size": 200,
    }
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"model_max_length": MAX_TOKENS, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ov.save_model(_network(seed), folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


def _network(seed: int) -> ov.Model:
    weights = np.random.default_rng(seed).normal(size=200).astype(np.float32)
    inputs = {
        name: op.parameter([-1, -1], np.int64, name=name)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for name, node in inputs.items():
        node.output(0).get_tensor().set_names({name})
    each = op.gather(op.constant(weights), inputs["input_ids"], op.constant(0))
    types = op.convert(inputs["token_type_ids"], np.float32)
    factor = op.add(op.constant(np.float32(1)), types)  # a text's words count twice a query's
    seen = op.convert(inputs["attention_mask"], np.float32)
    product = op.multiply(op.multiply(each, factor), seen)
    logits = op.reduce_sum(product, op.constant([1]), keep_dims=True)
    logits.output(0).get_tensor().set_names({"logits"})
    return ov.Model([logits], list(inputs.values()), "scorer")
