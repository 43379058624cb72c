"""What a model's folder records: layout, lengths, pooling, projections, prompts.

Reads the layout of sentence-transformers (modules.json, any version) and plain transformers
checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ConfigError, InputError, ModelError, ModelNotFoundError
from retrieve_rerank.models.checkpoints import folder_schema as schema
from retrieve_rerank.models.checkpoints.calibration import Calibration, read_calibration
from retrieve_rerank.models.checkpoints.folder_files import AGAIN, read_text
from retrieve_rerank.models.checkpoints.folder_schema import checked, read_settings
from retrieve_rerank.models.checkpoints.late_interaction import (
    LateInteraction,
    read_late_interaction,
)
from retrieve_rerank.models.checkpoints.modules import (
    NETWORKS,
    pooling_modes,
    read_modules,
    reads_tokens,
    reads_vector,
)
from retrieve_rerank.models.checkpoints.network_files import unread_gguf
from retrieve_rerank.models.checkpoints.sparse_layout import Splade, read_splade
from retrieve_rerank.text.query_template import QueryTemplate
from retrieve_rerank.text.template import Template

SETTINGS_FILE = "retrieve_rerank.json"
"""What we record beside a checkpoint: its template, calibration, and how it was exported."""

MODULE_WEIGHTS = ("*_Dense/model.safetensors", "*_SparseStaticEmbedding/model.safetensors")
"""Weights of modules beside the network."""

LEXICAL_WEIGHTS = "sparse_linear.safetensors"
"""BGE-M3's weights for words, which its authors publish as a pickle."""

DEFAULT_MAX_TOKENS = 512
"""For a checkpoint that records no limit."""

_FEWEST_TOKENS = 8  # special tokens of a pair, four at most, and something of both texts
_UNLIMITED = 10**9  # transformers writes 10**30 where a tokenizer has no limit


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A checkpoint on disk and what it says of itself."""

    path: Path
    transformer: Path
    """Folder of the network and its tokenizer; `path` itself but for old checkpoints."""
    config: Mapping[str, Any]
    """The network's config.json."""
    tokenizer: Mapping[str, Any]
    """The tokenizer's tokenizer_config.json."""
    max_tokens: int
    lowercase: bool = False
    pooling: Sequence[str] = ("mean",)
    normalize: bool = False
    token_projections: Sequence[Path] = ()
    """Folders of the linear layers applied to every token's hidden state, before the pooling."""
    tensor_projections: Sequence[Path] = ()
    """Folders of those applied to it after the pooling, for MaxSim alone."""
    vector_projections: Sequence[Path] = ()
    """Folders of the linear layers applied to the pooled vector."""
    vectors_of: Mapping[str, str] = field(default_factory=dict)
    """Name and fingerprint of the encoder that gives the same pooled vectors; empty for others."""
    late_interaction: LateInteraction | None = None
    splade: Splade | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    pair_prompt: str = ""
    """What a pair model puts before its queries."""
    template: Template = field(default_factory=Template)
    query_template: QueryTemplate | None = None
    """How it reads what is known of the user; None for a model that was trained without."""
    weight: float | None = None
    """Share of a reranker's scores in a stage's order, see `Stage.weight`; None for the usual."""
    calibration: Calibration | None = None
    """What `rr calibrate` wrote."""
    export: Mapping[str, Any] = field(default_factory=dict)
    """What `rr models export` wrote; empty for other checkpoints."""

    @property
    def architecture(self) -> str:
        """The class of its network in transformers; empty where it is not recorded."""
        return next(iter(self.config.get("architectures") or ()), "")

    @property
    def labels(self) -> int | None:
        """How many scores a pair model gives each pair; None for an encoder."""
        if not self.architecture.endswith("ForSequenceClassification"):
            return None
        return len(self.config.get("id2label") or {}) or int(self.config.get("num_labels") or 2)

    @property
    def label_names(self) -> list[str]:
        """What a pair model calls the scores that it gives each pair, in their order."""
        names = self.config.get("id2label") or {}
        return [str(names.get(str(n), f"LABEL_{n}")) for n in range(self.labels or 0)]

    @property
    def hidden_size(self) -> int:
        """Length of a token's hidden state."""
        for key in ("hidden_size", "dim", "d_model"):
            if self.config.get(key) is not None:
                return int(self.config[key])
        raise ModelError(f"{self.transformer / 'config.json'} does not say its hidden_size")

    @property
    def query_prompt(self) -> str:
        """What an encoder puts before queries."""
        return self.prompts.get("query", "")

    @property
    def document_prompt(self) -> str:
        """What an encoder puts before documents."""
        names = ("document", "passage", "corpus")  # in the order of sentence-transformers
        return next((self.prompts[name] for name in names if name in self.prompts), "")

    @property
    def truncation_side(self) -> str:
        """The side that a text too long loses: "right" or "left"."""
        return str(self.tokenizer.get("truncation_side") or "right")

    @property
    def licence(self) -> str | None:
        """The licence that the model card names."""
        try:
            card = read_text(self.path / "README.md") or ""
        except ModelError:  # of which no score depends
            return None
        front_matter = card.split("\n---", 1)[0] if card.startswith("---") else ""
        found = re.search(r"^license:\s*(\S+)", front_matter, re.MULTILINE)
        return found[1] if found else None

    def for_user(self, query: str, user: str) -> str:
        """Return what the model reads of a query that this user asks."""
        return query if self.query_template is None else self.query_template.render(query, user)

    def with_max_tokens(self, max_tokens: int) -> ModelFolder:
        """Read so many tokens; raise InputError for more than the network has positions for."""
        most = _positions(self.config) or _UNLIMITED
        if not _FEWEST_TOKENS <= max_tokens <= most:
            raise InputError(
                f"{self.path} can read {_FEWEST_TOKENS} to {most:,} tokens of a pair; got"
                f" {max_tokens}"
            )
        return replace(self, max_tokens=max_tokens)

    def special_token(self, name: str) -> str | None:
        """Return one of the tokenizer's special tokens: "pad_token", "mask_token", …"""
        token = self.tokenizer.get(name)
        return token["content"] if isinstance(token, Mapping) else token


