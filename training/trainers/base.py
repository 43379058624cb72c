"""What training starts from: a cross-encoder, or an encoder, which may be given a head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.causal.pretrained import load_pretrained, silent
from retrieve_rerank.models.checkpoints.folder import ModelFolder, read_folder
from retrieve_rerank.models.checkpoints.folder_files import list_files
from retrieve_rerank.models.checkpoints.network_files import choose_network
from retrieve_rerank.models.checkpoints.resolving import prompts_of, resolve
from retrieve_rerank.models.export.dequantization import dequantised_weights
from retrieve_rerank.text.query_template import DEFAULT, QueryTemplate
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.trainers.settings import TrainerSettings

KINDS = ("bert", "roberta", "xlm-roberta", "modernbert")
"""Model types that are trained."""

_DROPOUT = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta"), "attention_probs_dropout_prob"),
    "modernbert": "attention_dropout",
}
_HEAD = ("classifier", "pooler", "head")  # an encoder has none of these, or not for pairs


@dataclass(frozen=True, slots=True)
class Base:
    """A network to train, with one label, and what its folder records."""

    name: str
    folder: ModelFolder
    network: Any
    new_head: bool
    """Whether the head has random weights, as an encoder has none."""


def load_base(name: str, settings: TrainerSettings, *, users: bool = False) -> Base:
    """Load a cross-encoder of one label, or an encoder with a new head.

    With `users` it is to read their texts, by the query template of its folder or the default.
    Raises ModelNotFoundError or ModelError, for networks of other kinds and heads too.
    """
    folder = read_encoder(name)
    if folder.late_interaction or folder.splade:
        raise ModelError(
            f"{name} is a late-interaction or sparse encoder; training takes cross-encoders and"
            " dense encoders"
        )
    if (folder.labels or 1) > 1:
        raise ModelError(
            f"{name} gives each pair {folder.labels} labels ({', '.join(folder.label_names)});"
            " training takes a cross-encoder of one label, or an encoder"
        )
    if folder.lowercase:
        raise ModelError(
            f"{name} has texts lowercased before they are tokenised, which other libraries would"
            " not do for a cross-encoder; name one whose tokenizer does it itself"
        )
    if settings.max_tokens is not None:
        folder = folder.with_max_tokens(settings.max_tokens)
    if settings.query_template or (users and folder.query_template is None):
        template = QueryTemplate(settings.query_template or DEFAULT)
        folder = replace(folder, query_template=template)
    if settings.template:
        folder = replace(folder, template=Template(settings.template))
    torch.manual_seed(settings.seed)  # of a new head
    network, new_head = _load(name, folder, settings, AutoModelForSequenceClassification)
    return Base(name, folder, network, new_head)


def load_encoder_base(name: str, settings: TrainerSettings) -> Base:
    """Load an encoder as it is, for its tokens; raise as `load_base` does."""
    folder = read_encoder(name)
    if folder.labels is not None:
        raise ModelError(f"{name} scores pairs of texts; expected an encoder")
    network, _ = _load(name, folder, settings, AutoModel)
    if hasattr(network, "pooler"):
        network.pooler = None  # which reads the first token alone, and nothing here reads it
    return Base(name, folder, network, new_head=False)


def read_encoder(name: str) -> ModelFolder:
    """Return what an encoder's or a cross-encoder's folder records; raise ModelError for others."""
    path = resolve(name, on_gpu=True)  # which asks the hub for safetensors
    folder = read_folder(path, prompts=prompts_of(name))
    kind = str(folder.config.get("model_type"))
    if kind not in KINDS:
        raise ModelError(
            f"{name} is a network of the kind {kind!r}; a cross-encoder is made of"
            f" {', '.join(KINDS)}, and language models are trained by rr train"
        )
    return folder


def _load(name: str, folder: ModelFolder, settings: TrainerSettings, kind: Any) -> tuple[Any, bool]:
    """Load the network, and say whether its head is new."""
    where = folder.transformer.relative_to(folder.path).as_posix()
    files = choose_network(
        list_files(folder.path), on_gpu=True, transformer="" if where == "." else where
    )
    options = {_DROPOUT[str(folder.config["model_type"])]: settings.attention_dropout}
    if kind is not AutoModel:
        options["num_labels"] = 1
    if files is None:
        return _dequantised(name, folder, kind, options), folder.labels is None
    network, found = load_pretrained(
        kind,
        folder.transformer,
        dtype=torch.float32,
        **options,
    )
    lacking = [key for key in found["missing_keys"] if not _of_head(key)]
    if lacking:
        raise ModelError(
            f"{folder.transformer} lacks weights of its network: {len(lacking)}, as {min(lacking)};"
            " expected a checkpoint of a cross-encoder or an encoder"
        )
    return network, bool(found["missing_keys"])


def _dequantised(name: str, folder: ModelFolder, kind: Any, options: dict[str, Any]) -> Any:
    """Make the network of a model that was exported, as the bundled ones were."""
    if folder.config["model_type"] != "bert":
        source = folder.export.get("source")
        raise ModelError(
            f"{name} holds no safetensors, which training starts from; name"
            f" {source or 'the checkpoint that it was made from'}"
        )
    config = AutoConfig.from_pretrained(str(folder.transformer), **options)
    with silent():
        network = kind.from_config(config)
    weights = dequantised_weights(
        folder.path / "openvino" / "openvino_model.xml",
        layers=config.num_hidden_layers,
        pairs=folder.labels is not None,
    )
    within = "" if kind is AutoModel else "bert."
    network.load_state_dict(
        {
            key if key.startswith("classifier.") else within + key: torch.from_numpy(value)
            for key, value in weights.items()
        },
        strict=False,  # a head that an encoder does not have
    )
    return network


def _of_head(key: str) -> bool:
    return any(part in _HEAD for part in key.split("."))
