"""Names to loaded models.

The one place that chooses which library runs a model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from retrieve_rerank.errors import ConfigError, MissingExtraError, ModelError
from retrieve_rerank.models.checkpoints.folder import (
    MODULE_WEIGHTS,
    SETTINGS_FILE,
    ModelFolder,
    read_folder,
)
from retrieve_rerank.models.checkpoints.folder_files import list_files
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.checkpoints.labels import Label, choose_label
from retrieve_rerank.models.checkpoints.late_interaction import LateInteraction
from retrieve_rerank.models.checkpoints.network_files import (
    NetworkFiles,
    choose_network,
    missing_gpu,
    missing_network,
    wants_gpu,
)
from retrieve_rerank.models.checkpoints.resolving import prompts_of, resolve
from retrieve_rerank.models.checkpoints.version_record import UNSCORED
from retrieve_rerank.models.checkpoints.weights import check_weights
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.models.runtimes.engine import Backend
from retrieve_rerank.models.tokenizers.texts import TextTokenizer
from retrieve_rerank.network.addresses import redacted

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""The encoder that comes with the package."""

BUNDLED_RERANKER = "MiniLM-L6-reranker"
"""The cross-encoder that comes with it, which training starts from where nothing else is named."""

_HASHED_WHOLE = 1 << 20  # bytes
_BLOCKS = 256
_BLOCK = 4096  # bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model found on this machine: what its folder records, and the network to run."""

    name: str
    folder: ModelFolder
    network: NetworkFiles
    device: str
    """"cpu", "cuda", "cuda:1", …"""

    @property
    def precision(self) -> str:
        """What it was exported at; "fp32" for checkpoints that were not."""
        return str(self.folder.export.get("precision", "fp32"))

    @property
    def fingerprint(self) -> str:
        """A hash over settings and weights, 16 hexadecimal digits.

        A calibration is left out, as scores do not depend on it, and so is what a version's folder
        tells of its training. Of large files it reads the size
        and 256 blocks throughout: training changes all of them, and a model of gigabytes would
        take seconds to read.
        """
        digest = hashlib.sha256()
        ours = self.folder.path / SETTINGS_FILE
        for file in sorted(set(self._files())):
            blocks = _uncalibrated(file) if file == ours else _blocks(file)
            for number, block in enumerate(blocks):
                if number == 0:
                    digest.update(file.relative_to(self.folder.path).as_posix().encode())
                digest.update(block)
        return digest.hexdigest()[:16]

    def _files(self) -> Iterator[Path]:
        settings = ("*.json", "*_*/*.json", *MODULE_WEIGHTS)
        for pattern in (*self.network.patterns, *settings):
            found = self.folder.path.glob(pattern)
            yield from (each for each in found if each.is_file() and each.name not in UNSCORED)


def find_checkpoint(name: str, *, device: str = "auto") -> Checkpoint:
    """Find an alias, a folder, or a hub id, and choose what will run it.

    `device` is "auto" (a GPU where there is one, torch is installed and the checkpoint has
    safetensors), "cpu" or "cuda". Raises ModelNotFoundError or ModelError.
    """
    on_gpu = wants_gpu(device)
    if on_gpu and device != "auto" and not _torch_backend(name).gpu():
        raise missing_gpu()
    path = resolve(name, on_gpu=on_gpu)
    files = list_files(path)
    folder = read_folder(path, prompts=prompts_of(name))
    inner = folder.transformer.relative_to(path).as_posix()
    where = "" if inner == "." else inner
    network = choose_network(files, on_gpu=on_gpu, transformer=where)
    if on_gpu and device == "auto" and (network is None or not _torch_backend(name).gpu()):
        on_gpu = False
        network = choose_network(files, on_gpu=False, transformer=where)
    if network is None:
        raise missing_network(files, where=str(path), on_gpu=on_gpu)
    check_weights(folder, network, files)
    chosen = ("cuda" if device == "auto" else device) if on_gpu else "cpu"
    return Checkpoint(name, folder, network, chosen)


def load_encoder(
    name: str = DEFAULT_ENCODER, *, device: str = "auto", threads: int | None = None
) -> TextEncoder:
    """Load an encoder: an alias, a folder, or a hub id.

    `device` as for `find_checkpoint`; `threads` bounds the CPU threads, all cores when None.
    Raises ModelNotFoundError or ModelError.
    """
    checkpoint = find_checkpoint(name, device=device)
    if checkpoint.folder.labels is not None:
        raise ModelError(f"{name} scores pairs of texts; expected an encoder")
    if checkpoint.folder.splade is not None:
        raise ModelError(f"{name} is a sparse encoder, for --sparse-encoder; expected a dense one")
    document_tokenizer = load_tokenizer(checkpoint.folder)
    late = checkpoint.folder.late_interaction
    return TextEncoder(
        name=name,
        fingerprint=checkpoint.fingerprint,
        folder=checkpoint.folder,
        query_tokenizer=_query_tokenizer(checkpoint.folder, late) if late else document_tokenizer,
        document_tokenizer=document_tokenizer,
        backend=load_backend(checkpoint, threads=threads),
    )


