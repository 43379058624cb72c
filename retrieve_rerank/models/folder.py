"""What a model's folder records: layout, lengths, pooling, prompts.

Reads the layout of sentence-transformers (modules.json) and plain transformers checkpoints.
Knows nothing of how a model is run, and opens no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ModelError, ModelNotFoundError
from retrieve_rerank.template import Template

SETTINGS_FILE = "retrieve_rerank.json"
"""What we record beside a checkpoint: its template, and how it was exported."""

DEFAULT_MAX_TOKENS = 512
"""For a checkpoint that records no limit."""

_UNLIMITED = 10**9  # transformers writes 10**30 where a tokenizer has no limit
_LENGTH_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_xlm-roberta_config.json",
)
_POOLING_FLAGS = {  # as written before sentence-transformers 5.4
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A checkpoint on disk and what it says of itself."""

    path: Path
    transformer: Path
    """Folder of the network and its tokenizer; `path` itself but for old checkpoints."""
    config: Mapping[str, Any]
    """The network's config.json."""
    max_tokens: int
    tokenizer: Mapping[str, Any]
    """The tokenizer's tokenizer_config.json."""
    lowercase: bool = False
    pooling: Sequence[str] = ("mean",)
    normalize: bool = False
    query_prompt: str = ""
    document_prompt: str = ""
    template: Template = field(default_factory=Template)
    export: Mapping[str, Any] = field(default_factory=dict)
    """What `rr models export` wrote; empty for other checkpoints."""

    @property
    def labels(self) -> int | None:
        """How many scores a pair model gives each pair; None for an encoder."""
        architecture = (self.config.get("architectures") or [""])[0]
        if not architecture.endswith("ForSequenceClassification"):
            return None
        return len(self.config.get("id2label") or {}) or int(self.config.get("num_labels", 2))

    @property
    def truncation_side(self) -> str:
        """The side that a text too long loses: "right" or "left"."""
        return str(self.tokenizer.get("truncation_side", "right"))

    @property
    def pad_token(self) -> str | None:
        """The token that fills a batch up."""
        token = self.tokenizer.get("pad_token")
        return token["content"] if isinstance(token, Mapping) else token


def read_folder(path: Path) -> ModelFolder:
    """Read what the checkpoint in `path` records; raise ModelError where it cannot be used."""
    if not path.is_dir():
        raise ModelNotFoundError(f"no model folder at {path}")
    modules = _modules(path)
    transformer = path / modules.get("Transformer", "")
    config = read_json(transformer / "config.json")
    if not config:
        raise ModelError(f"{path} holds no config.json; expected a model saved by transformers")
    tokenizer = read_json(transformer / "tokenizer_config.json")
    lengths = next(filter(None, (read_json(transformer / name) for name in _LENGTH_FILES)), {})
    prompts = _prompts(path)
    settings = read_json(path / SETTINGS_FILE)
    pooling = read_json(path / modules["Pooling"] / "config.json") if "Pooling" in modules else {}
    return ModelFolder(
        path=path,
        transformer=transformer,
        config=config,
        max_tokens=_max_tokens(config, tokenizer, lengths),
        tokenizer=tokenizer,
        lowercase=bool(lengths.get("do_lower_case")),
        pooling=_pooling(pooling),
        normalize="Normalize" in modules,
        query_prompt=prompts.get("query", ""),
        document_prompt=prompts.get("document", prompts.get("passage", "")),
        template=Template(settings["template"]) if "template" in settings else Template(),
        export=settings.get("export", {}),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is no file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise ModelError(f"cannot read {path}: {exc}") from exc
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds {type(found).__name__}; expected a JSON object")
    return found


def _modules(path: Path) -> dict[str, str]:
    """Class name of each module -> its folder; empty for a plain transformers checkpoint."""
    file = path / "modules.json"
    if not file.is_file():
        return {}
    return {
        module["type"].rpartition(".")[2]: module["path"]
        for module in json.loads(file.read_text(encoding="utf-8"))
    }


def _max_tokens(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], lengths: Mapping[str, Any]
) -> int:
    if lengths.get("max_seq_length"):
        return int(lengths["max_seq_length"])
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.get("pad_token_id", 1) + 1  # their positions start after the padding's
    known = [n for n in (positions, tokenizer.get("model_max_length")) if n and 0 < n < _UNLIMITED]
    return int(min(known, default=DEFAULT_MAX_TOKENS))


def _pooling(config: Mapping[str, Any]) -> tuple[str, ...]:
    mode = config.get("pooling_mode")
    if mode is None:
        return tuple(m for flag, m in _POOLING_FLAGS.items() if config.get(flag)) or ("mean",)
    return (mode,) if isinstance(mode, str) else tuple(mode)


def _prompts(path: Path) -> dict[str, str]:
    config = read_json(path / "config_sentence_transformers.json")
    prompts = {name: text for name, text in (config.get("prompts") or {}).items() if text}
    default = prompts.get(config.get("default_prompt_name") or "", "")
    return {"query": default, "document": default, **prompts} if default else prompts
