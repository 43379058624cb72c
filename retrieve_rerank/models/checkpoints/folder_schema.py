"""What the settings of a model's folder may hold: the kinds and sizes of all that we read of them.

Settings that only a library reads are left to it, but for the sizes that would have it build
networks without end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.folder_files import AGAIN, read_json


class Kind(NamedTuple):
    """What a setting must be."""

    name: str
    holds: Callable[[Any], bool]


Schema = Mapping[str, Kind]


def whole(least: int, most: int) -> Kind:
    """Describe a whole number within bounds; True is none."""
    return Kind(
        f"a whole number from {least:,} to {most:,}",
        lambda value: type(value) is int and least <= value <= most,
    )


def one_of(*values: str) -> Kind:
    """Describe one of some words."""
    return Kind(" or ".join(f'"{value}"' for value in values), lambda value: value in values)


def list_of(kind: Kind) -> Kind:
    """Describe a list of things of a kind."""
    return Kind(
        f"a list, each of it {kind.name}",
        lambda value: isinstance(value, list) and all(map(kind.holds, value)),
    )


def object_of(kind: Kind, *, most: int = 10_000) -> Kind:
    """Describe an object of which every value is of a kind."""
    return Kind(
        f"an object of at most {most:,} values, each of it {kind.name}",
        lambda value: (
            isinstance(value, dict) and len(value) <= most and all(map(kind.holds, value.values()))
        ),
    )


TEXT = Kind("a text", lambda value: isinstance(value, str))
TEXT_OR_NONE = Kind("a text or null", lambda value: value is None or isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a number", lambda value: type(value) in (int, float) and math.isfinite(float(value)))
SHARE = Kind("a number from 0 to 1", lambda value: NUMBER.holds(value) and 0 <= value <= 1)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
TEXTS = Kind(
    "a text, or a list of texts", lambda value: TEXT.holds(value) or list_of(TEXT).holds(value)
)
NAME = Kind("a text, or a whole number", lambda value: isinstance(value, str) or type(value) is int)
TOKEN = Kind(
    "a text, or an object with a text called content",
    lambda value: TEXT.holds(value.get("content") if isinstance(value, dict) else value),
)
LIMIT = Kind(
    "a number from 0, a limit of tokens",  # a float in some: 1e30 stands for none
    lambda value: NUMBER.holds(value) and value >= 0,
)
_SHOWN = 80  # characters

LENGTH = whole(1, 1 << 27)  # the longest known reads ten million tokens
SIZE = whole(1, 1 << 18)  # of a token's state; the longest known is of 20,000
LAYERS = whole(0, 1024)  # the deepest known have 130
LABELS = whole(1, 10_000)
FILLED = whole(1, 8192)  # of a query that is filled up
POSITIONS = whole(0, 1 << 27)

_DEPTHS = (
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_decoder_layers"),
    *("encoder_layers", "decoder_layers", "num_hidden_groups", "inner_group_num"),
    *("num_experts", "num_local_experts", "n_routed_experts"),
)
"""Settings by which libraries build that many modules, in whatever part of a configuration."""

NETWORK: Schema = {
    "architectures": list_of(TEXT),
    "model_type": TEXT,
    "id2label": object_of(NAME),
    "num_labels": LABELS,
    **dict.fromkeys(("hidden_size", "dim", "d_model"), SIZE),
    "max_position_embeddings": POSITIONS,
    "vocab_size": whole(1, 1 << 24),
    "pad_token_id": whole(-1, 1 << 24),
    "is_encoder_decoder": FLAG,
    # of decoders with a head after each layer
    "start_layer": LAYERS,
    "num_attention_heads": SIZE,
    **dict.fromkeys(("scale_emb", "scale_depth"), NUMBER),
    "head_multi": FLAG,
    "head_type": TEXT,
}
"""config.json."""

TOKENIZER: Schema = {
    "model_max_length": LIMIT,
    "truncation_side": one_of("left", "right"),
    **dict.fromkeys(("pad_token", "mask_token", "eos_token", "cls_token", "unk_token"), TOKEN),
}
"""tokenizer_config.json."""

LENGTHS: Schema = {
    "max_seq_length": LENGTH,
    "do_lower_case": FLAG,
    **dict.fromkeys(("processor_kwargs", "tokenizer_args"), OBJECT),
    "query_length": FILLED,
    "document_length": LENGTH,
    "query_expansion": Kind("an object or false", lambda v: v is False or isinstance(v, dict)),
    **dict.fromkeys(("do_query_expansion", "attend_to_expansion_tokens"), FLAG),
}
"""sentence_bert_config.json."""

LENGTHS_INNER: Mapping[str, Schema] = {
    "processor_kwargs": {"model_max_length": LIMIT},
    "tokenizer_args": {"model_max_length": LIMIT},
    "query_expansion": {"length": FILLED, "attend": FLAG, "token": TEXT, "strategy": TEXT},
}
"""What the objects in it hold."""

WHOLE: Schema = {
    **LENGTHS,  # PyLate writes them here
    "model_type": TEXT,
    "prompts": object_of(TEXT_OR_NONE),
    "default_prompt_name": TEXT,
    "max_active_dims": LENGTH,
    **dict.fromkeys(("query_prefix", "document_prefix"), TEXT),
    "skiplist_words": list_of(TEXT),
}
"""config_sentence_transformers.json."""

MODULE: Schema = {
    "pooling_mode": TEXTS,
    "include_prompt": FLAG,
    "module_input_name": TEXT,
    "activation_function": TEXT,
    "use_residual": FLAG,
    **dict.fromkeys(("skiplist_words", "skiplist_tasks"), list_of(TEXT)),
    "pooling_strategy": TEXT,
}
"""config.json of a module of sentence-transformers."""

ENTRY: Schema = {"type": TEXT, "path": TEXT}
"""An entry of modules.json."""

ROUTER: Schema = {"types": object_of(TEXT), "structure": object_of(list_of(TEXT))}
"""router_config.json."""

EXPORT: Schema = {"precision": one_of("fp32", "bf16", "int8")}
"""What retrieve_rerank.json holds as `export`."""

VECTORS_OF: Schema = {"name": TEXT, "fingerprint": TEXT}
"""What it holds as `vectors_of`."""

OURS: Schema = {
    "template": TEXT,
    "query_template": TEXT,
    "weight": SHARE,
    **dict.fromkeys(("export", "calibration", "vectors_of"), OBJECT),
    "prompt": Kind("a name or an object", lambda value: isinstance(value, str | dict)),
}
"""retrieve_rerank.json."""


def read_settings(file: Path, schema: Schema) -> dict[str, Any]:
    """Read a JSON object as the schema says; empty where there is no file.

    Raises ModelError, naming the file, what was expected and what came.
    """
    found = read_json(file, absent={})
    if not isinstance(found, dict):
        raise ModelError(f"{file} holds {_came(found)}; expected a JSON object; {AGAIN}")
    return checked(found, schema, where=str(file))


def checked(settings: Mapping[str, Any], schema: Schema, *, where: str) -> dict[str, Any]:
    """Return the settings; raise ModelError for what is not as the schema says, nor null."""
    for name, kind in schema.items():
        if settings.get(name) is not None and not kind.holds(settings[name]):
            raise unexpected(where, name, settings[name], kind.name)
    return dict(settings)


def check_depths(config: Mapping[str, Any], *, where: Path) -> None:
    """Raise ModelError where any part of a network's settings wants more layers than there are."""
    parts: list[Mapping[str, Any]] = [config]
    for part in parts:  # which grows
        for name, value in part.items():
            if isinstance(value, dict):
                parts.append(value)
            elif name in _DEPTHS and value is not None and not LAYERS.holds(value):
                raise unexpected(str(where), name, value, LAYERS.name)


def unexpected(where: str, name: str, value: object, expected: str) -> ModelError:
    """Explain a setting that cannot be used."""
    return ModelError(f"{where} says {name} is {_came(value)}; expected {expected}; {AGAIN}")


def _came(value: object) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,}"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
