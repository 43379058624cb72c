"""What a model's folder records: layout, lengths, pooling, projections, prompts.

Reads the layout of sentence-transformers (modules.json, any version) and plain transformers
checkpoints. Knows nothing of how a model is run, and opens no weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from retrieve_rerank.errors import InputError, ModelError, ModelNotFoundError
from retrieve_rerank.models.calibration import Calibration, read_calibration
from retrieve_rerank.models.late_interaction import LateInteraction, read_late_interaction
from retrieve_rerank.models.sparse_layout import Splade, read_router, read_splade
from retrieve_rerank.template import Template

T = TypeVar("T")

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
_NETWORKS = ("Transformer", "MLMTransformer")
_MODULES = (
    *_NETWORKS,
    *("Pooling", "Normalize", "Dense", "Dropout", "MultiVectorMask"),
    *("SpladePooling", "SparseStaticEmbedding"),
)
_POOLING_FLAGS = {  # as written before sentence-transformers 5.4
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Module(NamedTuple):
    """One line of modules.json."""

    kind: str
    """Class name: Transformer, Pooling, Dense, …"""
    path: Path
    config: Mapping[str, Any]


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
    """Folders of the linear layers applied to every token's hidden state."""
    vector_projections: Sequence[Path] = ()
    """Folders of the linear layers applied to the pooled vector."""
    late_interaction: LateInteraction | None = None
    splade: Splade | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    pair_prompt: str = ""
    """What a pair model puts before its queries."""
    template: Template = field(default_factory=Template)
    calibration: Calibration | None = None
    """What `rr calibrate` wrote."""
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
    def label_names(self) -> list[str]:
        """What a pair model calls the scores that it gives each pair, in their order."""
        names = self.config.get("id2label") or {}
        return [str(names.get(str(n), f"LABEL_{n}")) for n in range(self.labels or 0)]

    @property
    def hidden_size(self) -> int:
        """Length of a token's hidden state."""
        for key in ("hidden_size", "dim", "d_model"):
            if key in self.config:
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
        return str(self.tokenizer.get("truncation_side", "right"))

    @property
    def licence(self) -> str | None:
        """The licence that the model card names."""
        try:
            card = (self.path / "README.md").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        front_matter = card.split("\n---", 1)[0] if card.startswith("---") else ""
        found = re.search(r"^license:\s*(\S+)", front_matter, re.MULTILINE)
        return found[1] if found else None

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
    modules = _modules(path)
    transformer = next((module.path for module in modules if module.kind in _NETWORKS), path)
    config = read_json(transformer / "config.json")
    if not config:
        raise ModelError(f"{path} holds no config.json; expected a model saved by transformers")
    tokenizer = read_json(transformer / "tokenizer_config.json")
    lengths = _lengths(transformer)
    whole = read_json(path / "config_sentence_transformers.json")
    settings = read_json(path / SETTINGS_FILE)
    late = read_late_interaction(whole, lengths, [(m.kind, m.config) for m in modules])
    recorded = {name: text for name, text in (whole.get("prompts") or {}).items() if text}
    by_token = [m for m in modules if m.kind == "Dense" and _reads_tokens(m, late=late)]
    return ModelFolder(
        path=path,
        transformer=transformer,
        config=config,
        tokenizer=tokenizer,
        max_tokens=_max_tokens(config, tokenizer, lengths),
        lowercase=bool(lengths.get("do_lower_case")),
        pooling=_pooling(modules),
        normalize=any(_reads_vector(m) for m in modules if m.kind == "Normalize"),
        token_projections=[m.path for m in by_token],
        vector_projections=[m.path for m in modules if m.kind == "Dense" and m not in by_token],
        late_interaction=late,
        splade=read_splade(whole, modules),
        prompts=_prefixed(recorded or dict(prompts or {}), whole),
        pair_prompt=recorded.get(whole.get("default_prompt_name") or "", ""),
        template=Template(_recorded(settings, "template", Template().pattern, path)),
        calibration=read_calibration(settings, where=path / SETTINGS_FILE),
        export=_recorded(settings, "export", {}, path),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is no file."""
    found = _load_json(path, default={})
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds a {type(found).__name__}; expected a JSON object")
    return found


def _load_json(path: Path, *, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except (OSError, ValueError) as exc:
        raise ModelError(f"cannot read {path}: {exc}") from exc


def _recorded(settings: Mapping[str, Any], name: str, default: T, path: Path) -> T:
    """Return what is recorded under a name; raise ModelError for what is unlike the default."""
    found = settings.get(name, default)
    if not isinstance(found, type(default)):
        kinds = f"{type(found).__name__}; expected a {type(default).__name__}"
        raise ModelError(f"{path / SETTINGS_FILE} records as {name} a {kinds}")
    return found


def _modules(path: Path) -> list[Module]:
    """Read modules.json; empty for a plain transformers checkpoint."""
    modules = []
    entries = _load_json(path / "modules.json", default=[])
    for type_, where in [(entry["type"], entry["path"]) for entry in entries]:
        if type_.rpartition(".")[2] == "Router":
            router = read_json(path / where / "router_config.json")
            routed = read_router(path, router)
            modules += [_module(path / where, module, kind) for kind, module in routed]
        else:
            modules.append(_module(path, where, type_))
    return modules


def _module(path: Path, where: str, type_: str) -> Module:
    kind = type_.rpartition(".")[2]
    if kind not in _MODULES:
        raise ModelError(f"{path} is built with the module {type_}; known: {', '.join(_MODULES)}")
    folder = path / where
    return Module(kind, folder, read_json(folder / "config.json"))


def _lengths(transformer: Path) -> dict[str, Any]:
    """Read sentence_bert_config.json, whose name once followed the model's type."""
    for file in sorted(transformer.glob("sentence_*_config.json")):
        return read_json(file)
    return {}


def _max_tokens(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], lengths: Mapping[str, Any]
) -> int:
    processor = lengths.get("processor_kwargs") or lengths.get("tokenizer_args") or {}
    stated = lengths.get("max_seq_length") or processor.get("model_max_length")
    if stated:
        return int(stated)
    limits = (_positions(config), tokenizer.get("model_max_length"))
    return int(min((n for n in limits if n and 0 < n < _UNLIMITED), default=DEFAULT_MAX_TOKENS))