def load_pair_model(
    name: str,
    *,
    device: str = "auto",
    threads: int | None = None,
    label: Label | None = None,
    max_tokens: int | None = None,
) -> PairModel:
    """Load a cross-encoder: an alias, a folder, or a hub id; arguments as for `load_encoder`.

    `label` says what the score of a model with several labels is, as for `choose_label`, which
    raises InputError where it is missing. `max_tokens` is how many it reads of a pair; the
    checkpoint's own limit when None.
    """
    checkpoint = find_checkpoint(name, device=device)
    if max_tokens is not None:
        checkpoint = replace(checkpoint, folder=checkpoint.folder.with_max_tokens(max_tokens))
    if checkpoint.folder.labels is None:
        raise ModelError(f"{name} is an encoder; expected a model that scores pairs of texts")
    label_score = choose_label(checkpoint.folder.label_names, label, model=name)
    return PairModel(
        name=name,
        fingerprint=checkpoint.fingerprint,
        folder=checkpoint.folder,
        tokenizer=load_tokenizer(checkpoint.folder),
        backend=load_backend(checkpoint, threads=threads),
        label_score=label_score,
    )


def load_backend(
    checkpoint: Checkpoint, *, vocabulary: bool = False, threads: int | None = None
) -> Backend:
    """Load the network, with its head over the vocabulary where that is asked for.

    Raises MissingExtraError where it needs torch, which is not installed, and ConfigError for
    `threads` below 1.
    """
    check_threads(threads)
    folder = checkpoint.folder
    if checkpoint.network.form != "safetensors":
        openvino = import_module("retrieve_rerank.models.runtimes.openvino")
        backend: Backend = openvino.OpenVINOBackend(
            folder.path / checkpoint.network.main,
            precision=checkpoint.precision,
            threads=threads,
        )
        return backend
    backend = _torch_backend(checkpoint.name).TorchBackend(
        folder.transformer,
        head="vocabulary" if vocabulary else "none" if folder.labels is None else "scores",
        device=checkpoint.device,
        threads=threads,
    )
    return backend


def check_threads(threads: int | None) -> None:
    """Raise ConfigError for a number of threads that no library takes."""
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1; got {threads}")


def _torch_backend(name: str) -> ModuleType:
    try:
        return import_module("retrieve_rerank.models.runtimes.torch")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError(f"running {redacted(name)} from safetensors", "torch") from exc


def load_tokenizer(folder: ModelFolder) -> TextTokenizer:
    """Load the tokenizer of documents, or of pairs."""
    late = folder.late_interaction
    return TextTokenizer(
        folder.transformer / "tokenizer.json",
        max_tokens=(late.document_tokens if late else None) or folder.max_tokens,
        truncation_side=folder.truncation_side,
        lowercase=folder.lowercase,
        pad_token=folder.special_token("pad_token"),
        markers=late.markers if late else (),
    )


def _query_tokenizer(folder: ModelFolder, late: LateInteraction) -> TextTokenizer:
    max_tokens = late.query_tokens or folder.max_tokens
    if late.expansion:
        length = late.expansion.length
        max_tokens = length if late.expansion.cut else max(max_tokens, length)
    return TextTokenizer(
        folder.transformer / "tokenizer.json",
        max_tokens=max_tokens,
        truncation_side=folder.truncation_side,
        lowercase=folder.lowercase,
        pad_token=folder.special_token("pad_token"),
        markers=late.markers,
        expansion=late.expansion,
        mask_token=folder.special_token("mask_token") or folder.special_token("eos_token"),
    )


def _uncalibrated(file: Path) -> Iterator[bytes]:
    """Yield our settings as they were before they were given a calibration; nothing for no file."""
    settings = read_settings(file, OURS)
    if "calibration" not in settings:
        yield file.read_bytes()
    elif len(settings) > 1:
        rest = {name: value for name, value in settings.items() if name != "calibration"}
        yield (json.dumps(rest, indent=2, ensure_ascii=False) + "\n").encode()  # as we export them


def _blocks(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    if size <= _HASHED_WHOLE:
        yield file.read_bytes()
        return
    yield str(size).encode()
    with file.open("rb") as opened:
        for number in range(_BLOCKS):
            opened.seek(number * (size - _BLOCK) // (_BLOCKS - 1), os.SEEK_SET)
            yield opened.read(_BLOCK)
