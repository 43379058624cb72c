"""How to train: every choice with its default. Loads no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal, get_args, get_type_hints

from pydantic import TypeAdapter

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.text.query_template import QueryTemplate
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.curriculum import Curriculum

_AUTO = ("bf16", "token_budget")
_SEVERAL = ("lora_targets", "report_to")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_EXPECTED = {
    "loss": "a loss's name, or names with their weights",
    "curriculum": f"one of {', '.join(get_args(Curriculum))}",
    "trainable": "'all', 'lora' or a number of layers",
    "prompt": "a prompt's name, a file, or what it would hold",
    **dict.fromkeys(_SEVERAL, "names"),
}
_DEVICE = re.compile(r"auto|cpu|mps|xpu|cuda(:\d+)?")
_THEIR_FORMATS = {"query_format", "document_format", "seq", "special_token"}


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """How to train; raises ConfigError for what cannot be."""

    loss: str | Mapping[str, float] | None = None
    """A loss's name, or names with weights. None: `lce` where labels are 0 and 1, `ranknet` where
    they are graded, `bce` where no group tells two texts apart."""
    temperature: float = 1.0
    """Of `kl`: above 1 the teacher's doubts count more, below 1 its favourites."""
    learning_rate: float = 5e-5
    epochs: float = 1.0
    max_steps: int | None = None
    """Steps in all, in place of `epochs`."""
    batch_size: int = 16
    """Groups a step, however many forward passes memory makes of them."""
    group_size: int = 8
    """Texts of a group in a step; larger groups are sampled anew each time they come."""
    curriculum: Curriculum | None = None
    """`harder` draws from a group's lowest ranks at first and from its highest in the end; `wider`
    from the highest alone at first and from all in the end; None from all. For groups mined with
    more negatives than `group_size`."""
    remine: bool = False
    """Draw none of a group's negatives by chance: take those that the network in training scores
    highest, anew at each step. For groups with more of them than `group_size`; scoring them takes a
    third of the time that training on as many would."""
    max_tokens: int | None = None
    """Tokens read of a pair, special tokens included; the base's own limit where None."""
    token_budget: int | None = None
    """Tokens a forward pass; None is 4,096 on a CPU and 32,768 on a GPU."""
    weight_decay: float = 0.01
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    stable: float = 0.0
    """Share of the steps at the full learning rate; in the rest it falls as a cosine does."""
    max_gradient: float = 1.0
    """Norm that gradients are cut to."""
    layer_decay: float = 1.0
    """By how much each layer's learning rate is smaller than the next one's."""
    reranker: str | None = None
    """What will run the model, and so in which form it is trained, for decoders and
    encoder-decoders: `llm-yes-no`, `llm-scalar-head`, …. None is `llm-scalar-head` for a base that
    has a linear head, `llm-yes-no` for others, and `cross-encoder` for encoders."""
    prompt: str | Mapping[str, Any] | None = None
    """What such a model reads: the name of a published prompt, a .toml or .json file, or what it
    would hold; recorded in its folder. None is the base's, else the form's plain one."""
    trainable: Literal["all", "lora"] | int = "all"
    """All weights, those of the last so many layers and the head, or LoRA's, which are merged into
    the model when it is saved (needs the extra `lora`)."""
    lora_rank: int = 16
    lora_targets: tuple[str, ...] | None = None
    """Names of the linear layers that LoRA is put beside, `q_proj` and the like; None is all but
    the output."""
    evaluate_every: int = 100
    """Steps from one look at the dev measure to the next; checkpoints come more often where that
    takes longer than two minutes."""
    patience: int | None = None
    """Stop after so many looks without a better measure."""
    attention_dropout: float = 0.0
    """Of the weights of attention; without it the fused kernels run."""
    bf16: bool | None = None
    """Whether networks compute in bfloat16 (losses never do); None where the processor has it."""
    without_padding: bool = True
    """On the CPU, where the network's kind allows it; else batches are padded."""
    gradient_checkpointing: bool = False
    """Compute twice rather than keep what the backward pass needs; batches are padded."""
    template: str | None = None
    """What the model will read of a document, recorded in its folder; the base's where None."""
    query_template: str | None = None
    """How it will read what is known of the user, with {query} and {user}; recorded too. None takes
    the base's, else "{query} | {user}" where groups have users' texts."""
    report_to: tuple[str, ...] = ()
    """Where the Hugging Face Trainer reports: "tensorboard", "wandb", …"""
    device: str = "auto"
    seed: int = 13

    def __post_init__(self) -> None:
        for name in ("batch_size", "evaluate_every", "lora_rank", "max_steps", "token_budget"):
            _check(self, name, "at least 1", lambda value: value >= 1)
        for name in ("max_tokens", "patience"):
            _check(self, name, "at least 1", lambda value: value >= 1)
        for name in ("learning_rate", "epochs", "max_gradient", "temperature"):
            _check(self, name, "above 0", lambda value: isfinite(value) and value > 0)
        _check(self, "group_size", "at least 2", lambda value: value >= 2)
        _check(self, "layer_decay", "above 0 and at most 1", lambda value: 0 < value <= 1)
        if self.curriculum not in (None, *get_args(Curriculum)):
            raise ConfigError(
                f"unknown curriculum {self.curriculum!r}; known: {', '.join(get_args(Curriculum))}"
            )
        if self.remine and self.curriculum == "harder":
            raise ConfigError(
                "curriculum 'harder' says by their ranks which negatives a step takes, and remine"
                " by the network's scores: leave one of them out; 'wider' goes with remine"
            )
        for name in ("warmup", "stable", "attention_dropout"):
            _check(self, name, "from 0 and below 1", lambda value: 0 <= value < 1)
        if self.warmup + self.stable > 1:
            raise ConfigError(
                f"warmup and stable are shares of the steps, 1 at most together; got"
                f" {self.warmup + self.stable:g}"
            )
        if not (self.trainable in ("all", "lora") or _is_count(self.trainable)):
            raise ConfigError(
                f"trainable must be 'all', 'lora' or a number of layers; got {self.trainable!r}"
            )
        if not _DEVICE.fullmatch(self.device):
            raise ConfigError(f"device must be auto, cpu, cuda or cuda:0; got {self.device!r}")
        if self.template is not None:
            Template(self.template)
        if self.query_template is not None:
            QueryTemplate(self.query_template)

    @property
    def has_their_formats(self) -> bool:
        """Whether the prompt is RAG-Retrieval's, which is tokenised as there, whatever it holds."""
        given = self.prompt
        return isinstance(given, Mapping) and bool(given) and given.keys() <= _THEIR_FORMATS

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> TrainerSettings:
        """Make them of a configuration file's keys; raise ConfigError for an unknown one."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"training has no setting {name!r}{meant} ({', '.join(known)})")
        hints = get_type_hints(cls)
        return cls(**{name: _read(name, value, hints[name]) for name, value in given.items()})

    def template_for(self, base: str) -> Template:
        """Return what a model that is trained from `base` will read of a document."""
        if self.template is not None:
            return Template(self.template)
        return read_folder(resolve(base, on_gpu=True)).template


def _read(name: str, value: Any, hint: Any) -> Any:
    """Take YAML's value for what it stands for: 1e-5 is a text to it, and a tuple a list."""
    kinds = get_args(hint) or (hint,)
    if value == "auto" and name in _AUTO:
        return None
    if isinstance(value, str) and name in _SEVERAL:
        return (value,)
    expected = next((said for kind, said in _KINDS.items() if kind in kinds), "")
    expected = _EXPECTED.get(name, expected)
    try:
        if isinstance(value, bool) and bool not in kinds:
            raise ValueError
        return TypeAdapter(hint).validate_python(value)
    except ValueError as exc:
        raise ConfigError(f"{name} must be {expected}; got {value!r}") from exc


def _check(
    settings: TrainerSettings, name: str, expected: str, holds: Callable[[float], bool]
) -> None:
    value = getattr(settings, name)
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not holds(value):
        raise ConfigError(f"{name} must be {expected}; got {value!r}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
