"""How models are shown one query and one document: published prompts, word for word.

A prompt is data: a published one, or a user's own from TOML or JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.network_files import unread_gguf
from retrieve_rerank.models.checkpoints.resolving import local_folder
from retrieve_rerank.models.language_model import Part, Piece, Prompt, Role
from retrieve_rerank.network.addresses import redacted
from retrieve_rerank.rerankers.llm.prompt_files import find_prompt, published, recorded

_FIELD = re.compile(r"\{(query|document|instruction)\}")

Score = Literal["log-odds", "softmax", "logit", "vocabulary"]
"""What a yes-or-no scorer makes of the next token's logits.

- "log-odds": yes's less no's; its sigmoid is "softmax".
- "softmax": the probability of yes where there is only yes and no.
- "logit": yes's alone.
- "vocabulary": the probability of yes among all tokens.
"""

Aggregate = Literal["sum", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPrompt:
    """A prompt over one query and one document.

    In `messages` `{query}`, `{document}` and `{instruction}` may stand; other braces are text.
    """

    messages: Sequence[tuple[Role | None, str]]
    """(role, text). Where the role is None, the texts are all that the model reads, each of them
    tokenised apart; else the model's chat template writes them, and a last message of the
    assistant is the beginning of its answer."""
    instruction: str = ""
    """What `{instruction}` is where a query has none of its own."""
    instruction_format: str = "{instruction}"
    """What is written for `{instruction}`; nothing at all where the instruction is empty."""
    max_tokens: int | None = None
    """What the prompt's authors let the model read, where it could read more."""
    models: Sequence[str] = ()
    """Ids on the Hugging Face hub of models that it is for."""
    source: str = ""
    """Where the words are from."""

    def render(self, query: str, document: str, instruction: str | None = None) -> Prompt:
        """Show the model a query and a document."""
        told = self.instruction if instruction is None else instruction
        written = self.instruction_format.replace("{instruction}", told) if told else ""
        values = {
            "query": Part(query, "query"),
            "document": Part(document, "document"),
            "instruction": Part(written),
        }
        pieces = []
        for role, text in self.messages:
            split = _FIELD.split(text)  # text, field, text, field, …, text
            parts = [values[part] if n % 2 else Part(part) for n, part in enumerate(split)]
            # Text of the template that a field leaves empty would only be in the tokenizer's way.
            pieces.append(Piece(tuple(p for p in parts if p.text or p.kind != "frame"), role))
        return Prompt(tuple(pieces))


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNoPrompt(PairPrompt):
    """A prompt whose next token says whether the document is relevant."""

    yes: str
    no: str | None = None
    """None where `score` needs no such word."""
    score: Score = "log-odds"


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodPrompt(PairPrompt):
    """A prompt without `{query}`: the query is what the model would have to say next."""

    aggregate: Aggregate = "mean"
    """Of the log-probabilities of the query's tokens."""


P = TypeVar("P", bound=PairPrompt)


def load_prompt(
    prompt: P | Mapping[str, Any] | Path | str | None,
    known: Mapping[str, P],
    kind: type[P],
    *,
    model: str,
) -> P:
    """Return a prompt: itself, one of `known`, a mapping, a .toml or .json file.

    None is the one that the folder of `model` records as `prompt` in its retrieve_rerank.json, or
    that is known to be for it. Raises ConfigError for one that cannot be used, and where none is
    known.
    """
    if prompt is None:
        prompt = recorded(model).get("prompt") or published(known, model)
    if prompt is None and _only_gguf(model):
        raise unread_gguf(model)
    if prompt is None:
        raise ConfigError(
            f"no prompt is known for {redacted(model)}; name one of {', '.join(known)}, or a .toml"
            " or .json file: by --prompt, or as the stage's `prompt`"
        )
    if isinstance(prompt, PairPrompt):
        return prompt
    return find_prompt(prompt, known, kind, _check)


def _only_gguf(model: str) -> bool:
    """Whether this is a GGUF file, or a folder without other weights."""
    folder = local_folder(model)
    if folder is None:
        return model.endswith(".gguf")
    return any(folder.glob("*.gguf")) and not any(folder.glob("*.safetensors"))


def _check(prompt: PairPrompt, where: str) -> None:
    text = "".join(text for _, text in prompt.messages)
    wanted = {"document"} if isinstance(prompt, LikelihoodPrompt) else {"query", "document"}
    found = set(_FIELD.findall(text)) - {"instruction"}
    if found != wanted:
        expected = " and ".join(f"{{{name}}}" for name in sorted(wanted))
        raise ConfigError(f"the messages of {where} must contain {expected}, and nothing else")
    two_words = ("log-odds", "softmax")
    if isinstance(prompt, YesNoPrompt) and prompt.no is None and prompt.score in two_words:
        raise ConfigError(f"{where} has no word for `no`, which score {prompt.score!r} needs")
