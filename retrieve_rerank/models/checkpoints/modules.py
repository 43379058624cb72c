"""The modules that a checkpoint of sentence-transformers is built of, as its folder lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from retrieve_rerank.errors import ModelError, shown
from retrieve_rerank.models.checkpoints import folder_schema as schema
from retrieve_rerank.models.checkpoints.folder_files import AGAIN, read_json
from retrieve_rerank.models.checkpoints.folder_schema import checked, read_settings
from retrieve_rerank.models.checkpoints.late_interaction import LateInteraction
from retrieve_rerank.models.checkpoints.sparse_layout import read_router
from retrieve_rerank.models.encoders.pooling import POOLING

NETWORKS = ("Transformer", "MLMTransformer")
_MODULES = (
    *NETWORKS,
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


def read_modules(path: Path) -> list[Module]:
    """Read modules.json; empty for a plain checkpoint of transformers. Raises ModelError."""
    file = path / "modules.json"
    entries = read_json(file, absent=[])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelError(f"{file} holds something else than a list of modules; {AGAIN}")
    modules = []
    for number, entry in enumerate(entries):
        given = checked(entry, schema.ENTRY, where=f"{file}, module {number},")
        if given.get("type") is None or given.get("path") is None:
            raise ModelError(f"{file} lacks the type or the path of module {number}; {AGAIN}")
        type_, where = given["type"], given["path"]
        if type_.rpartition(".")[2] == "Router":
            router = read_settings(_inner(path, where) / "router_config.json", schema.ROUTER)
            routed = read_router(path, router)
            modules += [_module(path / where, module, kind) for kind, module in routed]
        else:
            modules.append(_module(path, where, type_))
    return modules


def _module(path: Path, where: str, type_: str) -> Module:
    kind = type_.rpartition(".")[2]
    if kind not in _MODULES:
        raise ModelError(
            f"{path} is built with the module {shown(type_)}; known: {', '.join(_MODULES)}"
        )
    folder = _inner(path, where)
    # A network's own config.json is read with the rest of it.
    config = {} if kind in NETWORKS else read_settings(folder / "config.json", schema.MODULE)
    return Module(kind, folder, config)


def _inner(path: Path, where: str) -> Path:
    """Return a folder within `path`; raise ModelError for one that is elsewhere."""
    inner = PurePosixPath(where)
    if inner.is_absolute() or ".." in inner.parts:
        raise ModelError(f"{path} names a module in {shown(where)}; expected a folder within it")
    return path / where


def pooling_modes(modules: Iterable[Module]) -> tuple[str, ...]:
    """Return how hidden states are pooled; raise ModelError where that is unknown."""
    module = next((module for module in modules if module.kind == "Pooling"), None)
    if module is None:
        return ("mean",)
    if not module.config:
        raise ModelError(f"{module.path} lacks config.json: how to pool is unknown")
    if module.config.get("include_prompt") is False:
        raise ModelError(f"{module.path} leaves the prompt out of the pooling: unsupported")
    stated = module.config.get("pooling_mode")
    if stated is None:
        stated = [mode for flag, mode in _POOLING_FLAGS.items() if module.config.get(flag)]
    modes = (stated,) if isinstance(stated, str) else tuple(stated)
    for mode in modes:
        if mode not in POOLING:
            known = f"known: {', '.join(sorted(POOLING))}"
            raise ModelError(f"{module.path} pools by {shown(mode)}, which is unknown; {known}")
    return modes or ("mean",)


def reads_vector(module: Module) -> bool:
    """Whether a module takes the pooled vector."""
    return module.config.get("module_input_name") in (None, "sentence_embedding")


def reads_tokens(module: Module, *, late: LateInteraction | None) -> bool:
    """Whether a module takes every token's state."""
    # Late-interaction checkpoints older than the key mean the tokens.
    unnamed = late is not None and "module_input_name" not in module.config
    return unnamed or not reads_vector(module)
