"""Checkpoints to their fast form: OpenVINO files, checked against the original.

Needs the extra `export`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import openvino as ov

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import FidelityError, InputError
from retrieve_rerank.models.checkpoints.folder import (
    LEXICAL_WEIGHTS,
    MODULE_WEIGHTS,
    SETTINGS_FILE,
)
from retrieve_rerank.models.checkpoints.folder_schema import read_settings
from retrieve_rerank.models.checkpoints.resolving import prompts_of
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.pooling import unit_rows
from retrieve_rerank.models.export.conversion import convert
from retrieve_rerank.models.export.fidelity import MIN_OVERLAP, MIN_TAU, Fidelity, compare
from retrieve_rerank.models.export.quantization import RECIPES, quantise
from retrieve_rerank.models.export.samples import (
    BUILT_IN,
    Sample,
    built_in_samples,
    halves,
    read_samples,
)
from retrieve_rerank.models.loading import (
    Checkpoint,
    find_checkpoint,
    load_encoder,
    load_pair_model,
)
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.runtimes.openvino import OpenVINOBackend

T = TypeVar("T")

logger = logging.getLogger(__name__)

PRECISIONS = ("int8", "bf16", "fp32")
TARGET_OVERLAP = 0.98
"""Top-10 overlap at which a faster int8 recipe is preferred to a more faithful one."""

_NETWORK = "openvino/openvino_model.xml"
_COPIED = (
    "config.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentence_*_config.json",
    "config_sentence_transformers.json",
    SETTINGS_FILE,
    "README.md",
    "LICENSE*",
    "NOTICE*",
    "*_*/config.json",  # of the modules that follow the network
    *MODULE_WEIGHTS,
    LEXICAL_WEIGHTS,
)
_CALIBRATED = 128  # sequences; twice as many changed nothing that we could measure
_CHECKED_QUERIES = 20
_CHECKED_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Export:
    """What was written."""

    folder: Path
    precision: str
    recipe: str | None
    """Which parts are int8; None at other precisions."""
    texts: str
    """What it was calibrated and checked on."""
    fidelity: Fidelity
    checked: str
    """What it was computed in for that."""
    megabytes: float
    """Size of the network."""


def export(
    name: str,
    out: Path,
    *,
    precision: str = "int8",
    calibrate: Path | None = None,
    force: bool = False,
    tokens: bool = False,
) -> Export:
    """Write the fast form of a model into the new folder `out`, and measure its fidelity.

    `calibrate` is a file as `read_samples` takes it; every other query serves to check. Of the
    int8 recipes the fastest is taken whose ten best are the original's to TARGET_OVERLAP. Raises
    FidelityError, leaving nothing behind, where overlap or tau fall below MIN_OVERLAP or MIN_TAU,
    unless `force`. An encoder is compared by the cosines of its vectors; where it is its `tokens`
    that are of use, by MaxSim, as late interaction is.
    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if out.exists():
        raise InputError(f"{out} exists already; expected the name of a new folder")
    checkpoint = find_checkpoint(name, device="cpu")
    if checkpoint.folder.export:
        raise InputError(f"{name} is an export already; name the model that it was made from")
    template = checkpoint.folder.template
    samples = read_samples(calibrate, template) if calibrate else built_in_samples()
    texts = str(calibrate) if calibrate else BUILT_IN
    calibration, held_out = halves(samples)
    held_out = held_out[:_CHECKED_QUERIES]
    original = _load(checkpoint)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        folder = Path(temporary) / out.name
        _copy_settings(checkpoint, folder)
        _record(folder, precision=precision)
        expected = _scores(original, held_out, tokens=tokens)
        for recipe in RECIPES if precision == "int8" else (None,):
            network = _network(checkpoint)
            if recipe is not None:
                sequences = _sequences(original, calibration)
                network = quantise(network, sequences, pad_id=original.pad_id, recipe=recipe)
            _save(network, folder, precision=precision)
            fidelity, checked = _check(folder, held_out, expected, tokens=tokens)
            logger.info("%s, %s: %s", precision, recipe, fidelity)
            if fidelity.top_10_overlap >= TARGET_OVERLAP:
                break
        if not (fidelity.acceptable or force):
            raise FidelityError(
                f"at {precision} {name} strays too far: top-10 overlap"
                f" {fidelity.top_10_overlap:.3f} (at least {MIN_OVERLAP}), Kendall's tau"
                f" {fidelity.kendall_tau:.3f} (at least {MIN_TAU}) over {fidelity.queries} queries"
                f" of {texts}; calibrate on texts of your own, choose another precision, or force"
            )
        written = Export(out, precision, recipe, texts, fidelity, checked, _megabytes(folder))
        _record(
            folder,
            precision=precision,
            recipe=recipe,
            source=checkpoint.name,
            source_fingerprint=checkpoint.fingerprint,
            texts=texts,
            fidelity=fidelity.as_dict(),
            checked=checked,
        )
        os.replace(folder, out)
    return written


