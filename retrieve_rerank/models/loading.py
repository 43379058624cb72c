"""Names to loaded models.

The one place that chooses which library runs a model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.backend import Backend
from retrieve_rerank.models.encoder import TextEncoder
from retrieve_rerank.models.folder import ModelFolder, read_folder
from retrieve_rerank.models.openvino_backend import OpenVINOBackend
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.models.resolving import resolve
from retrieve_rerank.models.tokenization import TextTokenizer

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""The encoder that comes with the package."""


def load_encoder(
    name: str = DEFAULT_ENCODER, *, device: str = "auto", threads: int | None = None
) -> TextEncoder:
    """Load an encoder: an alias, a folder, or a hub id.

    `device` is "auto" (a GPU if there is one and the model can use it), "cpu" or "cuda".
    `threads` bounds the CPU threads; all cores when None. Raises ModelNotFoundError or
    ModelError.
    """
    folder = read_folder(resolve(name))
    if folder.labels is not None:
        raise ModelError(f"{name} scores pairs of texts; expected an encoder")
    return TextEncoder(
        name=name,
        fingerprint=fingerprint(folder),
        folder=folder,
        tokenizer=_tokenizer(folder),
        backend=_backend(folder, device=device, threads=threads),
    )


def load_pair_model(name: str, *, device: str = "auto", threads: int | None = None) -> PairModel:
    """Load a cross-encoder: an alias, a folder, or a hub id; arguments as for `load_encoder`."""
    folder = read_folder(resolve(name))
    if folder.labels is None:
        raise ModelError(f"{name} is an encoder; expected a model that scores pairs of texts")
    if folder.labels != 1:
        raise ModelError(f"{name} gives each pair {folder.labels} labels; expected one score")
    return PairModel(
        name=name,
        fingerprint=fingerprint(folder),
        folder=folder,
        tokenizer=_tokenizer(folder),
        backend=_backend(folder, device=device, threads=threads),
    )


def fingerprint(folder: ModelFolder) -> str:
    """Return a hash over settings and weights, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(folder.path.rglob("*")):
        if file.suffix in (".json", ".bin", ".onnx", ".safetensors", ".xml"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _tokenizer(folder: ModelFolder) -> TextTokenizer:
    return TextTokenizer(
        folder.transformer / "tokenizer.json",
        max_tokens=folder.max_tokens,
        truncation_side=folder.truncation_side,
        lowercase=folder.lowercase,
        pad_token=folder.pad_token,
    )


def _backend(folder: ModelFolder, *, device: str, threads: int | None) -> Backend:
    network = _network_file(folder)
    return OpenVINOBackend(
        network, precision=str(folder.export.get("precision", "fp32")), threads=threads
    )


def _network_file(folder: ModelFolder) -> Path:
    for file in ("openvino/openvino_model.xml", "openvino_model.xml", "onnx/model.onnx"):
        if (folder.path / file).is_file():
            return folder.path / file
    raise ModelError(f"{folder.path} holds neither OpenVINO nor ONNX files")
