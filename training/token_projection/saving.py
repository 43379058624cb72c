"""An encoder's folder with a projection of its tokens: a model like any other.

The layer comes after the pooling, so that texts get the vectors that they had, in this project as
in sentence-transformers, whose Dense module it is.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE, ModelFolder
from retrieve_rerank.models.checkpoints.folder_files import open_weights, read_json
from retrieve_rerank.models.checkpoints.resolving import portable_name
from retrieve_rerank.models.checkpoints.version_record import PROVENANCE_FILE, RECORD_FILE
from retrieve_rerank.models.encoders.encoder import TextEncoder

_TYPES = "sentence_transformers.models."
_WHOLE = "config_sentence_transformers.json"
_NOT_COPIED = shutil.ignore_patterns(RECORD_FILE, PROVENANCE_FILE, ".*")
_RUNTIMES = shutil.ignore_patterns("openvino", "onnx")
_WEIGHTS = shutil.ignore_patterns(
    *("*.safetensors", "*.index.json", "*.bin", "*.onnx", "*.onnx_data", "openvino_model.*"),
    *("*.h5", "*.msgpack"),
)


def check_base(encoder: TextEncoder) -> None:
    """Raise ConfigError for a model whose tokens are projected already."""
    if encoder.folder.late_interaction is not None:
        raise ConfigError(
            f"{encoder.name} is a late-interaction model, whose tokens were trained to have "
            f"{encoder.token_dimension} dimensions; expected an encoder"
        )
    if encoder.folder.tensor_projections and not encoder.folder.vectors_of:
        raise ConfigError(
            f"{encoder.name} was trained with a projection of its tokens; expected an encoder "
            "without one"
        )
    if encoder.folder.vectors_of:
        raise ConfigError(
            f"{encoder.name} has a projection of its tokens already; expected the encoder that it "
            f"was made from, {encoder.folder.vectors_of.get('name')}"
        )


def save_projected(encoder: TextEncoder, projection: Vectors, folder: Path) -> None:
    """Copy the encoder's folder into a new one, and add the projection, (dim, kept), to it.

    Raises ModelError where it cannot be written.
    """
    check_base(encoder)
    try:
        if folder.exists():
            shutil.rmtree(folder)
        copy_encoder(encoder.folder, folder)
        add_projection(encoder.folder, projection, folder)
        ours = read_json(folder / SETTINGS_FILE, absent={})
        ours["vectors_of"] = {
            "name": portable_name(encoder.name),
            "fingerprint": encoder.fingerprint,
        }
        _write(folder / SETTINGS_FILE, ours)
        open_weights(folder, like=SETTINGS_FILE)
    except OSError as exc:
        raise ModelError(f"cannot write {folder}: {exc.strerror or exc}") from exc


def copy_encoder(base: ModelFolder, folder: Path, *, network: bool = True) -> None:
    """Copy what an encoder's folder holds, with its network or without, into another one.

    Prompts that only we know are written down. Raises OSError.
    """

    def left_out(path: str, names: list[str]) -> set[str]:
        out = set(_NOT_COPIED(path, names))
        if not network:
            out |= set(_RUNTIMES(path, names))
            if Path(path) == base.transformer:
                out |= set(_WEIGHTS(path, names))
        return out

    shutil.copytree(base.path, folder, ignore=left_out, dirs_exist_ok=True)
    whole = read_json(folder / _WHOLE, absent={})
    if base.prompts and not whole.get("prompts"):
        _write(folder / _WHOLE, {**whole, "prompts": dict(base.prompts)})


def add_projection(base: ModelFolder, projection: Vectors, folder: Path) -> None:
    """Add a projection of tokens, (dim, kept), to a copy of an encoder's folder; raise OSError."""
    modules = read_json(folder / "modules.json", absent=[])
    if not modules:
        modules = [_entry(0, "", "Transformer"), _entry(1, "1_Pooling", "Pooling")]
        mean = {"word_embedding_dimension": base.hidden_size, "pooling_mode_mean_tokens": True}
        _write(folder / "1_Pooling" / "config.json", mean)
    last = len(modules)
    _write(folder / "modules.json", [*modules, _entry(last, f"{last}_Dense", "Dense")])
    dense = {
        "in_features": projection.shape[0],
        "out_features": projection.shape[1],
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
        "module_input_name": "token_embeddings",
    }
    _write(folder / f"{last}_Dense" / "config.json", dense)
    weights = {"linear.weight": np.ascontiguousarray(projection.T)}
    save_file(weights, folder / f"{last}_Dense" / "model.safetensors")


def _entry(number: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": f"{_TYPES}{kind}"}


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
