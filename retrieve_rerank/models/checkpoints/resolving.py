"""Names of models to folders on this machine: aliases, folders, versions trained here, hub ids."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from retrieve_rerank.errors import ModelError, ModelNotFoundError
from retrieve_rerank.models.catalog.embedding_apis import APIS
from retrieve_rerank.models.catalog.rerank_apis import RERANK_APIS
from retrieve_rerank.models.checkpoints.network_files import unread_gguf
from retrieve_rerank.models.checkpoints.version_lookup import find_version
from retrieve_rerank.network.addresses import redacted

_USER = re.compile(r":.*@", re.DOTALL)
_VERSION = re.compile(r"[\w.-]+@\d+")  # not of a user at a host
_BUNDLED = Path(__file__).parents[1] / "bundled"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that we know by name."""

    repository: str
    """Its id on the Hugging Face hub; empty for one that only comes with the package."""
    kind: str
    """"encoder", "cross-encoder" or "late interaction"."""
    about: str
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What its authors tell users to put before texts, where its files do not record it."""


_E5 = {"query": "query: ", "document": "passage: "}
_BGE_EN = {"query": "Represent this sentence for searching relevant passages: "}
_BGE_ZH = {"query": "为这个句子生成表示以用于检索相关文章："}
# https://huggingface.co/nomic-ai/nomic-embed-text-v1.5#usage
_NOMIC = {"query": "search_query: ", "document": "search_document: "}
# https://huggingface.co/Qwen/Qwen3-Embedding-0.6B, config_sentence_transformers.json
_QWEN3 = {
    "query": "Instruct: Given a web search query, retrieve relevant passages that answer the"
    " query\nQuery:"
}

ALIASES: Mapping[str, KnownModel] = {
    "all-MiniLM-L6-v2": KnownModel(
        "sentence-transformers/all-MiniLM-L6-v2", "encoder", "English; comes with the package"
    ),
    "bge-m3": KnownModel("BAAI/bge-m3", "encoder", "more than 100 languages, 8192 tokens"),
    "multilingual-e5-small": KnownModel(
        "intfloat/multilingual-e5-small", "encoder", "94 languages, small", _E5
    ),
    "multilingual-e5-base": KnownModel(
        "intfloat/multilingual-e5-base", "encoder", "94 languages", _E5
    ),
    "bge-small-en-v1.5": KnownModel("BAAI/bge-small-en-v1.5", "encoder", "English, small", _BGE_EN),
    "bge-base-en-v1.5": KnownModel("BAAI/bge-base-en-v1.5", "encoder", "English", _BGE_EN),
    "bge-small-zh-v1.5": KnownModel("BAAI/bge-small-zh-v1.5", "encoder", "Chinese, small", _BGE_ZH),
    "bce-embedding-base_v1": KnownModel(
        "maidalun1020/bce-embedding-base_v1", "encoder", "Chinese and English"
    ),
    "gte-modernbert-base": KnownModel(
        "Alibaba-NLP/gte-modernbert-base", "encoder", "English, 8192 tokens"
    ),
    "qwen3-embedding-0.6b": KnownModel(
        "Qwen/Qwen3-Embedding-0.6B", "encoder", "more than 100 languages, 32768 tokens"
    ),
    "gte-moderncolbert-v1": KnownModel(
        "lightonai/GTE-ModernColBERT-v1", "late interaction", "English"
    ),
    "MiniLM-L6-reranker": KnownModel("", "cross-encoder", "English; comes with the package"),
    "ms-marco-MiniLM-L6-v2": KnownModel(
        "cross-encoder/ms-marco-MiniLM-L6-v2", "cross-encoder", "English, fast"
    ),
    "ms-marco-MiniLM-L12-v2": KnownModel(
        "cross-encoder/ms-marco-MiniLM-L12-v2", "cross-encoder", "English"
    ),
    "bge-reranker-base": KnownModel(
        "BAAI/bge-reranker-base", "cross-encoder", "Chinese and English"
    ),
    "bge-reranker-large": KnownModel(
        "BAAI/bge-reranker-large", "cross-encoder", "Chinese and English, slow"
    ),
    "bge-reranker-v2-m3": KnownModel(
        "BAAI/bge-reranker-v2-m3", "cross-encoder", "more than 100 languages, 8192 tokens"
    ),
    "bce-reranker-base_v1": KnownModel(
        "maidalun1020/bce-reranker-base_v1", "cross-encoder", "Chinese, English, Japanese, Korean"
    ),
    "gte-reranker-modernbert-base": KnownModel(
        "Alibaba-NLP/gte-reranker-modernbert-base", "cross-encoder", "English, 8192 tokens"
    ),
}
"""Short name -> model."""

_SERVED: Mapping[str, Mapping[str, str]] = {
    "nomic-embed-text": _NOMIC,
    "nomic-embed-text-v1": _NOMIC,
    "nomic-embed-text-v1.5": _NOMIC,
    "mxbai-embed-large": _BGE_EN,  # https://www.mixedbread.com/docs/embeddings/mxbai-embed-large-v1
    "mxbai-embed-large-v1": _BGE_EN,
    "qwen3-embedding": _QWEN3,
    "qwen3-embedding-0.6b": _QWEN3,
    "qwen3-embedding-4b": _QWEN3,
    "qwen3-embedding-8b": _QWEN3,
}
"""Prompts of models that servers run, which have no files here that would record them."""


def resolve(name: str, *, on_gpu: bool = False) -> Path:
    """Return the folder of the model called `name`, downloading it if it is one of the hub's.

    `docs-reranker` is the promoted version of a model that was trained here, `docs-reranker@2`
    another. Raises ModelNotFoundError where there is none, ModelError where its files are unusable.
    """
    folder = local_folder(name)
    if folder is None and name not in ALIASES:
        folder = find_version(name)
    if folder is not None:
        return folder
    if name.endswith(".gguf") and os.path.isfile(os.path.expanduser(name)):
        raise unread_gguf(name)
    repository = ALIASES[name].repository if name in ALIASES else name
    parts = repository.split("/")
    if len(parts) != 2 or not all(parts) or parts[0] in (".", "..", "~") or ":" in name:
        wrong = f"no model {name if _VERSION.fullmatch(name) else redacted(name)!r}"
        if _is_service(name):
            wrong = f"{redacted(name)} is run by a service: nothing to load or inspect is here"
        raise ModelNotFoundError(
            f"{wrong}; expected a folder, a hub id such as 'BAAI/bge-m3', or a name that"
            " `rr models list` shows"
        )
    # Imported here because it takes longer than loading the bundled encoder.
    hub = import_module("retrieve_rerank.models.checkpoints.hub")
    return Path(hub.download(repository, on_gpu=on_gpu))


def local_folder(name: str) -> Path | None:
    """Return the folder of a bundled model or of a path; None for a name of the hub."""
    bundled = _BUNDLED / name
    if name in ALIASES and bundled.is_dir():
        return bundled
    folder = os.path.expanduser(name)
    return Path(folder) if os.path.isdir(folder) else None


def check_served_model(kind: str, model: str, *, url_variable: str) -> None:
    """Raise ModelError where a URL stands in place of a server's model, as it may hold a password.

    Such a name would be recorded, and be told in reports and errors.
    """
    if model.startswith("/") or ":/" in model or _USER.search(model):
        raise ModelError(
            f"{redacted(f'{kind}:{model}')} names no model: expected {kind}:MODEL, and the"
            f" server's URL in {url_variable}"
        )


def _is_service(name: str) -> bool:
    kind, colon, _ = name.partition(":")
    return bool(colon) and (kind in RERANK_APIS or kind in APIS)


def portable_name(name: str) -> str:
    """Return what loads a model from whatever folder one works in: the name, or its full path."""
    folder = os.path.expanduser(name)
    is_folder = name not in ALIASES and os.path.isdir(folder)
    return str(Path(folder).absolute()) if is_folder else name


def prompts_of(name: str) -> Mapping[str, str]:
    """Return the prompts for a known model, by alias or hub id, whose files record none."""
    for alias, model in ALIASES.items():
        if name in (alias, model.repository):
            return model.prompts
    return {}


def served_prompts(model: str) -> Mapping[str, str]:
    """Return the prompts for a model as a server names it; empty for one that we do not know.

    `organisation/model` and `model:tag` are looked up as `model`, whatever the case.
    """
    short = model.rpartition("/")[2].partition(":")[0].lower()
    if short in _SERVED:
        return _SERVED[short]
    known = (m for m in ALIASES.values() if m.repository.rpartition("/")[2].lower() == short)
    return next((m.prompts for m in known), {})


def is_present(name: str) -> bool:
    """Whether an alias can be loaded without a network."""
    if local_folder(name) is not None:
        return True
    hub = import_module("retrieve_rerank.models.checkpoints.hub")
    return hub.cached_folder(ALIASES[name].repository) is not None