def read_folder(path: Path, *, prompts: Mapping[str, str] | None = None) -> ModelFolder:
    """Read what the checkpoint in `path` records; raise ModelError where it cannot be used.

    `prompts` serve a checkpoint that records none.
    """
    if not path.is_dir():
        raise ModelNotFoundError(f"no model folder at {path}")
    modules = read_modules(path)
    transformer = next((module.path for module in modules if module.kind in NETWORKS), path)
    config, tokenizer = read_network(transformer)
    lengths = _lengths(transformer)
    whole = read_settings(path / "config_sentence_transformers.json", schema.WHOLE)
    ours = path / SETTINGS_FILE
    settings = read_settings(ours, schema.OURS)
    late = read_late_interaction(whole, lengths, [(m.kind, m.config) for m in modules])
    recorded = {name: text for name, text in (whole.get("prompts") or {}).items() if text}
    dense = [module for module in modules if module.kind == "Dense"]
    by_token = [module for module in dense if reads_tokens(module, late=late)]
    pooling = next((n for n, module in enumerate(modules) if module.kind == "Pooling"), None)
    pooled = modules[pooling:] if pooling is not None else []
    return ModelFolder(
        path=path,
        transformer=transformer,
        config=config,
        tokenizer=tokenizer,
        max_tokens=_max_tokens(config, tokenizer, lengths, where=transformer),
        lowercase=bool(lengths.get("do_lower_case")),
        pooling=pooling_modes(modules),
        normalize=any(reads_vector(m) for m in modules if m.kind == "Normalize"),
        token_projections=[m.path for m in by_token if m not in pooled],
        tensor_projections=[m.path for m in by_token if m in pooled],
        vector_projections=[m.path for m in dense if m not in by_token],
        vectors_of=checked(
            settings.get("vectors_of") or {}, schema.VECTORS_OF, where=f"{ours}: vectors_of"
        ),
        late_interaction=late,
        splade=read_splade(whole, modules),
        prompts=_prefixed(recorded or dict(prompts or {}), whole),
        pair_prompt=recorded.get(whole.get("default_prompt_name") or "", ""),
        template=_template(settings, ours),
        query_template=_query_template(settings, ours),
        weight=settings.get("weight"),
        calibration=read_calibration(settings, where=ours),
        export=checked(settings.get("export") or {}, schema.EXPORT, where=f"{ours}: export"),
    )


def read_network(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a network's config.json and tokenizer_config.json; raise ModelError."""
    file = folder / "config.json"
    config = read_settings(file, schema.NETWORK)
    if not config:
        if any(folder.glob("*.gguf")):
            raise unread_gguf(str(folder))
        lacks = "says nothing in its config.json" if file.is_file() else "holds no config.json"
        raise ModelError(f"{folder} {lacks}; expected a model saved by transformers")
    schema.check_depths(config, where=file)
    return config, read_settings(folder / "tokenizer_config.json", schema.TOKENIZER)


def _template(settings: Mapping[str, Any], file: Path) -> Template:
    try:
        return Template(settings.get("template") or Template().pattern)
    except ConfigError as exc:
        raise ModelError(f"{file} records a template that cannot be used: {exc}") from exc


def _query_template(settings: Mapping[str, Any], file: Path) -> QueryTemplate | None:
    try:
        pattern = settings.get("query_template")
        return QueryTemplate(pattern) if pattern else None
    except ConfigError as exc:
        raise ModelError(f"{file} records a template that cannot be used: {exc}") from exc


def _lengths(transformer: Path) -> dict[str, Any]:
    """Read sentence_bert_config.json, whose name once followed the model's type."""
    for file in sorted(transformer.glob("sentence_*_config.json")):
        lengths = read_settings(file, schema.LENGTHS)
        for name, inner in schema.LENGTHS_INNER.items():
            if lengths.get(name):
                lengths[name] = checked(lengths[name], inner, where=f"{file}: {name}")
        return lengths
    return {}


def _max_tokens(
    config: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
    lengths: Mapping[str, Any],
    *,
    where: Path,
) -> int:
    processor = lengths.get("processor_kwargs") or lengths.get("tokenizer_args") or {}
    limits = [lengths.get("max_seq_length") or processor.get("model_max_length")]
    if not limits[0]:
        limits = [_positions(config), tokenizer.get("model_max_length")]
    most = int(min((n for n in limits if n and n < _UNLIMITED), default=DEFAULT_MAX_TOKENS))
    if most < _FEWEST_TOKENS:
        raise ModelError(
            f"the settings in {where} have the model read {most} tokens; expected {_FEWEST_TOKENS}"
            f" at least; {AGAIN}"
        )
    return most


def _positions(config: Mapping[str, Any]) -> int | None:
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.get("pad_token_id", 1) + 1  # their positions start after the padding's
    return positions


def _prefixed(prompts: dict[str, str], whole: Mapping[str, Any]) -> dict[str, str]:
    """Put PyLate's markers for queries and documents before the prompts."""
    for key, name in (("query_prefix", "query"), ("document_prefix", "document")):
        prefix = whole.get(key) or ""
        if prefix:
            prompts[name] = prefix + prompts.get(name, "").removeprefix(prefix)
    return prompts
