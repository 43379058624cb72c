"""The trained model's folder, which sentence-transformers and FlagEmbedding score as we do.

The score is the raw logit of one label; how texts are laid out, truncated and put together is
recorded as it was in training.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.models.checkpoints.folder_files import open_weights
from retrieve_rerank.training.trainers.network import Network

_TOKENIZER = (
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "spiece.model",
    "chat_template.jinja",
)
_TOKENIZER_CONFIG = "tokenizer_config.json"
_PROMPTS = "config_sentence_transformers.json"


def save_model(network: Network[Any], folder: Path) -> None:
    """Write the model into a new folder, which appears whole or not at all.

    Raises InputError where it cannot be written.
    """
    staging = folder.with_name(f".{folder.name}")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        _write(network, staging)
        open_weights(staging, like=SETTINGS_FILE)
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed right here
        os.replace(staging, folder)
    except OSError as exc:
        raise InputError(f"cannot save the model in {folder}: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(network: Network[Any], folder: Path) -> None:
    base = network.base.folder
    network.save(folder)
    for name in _TOKENIZER:
        if (base.transformer / name).is_file():
            shutil.copyfile(base.transformer / name, folder / name)
    tokenizer = {**base.tokenizer, "model_max_length": base.max_tokens}
    _write_json(folder / _TOKENIZER_CONFIG, tokenizer)
    if base.pair_prompt:
        shutil.copyfile(base.path / _PROMPTS, folder / _PROMPTS)
    _write_json(folder / SETTINGS_FILE, network.recorded())


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
