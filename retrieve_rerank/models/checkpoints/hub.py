"""Checkpoints of the Hugging Face hub, downloaded once and then read from its local cache.

Takes safetensors, ONNX and OpenVINO files only: never pickles, never code.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from retrieve_rerank.errors import ConfigError, ModelError, ModelNotFoundError
from retrieve_rerank.models.checkpoints.folder import LEXICAL_WEIGHTS, MODULE_WEIGHTS
from retrieve_rerank.models.checkpoints.folder_files import check_size, list_files
from retrieve_rerank.models.checkpoints.network_files import (
    NetworkFiles,
    choose_network,
    missing_network,
)
from retrieve_rerank.network.answers import said
from retrieve_rerank.network.proxies import through

_TIMEOUT_S = 10.0
_SETTINGS = ["*.json", "README.md", "chat_template.jinja", *MODULE_WEIGHTS, LEXICAL_WEIGHTS]
# What the library makes of an answer that it does not expect.
_UNEXPECTED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


def download(repository: str, *, on_gpu: bool) -> Path:
    """Return the folder of a repository ("owner/name"), downloading what is not in the cache.

    A cached checkpoint is used as it is, without asking the network for a newer one: an index
    must go on matching the model that built it.
    """
    cached = cached_folder(repository, on_gpu=on_gpu)
    if cached is not None:
        return cached
    try:
        listing = HfApi().model_info(repository, timeout=_TIMEOUT_S, files_metadata=True)
        siblings = listing.siblings or []
        files = [file.rfilename for file in siblings]
        network = _choose(files, on_gpu=on_gpu)
        if network is None:
            raise missing_network(files, where=repository, on_gpu=on_gpu)
        patterns = [*_SETTINGS, *network.patterns]
        wanted = [f for f in siblings if any(fnmatch(f.rfilename, each) for each in patterns)]
        for file in wanted:
            check_size(Path(repository, file.rfilename), file.size or 0)
        return _snapshot(patterns, repository, offline=False)
    except GatedRepoError as exc:
        raise ModelNotFoundError(
            f"{repository} asks for its terms to be accepted: do so at"
            f" {constants.ENDPOINT}/{repository} and set HF_TOKEN to your token"
        ) from exc
    except (RepositoryNotFoundError, HFValidationError) as exc:
        raise ModelNotFoundError(
            f"no model {repository!r} at {constants.ENDPOINT}; if it is private, set HF_TOKEN"
        ) from exc
    except ModelError:
        raise
    except Exception as exc:
        raise _failure(repository, exc) from exc


def cached_folder(repository: str, *, on_gpu: bool = False) -> Path | None:
    """Return the cached folder of a repository; None where its network is not all there."""
    try:
        folder = _snapshot(_SETTINGS, repository, offline=True)
        files = list_files(folder)
        network = _choose(files, on_gpu=on_gpu)
        if network is None:
            return None
        return _snapshot([*_SETTINGS, *network.patterns], repository, offline=True)
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _choose(files: Sequence[str], *, on_gpu: bool) -> NetworkFiles | None:
    """Choose a repository's network, in the folder of its module where it is not at the root."""
    inner = next((f for f in files if f.endswith("Transformer/model.safetensors")), "")
    return choose_network(files, on_gpu=on_gpu) or choose_network(
        files, on_gpu=on_gpu, transformer=inner.rpartition("/")[0]
    )


def _failure(repository: str, exc: Exception) -> ModelError:
    came = f"{type(exc).__name__}: {said(exc)}"
    if isinstance(exc, _UNEXPECTED) and not isinstance(exc, OSError):
        return ModelError(
            f"{constants.ENDPOINT} answers{_through()} otherwise than a hub of models: expected the"
            f" files of {repository} in JSON ({came}). Does a proxy or a login page stand before"
            " it, and is HF_ENDPOINT right?"
        )
    # Offline, refused, timed out: each of the HTTP library's own kind.
    return ModelNotFoundError(
        f"{repository} is not in the local cache {constants.HF_HUB_CACHE}, and"
        f" {constants.ENDPOINT} does not answer{_through()} ({came}). Where there is a network run"
        f" `hf download {repository}` and copy that folder here, or name a local folder"
    )


def _through() -> str:
    try:
        return through(constants.ENDPOINT)
    except ConfigError as exc:
        return f" through a proxy that cannot be used: {exc}"


def _snapshot(patterns: Sequence[str], repository: str, *, offline: bool) -> Path:
    return Path(
        snapshot_download(repository, allow_patterns=list(patterns), local_files_only=offline)
    )
