"""Which files of a checkpoint hold its network, and which library should run them.

Looks at names of files only, so that it serves a folder and a listing of a repository alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from retrieve_rerank.errors import ConfigError, ModelError

_OPENVINO = ("openvino/openvino_model.xml", "openvino_model.xml")
_ONNX = ("onnx/model.onnx", "model.onnx")
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_GPU_FILES = (Path("/dev/nvidia0"), Path("/dev/kfd"))


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """The chosen form of a network."""

    form: str
    """"openvino", "onnx" or "safetensors"."""
    main: str
    """The file to open, relative to the checkpoint."""
    patterns: Sequence[str]
    """All files that belong to it, with * for any letters."""
    reason: str
    """Why this form was chosen, for people."""


def choose_network(
    files: Collection[str], *, on_gpu: bool, transformer: str = ""
) -> NetworkFiles | None:
    """Choose among a checkpoint's files; None where it has no network that we read.

    On the CPU: OpenVINO's own format, ONNX, safetensors, in this order. A GPU runs safetensors
    alone. `transformer` is the subfolder that old checkpoints keep the network in.
    """
    prefix = f"{transformer}/" if transformer else ""
    safetensors = next((prefix + name for name in _SAFETENSORS if prefix + name in files), None)
    from_torch = safetensors and NetworkFiles(
        "safetensors",
        safetensors,
        [f"{prefix}model*.safetensors", f"{prefix}model.safetensors.index.json"],
        "torch runs on the GPU" if on_gpu else "neither OpenVINO nor ONNX files are there",
    )
    if on_gpu:
        return from_torch or None
    for name in _OPENVINO:
        if name in files:
            weights = name.removesuffix("xml") + "bin"
            return NetworkFiles("openvino", name, [name, weights], "OpenVINO files are there")
    for name in _ONNX:
        if name in files:  # large networks keep their weights in a file beside
            patterns = [name, f"{name}_data", f"{name}.data"]
            return NetworkFiles("onnx", name, patterns, "ONNX files are there")
    return from_torch or None


def missing_network(files: Collection[str], *, where: str, on_gpu: bool) -> ModelError:
    """Explain that a checkpoint has no network that we read, and what to do."""
    if any(name.endswith(".gguf") for name in files):
        return unread_gguf(where)
    if on_gpu:
        return ModelError(f"{where} holds no safetensors, which a GPU needs; use device 'cpu'")
    if any(name.rpartition("/")[2] in _PICKLES for name in files):
        return ModelError(
            f"{where} holds its weights as pickles (.bin), which can run code when they are read."
            " Where you trust them, load the model with transformers or sentence-transformers and"
            " save it again with save_pretrained('folder'), which writes safetensors; then name"
            " that folder"
        )
    return ModelError(
        f"{where} holds no network; expected one of {', '.join(_OPENVINO + _ONNX + _SAFETENSORS)}"
    )


def unread_gguf(where: str) -> ModelError:
    """Explain that a model in llama.cpp's form is served, or made to a folder that is read here."""
    return ModelError(
        f"{where} is GGUF, llama.cpp's quantised form, which is not read here. Serve it with"
        " llama.cpp or Ollama and name openai:MODEL or ollama:MODEL; or make it a folder of"
        " safetensors, to run and to train here, as docs/llm.md shows under GGUF"
    )


def missing_gpu() -> ModelError:
    """Explain that a GPU was asked for where torch finds none."""
    return ModelError("torch finds no GPU; use device 'cpu', or a torch built for this GPU")


def wants_gpu(device: str) -> bool:
    """Whether "auto", "cpu" or "cuda" means a GPU here; loads nothing to find out."""
    kind = device.partition(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"unknown device {device!r}; known: auto, cpu, cuda, cuda:1, …")
    if kind == "auto":
        return any(file.exists() for file in _GPU_FILES) and find_spec("torch") is not None
    return kind == "cuda"
