"""RAG-Retrieval's configurations of rerankers, of before and after July 2025, as they are.

https://github.com/NovaSearch-Team/RAG-Retrieval, rag_retrieval/train/reranker: the keys of
config/training_bert.yaml and training_llm.yaml and their defaults in train_reranker.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource, gathered
from retrieve_rerank.training.recipe import Recipe, check_keys, notes_on_formats
from retrieve_rerank.training.sampling import Resampled, ShuffledTexts
from retrieve_rerank.training.trainers.settings import TrainerSettings

_DEFAULTS: Mapping[str, Any] = {
    "model_name_or_path": None,
    "model_type": "bert_encoder",
    "num_labels": 1,
    "train_dataset": None,
    "train_dataset_type": None,
    "train_group_size": 8,
    "train_label_key": None,
    "val_dataset": None,
    "val_dataset_type": None,
    "val_label_key": None,
    "max_label": None,
    "min_label": None,
    "max_len": 512,
    "query_format": "{}",
    "document_format": "{}",
    "seq": "",
    "special_token": "",
    "shuffle_rate": 0.0,
    "output_dir": "./output",
    "save_on_epoch_end": 0,
    "num_max_checkpoints": 5,
    "loss_type": None,
    "epochs": 2,
    "epoch": None,  # as the README calls it
    "lr": 5e-5,
    "batch_size": 8,
    "seed": 666,
    "warmup_proportion": 0.1,
    "stable_proportion": 0.0,
    "gradient_accumulation_steps": 1,
    "mixed_precision": None,
    "log_interval": 10,
    "log_with": None,
}
_NUMBERS = (
    *("max_label", "min_label", "shuffle_rate", "lr", "epochs", "epoch"),
    *("warmup_proportion", "stable_proportion"),
)
_COUNTS = (
    *("batch_size", "gradient_accumulation_steps", "train_group_size", "num_labels", "max_len"),
)
_TYPES = ("bert_encoder", "llm_decoder")
_DATASETS = (None, "pointwise", "grouped")
_PRECISIONS = (None, "no", "fp16", "bf16")
_COMPARING = ("pairwise_ranknet", "listwise_ce")
_CONTENT = Template().pattern  # of a document, where their data have a text without title
_LOSSES = ("point_ce", "point_mse", "pointwise_bce", "pointwise_mse", *_COMPARING)


def is_rag_retrieval(chosen: Mapping[str, Any]) -> bool:
    """Tell whether a file's keys are that project's."""
    return "model_name_or_path" in chosen or "train_dataset" in chosen


def rag_retrieval_recipe(chosen: Mapping[str, Any], config: Path) -> Recipe:
    """Read what RAG-Retrieval's keys say; raise ConfigError for what they cannot.

    Paths are relative to the working directory, as there, else to the file or the folder above it.
    A batch is its number of pairs where texts are learnt from one by one, else of groups, times
    the accumulation steps.
    """
    check_keys(config, chosen, list(_DEFAULTS))
    given = {name: None if value == "None" else value for name, value in chosen.items()}
    said = {**_DEFAULTS, **{k: v for k, v in given.items() if v is not None}}
    said |= {name: _number(config, name, said[name]) for name in _NUMBERS}
    _check(config, said)
    comparing = said["loss_type"] in _COMPARING
    grouped = said["train_dataset_type"] == "grouped"
    if comparing and not grouped:
        raise ConfigError(
            f"{config}: loss_type {said['loss_type']} compares texts; it needs train_dataset_type:"
            " grouped"
        )
    groups = list(_source(config, said, "train"))
    notes: list[str] = []
    if grouped:
        groups = _resampled(config, groups, said, notes)
    else:
        groups = [replace(group, texts=(text,)) for group in groups for text in group.texts]
    if said["shuffle_rate"]:
        groups = list(ShuffledTexts(groups, rate=said["shuffle_rate"], seed=said["seed"]))
        notes.append("shuffle_rate: texts are shuffled once, and read so in every epoch")
    batch = int(said["batch_size"]) * int(said["gradient_accumulation_steps"])
    kind = f"groups of {said['train_group_size']} texts" if grouped else "pairs"
    notes.append(f"a step is {batch} {kind}: batch_size times gradient_accumulation_steps")
    settings: dict[str, Any] = {
        "loss": said["loss_type"] or ("pairwise_ranknet" if grouped else "pointwise_bce"),
        "learning_rate": said["lr"],
        "epochs": said["epoch"] or said["epochs"],
        "batch_size": batch,
        "group_size": max(said["train_group_size"], 2),  # of pairs it says nothing
        "max_tokens": said["max_len"],
        "warmup": said["warmup_proportion"],
        "stable": said["stable_proportion"],
        "seed": said["seed"],
        "report_to": _reports(said["log_with"], notes),
        **_as_read(config, said),
    }
    if said["mixed_precision"] in (None, "no"):
        settings["bf16"] = False
    elif said["mixed_precision"] == "fp16":
        notes.append("mixed_precision fp16 is taken as bf16, where the processor has it")
    if said["num_labels"] != 1:
        notes.append(
            f"num_labels {said['num_labels']}: one score is trained, which is all that its losses"
            " take"
        )
    if said["save_on_epoch_end"]:
        settings["evaluate_every"] = max(math.ceil(len(groups) / batch), 1)
    if {"num_max_checkpoints", "log_interval"} & given.keys():
        notes.append(
            "num_max_checkpoints and log_interval have no effect: the best and the last checkpoint"
            " are kept while training goes on"
        )
    dev = gathered(_source(config, said, "val")) if said["val_dataset"] else []
    dev = _formatted(dev, said)
    if dev and not any(group.positives and group.tells_apart for group in dev):
        notes.append("no query of val_dataset has a positive and another text: nothing is measured")
        dev = []
    base = _found(config, str(said["model_name_or_path"]))
    trainer = TrainerSettings.from_mapping(settings)
    return Recipe(
        groups=_formatted(groups, said),
        dev=dev,
        base=base,
        output=Path(str(said["output_dir"])).expanduser(),
        settings=trainer,
        notes=[*notes, *notes_on_formats(trainer, base)],
    )


def _check(config: Path, said: Mapping[str, Any]) -> None:
    for name in ("model_name_or_path", "train_dataset"):
        if not said[name]:
            raise ConfigError(f"{config} lacks the key {name!r}")
    for name, allowed in (
        ("model_type", _TYPES),
        ("train_dataset_type", _DATASETS),
        ("val_dataset_type", _DATASETS),
        ("mixed_precision", _PRECISIONS),
    ):
        if said[name] not in allowed:
            known = ", ".join(str(each) for each in allowed if each)
            raise ConfigError(f"{config}: {name} must be one of {known}; got {said[name]!r}")
    if said["loss_type"] not in (None, *_LOSSES):
        near = get_close_matches(str(said["loss_type"]), _LOSSES, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_LOSSES)}"
        raise ConfigError(f"{config} has an unknown loss_type {said['loss_type']!r}; {meant}")
    least = {**dict.fromkeys(_COUNTS, 1), "seed": 0}
    if said["train_dataset_type"] == "grouped":
        least["train_group_size"] = 2
    for name, count in least.items():
        value = said[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < count:
            raise ConfigError(
                f"{config}: {name} must be a whole number, {count} or above; got {value!r}"
            )


def _number(config: Path, name: str, value: object) -> float | None:
    """Read a number, or a text that is one, as 1e-5 is to YAML; None stays."""
    if value is None:
        return None
    try:
        read = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        read = math.nan
    if isinstance(value, bool) or not math.isfinite(read):
        raise ConfigError(f"{config}: {name} must be a number; got {value!r}")
    return read


def _source(config: Path, said: Mapping[str, Any], which: str) -> GroupSource:
    path = _found(config, str(said[f"{which}_dataset"]))
    recognised = read_groups(path).format
    pointwise = said[f"{which}_dataset_type"] != "grouped"
    return read_groups(
        path,
        # Of its lines the scores are labels, of FlagEmbedding's with the same keys a teacher's.
        format="rag-retrieval-a" if recognised == "flagembedding" else recognised,
        label_key=said[f"{which}_label_key"],
        max_label=said["max_label"] if pointwise else None,
        min_label=said["min_label"] or 0.0,
    )


def _resampled(
    config: Path, groups: Sequence[Group], said: Mapping[str, Any], notes: list[str]
) -> list[Group]:
    """Make groups of one size, and tell what had to be left out."""
    resampled = Resampled(groups, size=said["train_group_size"], seed=said["seed"])
    made = list(resampled)
    left_out = [f"{count:,} × {why}" for why, count in resampled.left_out.items()]
    if not made:
        why = ", ".join(left_out) or "there are no groups at all"
        raise ConfigError(
            f"{config}: no group of {said['train_dataset']} can be trained on: {why};"
            f" train_group_size is {said['train_group_size']}"
        )
    notes += [f"left out {each}" for each in left_out]
    return made


def _formatted(groups: Sequence[Group], said: Mapping[str, Any]) -> list[Group]:
    """Write texts as an encoder reads them; a decoder's prompt does it itself."""
    if said["model_type"] == "llm_decoder":
        return list(groups)

    def written(text: GroupText) -> GroupText:
        return replace(text, text=said["document_format"].replace("{}", text.text))

    return [replace(group, texts=tuple(map(written, group.texts))) for group in groups]


def _as_read(config: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Say how a model reads a query and a document, which is saved with it."""
    if said["model_type"] == "llm_decoder":
        names = ("query_format", "document_format", "seq", "special_token")
        prompt = {name: str(said[name]) for name in names}
        return {"reranker": "llm-scalar-head", "prompt": prompt, "template": _CONTENT}
    if said["query_format"] != "{}":
        raise ConfigError(
            f"{config}: query_format must be '{{}}' for a bert_encoder, as other programs that"
            f" load the model read the query as it is; got {said['query_format']!r}"
        )
    return {"template": said["document_format"].replace("{}", _CONTENT)}


def _reports(log_with: object, notes: list[str]) -> tuple[str, ...]:
    if log_with is None:
        return ()
    if find_spec(str(log_with)) is None:
        notes.append(f"log_with {log_with}: the package is not installed, so nothing is sent there")
        return ()
    return (str(log_with),)


def _found(config: Path, path: str) -> str:
    """Return a path as the launching script would find it; a hub id, and what is nowhere, as is."""
    for folder in (Path(), config.parent, config.parent.parent):
        if (folder / Path(path).expanduser()).exists():
            return str(folder / Path(path).expanduser())
    return path