def _load(checkpoint: Checkpoint) -> TextEncoder | PairModel:
    load = load_encoder if checkpoint.folder.labels is None else load_pair_model
    return load(checkpoint.name, device="cpu")


def _check(
    folder: Path, samples: Sequence[Sample], expected: Sequence[Vectors], *, tokens: bool
) -> tuple[Fidelity, str]:
    """Compare with the original's scores; say also what the exported model was computed in."""
    checkpoint = find_checkpoint(str(folder), device="cpu")
    model = _load(checkpoint)
    # Compared as it computes where the CPU has int8 instructions, whether or not this one has.
    model.backend = OpenVINOBackend(
        folder / _NETWORK,
        precision=checkpoint.precision,
        threads=None,
        emulate_int8=checkpoint.precision == "int8",
    )
    return compare(expected, _scores(model, samples, tokens=tokens)), model.backend.description


def _network(checkpoint: Checkpoint) -> ov.Model:
    transformer = checkpoint.folder.transformer
    if any(transformer.glob("model*.safetensors")):
        return convert(transformer, pairs=checkpoint.folder.labels is not None)
    return ov.Core().read_model(checkpoint.folder.path / checkpoint.network.main)


def _save(network: ov.Model, folder: Path, *, precision: str) -> None:
    (folder / "openvino").mkdir(exist_ok=True)
    try:
        ov.save_model(network, folder / _NETWORK, compress_to_fp16=precision != "fp32")
    except RuntimeError as exc:  # a stream's, which does not say what is wrong
        free = shutil.disk_usage(folder).free >> 20
        raise OSError(f"OpenVINO cannot write its file ({free:,} MiB are free there)") from exc


def _scores(
    model: TextEncoder | PairModel, samples: Sequence[Sample], *, tokens: bool
) -> list[Vectors]:
    """Score what each query is compared with, one array (documents,) a query.

    A pair model scores the query's own documents: logits. An encoder searches the documents of
    all queries together: cosines, or MaxSim for late interaction and for `tokens`.
    """
    if isinstance(model, PairModel):
        pairs = [[(query, d) for d in found[:_CHECKED_DOCUMENTS]] for query, found in samples]
        return [model.score(of_query).scores for of_query in pairs]
    documents = list(dict.fromkeys(d for sample in samples for d in sample.documents))
    queries = [sample.query for sample in samples]
    if model.folder.late_interaction or tokens:
        embedded = model.embed_document_tokens(documents)
        return [max_sim(query, embedded) for query in model.embed_query_tokens(queries)]
    vectors = unit_rows(model.embed_documents(documents))
    return [vectors @ query for query in unit_rows(model.embed_queries(queries))]


def _sequences(model: TextEncoder | PairModel, samples: Sequence[Sample]) -> list[Tokens]:
    """Tokenise texts from all over the samples, about _CALIBRATED sequences."""
    if isinstance(model, PairModel):
        pairs = [(query, document) for query, documents in samples for document in documents]
        return model.tokenize(_spread(pairs, _CALIBRATED))
    queries = model.tokenize_queries([sample.query for sample in samples])
    documents = model.tokenize_documents([d for sample in samples for d in sample.documents])
    return [*_spread(queries, _CALIBRATED // 5), *_spread(documents, _CALIBRATED * 4 // 5)]


def _spread(items: Sequence[T], count: int) -> Sequence[T]:
    step = max(1, -(-len(items) // count))
    return items[::step]


def _copy_settings(checkpoint: Checkpoint, folder: Path) -> None:
    """Copy what the model needs beside its network, prompts that only we know included."""
    source = checkpoint.folder
    for pattern in _COPIED:
        for base in {source.path, source.transformer}:
            for file in base.glob(pattern):
                copy = folder / file.relative_to(source.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    prompts = prompts_of(checkpoint.name)
    if prompts:
        file = folder / "config_sentence_transformers.json"
        _write_json(file, {**read_settings(file, {}), "prompts": dict(source.prompts)})


def _record(folder: Path, **facts: Any) -> None:
    file = folder / SETTINGS_FILE
    _write_json(file, {**read_settings(file, {}), "export": {**facts, "openvino": ov.__version__}})


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in (folder / _NETWORK).parent.iterdir()) / 1e6