def _positions(config: Mapping[str, Any]) -> int | None:
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.get("pad_token_id", 1) + 1  # their positions start after the padding's
    return positions


def _pooling(modules: Iterable[Module]) -> tuple[str, ...]:
    for module in modules:
        if module.kind == "Pooling":
            if not module.config:
                raise ModelError(f"{module.path} lacks config.json: how to pool is unknown")
            if module.config.get("include_prompt") is False:
                raise ModelError(f"{module.path} leaves the prompt out of the pooling: unsupported")
            mode = module.config.get("pooling_mode")
            if mode is not None:
                return (mode,) if isinstance(mode, str) else tuple(mode)
            flags = (mode for flag, mode in _POOLING_FLAGS.items() if module.config.get(flag))
            return tuple(flags) or ("mean",)
    return ("mean",)


def _reads_vector(module: Module) -> bool:
    name: str = module.config.get("module_input_name", "sentence_embedding")
    return name == "sentence_embedding"


def _reads_tokens(module: Module, *, late: LateInteraction | None) -> bool:
    # Late-interaction checkpoints older than the key mean the tokens.
    unnamed = late is not None and "module_input_name" not in module.config
    return unnamed or not _reads_vector(module)


def _prefixed(prompts: dict[str, str], whole: Mapping[str, Any]) -> dict[str, str]:
    """Put PyLate's markers for queries and documents before the prompts."""
    for key, name in (("query_prefix", "query"), ("document_prefix", "document")):
        prefix = whole.get(key) or ""
        if prefix:
            prompts[name] = prefix + prompts.get(name, "").removeprefix(prefix)
    return prompts
