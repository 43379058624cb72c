"""How models are asked to compare documents.

A prompt is data: a published one, or a user's own from TOML or JSON.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.language_model import Part, Piece, Prompt, Role
from retrieve_rerank.rerankers.llm.prompt_files import find_prompt, published, recorded

LETTERS = tuple(string.ascii_uppercase)
NUMBERS = tuple(str(number) for number in range(1, 101))

_FIELD = re.compile(r"\{(query|count|documents|name|document)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPrompt:
    """A prompt over several documents, each with a name.

    In `messages` `{query}` and `{count}` may stand, and `{documents}`: each of them written as
    `document` says. Messages with `{name}` in them are said once for each document instead.
    """

    messages: Sequence[tuple[Role | None, str]]
    """(role, text); the role is None where the text is all that the model reads. A last message
    of the assistant is the beginning of its answer."""
    names: Sequence[str] = NUMBERS
    """What the documents are called, in their order."""
    document: str = "[{name}] {document}"
    separator: str = "\n"
    answers: Sequence[str] = ()
    """What the model answers in favour of the first document, the second, …; for prompts that ask
    for the best, and those whose answer is one token."""
    first_token: bool = False
    """Whether the first token of an answer tells it from the others."""
    models: Sequence[str] = ()
    """Ids on the Hugging Face hub of models that were trained with it."""
    source: str = ""
    """Where the words are from."""

    @property
    def most(self) -> int:
        """How many documents can be compared at once."""
        told = [len(self.names), len(self.answers)] if self.answers else [len(self.names)]
        return min(told)

    def render(self, query: str, documents: Sequence[str]) -> Prompt:
        """Ask about `documents`, each of them in one line.

        What looks like a name in brackets, in a document or in the query, gets round ones where
        the prompt uses brackets itself, as RankGPT's successors do it: [3] becomes (3).
        """
        bracketed = "[{name}]" in self.document
        query = self._clean(query) if bracketed else query
        lines = [" ".join((self._clean(d) if bracketed else d).split()) for d in documents]
        values = {"query": [Part(query, "query")], "count": [Part(str(len(documents)))]}
        each = [
            {**values, "name": [Part(name)], "document": [Part(line, "document")]}
            for name, line in zip(self.names, lines, strict=False)
        ]
        values["documents"] = []
        for number, fields in enumerate(each):
            separator = [Part(self.separator)] if number else []
            values["documents"] += [*separator, *_fill(self.document, fields)]
        pieces: list[Piece] = []
        for repeated, run in groupby(self.messages, key=lambda message: "{name}" in message[1]):
            said = list(run)
            for fields in each if repeated else [values]:
                pieces += [Piece(_merged(_fill(text, fields)), role) for role, text in said]
        return Prompt(tuple(pieces))

    def _clean(self, text: str) -> str:
        name = "[0-9]+" if self.names[0].isdecimal() else "[A-Za-z]+"
        return re.sub(rf"\[\s*({name})\s*\]", r"(\1)", text)


def _fill(text: str, fields: Mapping[str, Sequence[Part]]) -> list[Part]:
    parts: list[Part] = []
    for number, piece in enumerate(_FIELD.split(text)):
        parts += fields[piece] if number % 2 else [Part(piece)]
    return parts


def _merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Join neighbouring frames, and leave out what is empty of them."""
    merged: list[Part] = []
    for kind, run in groupby(parts, key=lambda part: part.kind):
        found = list(run)
        text = "".join(part.text for part in found)
        if kind != "frame":
            merged += found
        elif text:
            merged.append(Part(text))
    return tuple(merged)


def load_prompt(
    prompt: ComparisonPrompt | Mapping[str, Any] | Path | str | None,
    known: Mapping[str, ComparisonPrompt],
    *,
    model: str,
    choices: bool,
) -> ComparisonPrompt:
    """Return a prompt: itself, one of `known`, a mapping, a .toml or .json file.

    None is the one that the model was trained with, by its folder or its hub id, or the first
    known, which any chat model understands. `choices` wants answers among which the model can
    choose. Raises ConfigError for a prompt that cannot be used.
    """
    if prompt is None:
        prompt = recorded(model).get("prompt") or published(known, model)
        prompt = next(iter(known.values())) if prompt is None else prompt
    if isinstance(prompt, ComparisonPrompt):
        _check(prompt, "the prompt")
    else:
        prompt = find_prompt(prompt, known, ComparisonPrompt, _check)
    if (choices or prompt.first_token) and len(prompt.answers) < 2:
        raise ConfigError("the prompt has no `answers` among which to choose")
    readable = all(n.isdecimal() for n in prompt.names) or set(prompt.names) <= set(LETTERS)
    if not (choices or prompt.first_token or readable):
        raise ConfigError("a list can be read whose `names` are numbers, or letters from A to Z")
    return prompt


def _check(prompt: ComparisonPrompt, where: str) -> None:
    if len(prompt.names) < 2:
        raise ConfigError(f"{where} has {len(prompt.names)} names; expected two at least")
    used = [set(_FIELD.findall(text)) for _, text in prompt.messages]
    whole = any("documents" in fields for fields in used)
    each = set(_FIELD.findall(prompt.document)) if whole else set().union(*used)
    alone = any("document" in fields and "name" not in fields for fields in used)
    if alone or not {"name", "document"} <= each or not any("query" in fields for fields in used):
        raise ConfigError(
            f"the messages of {where} must contain {{query}}, and {{documents}}, or {{name}} and"
            " {document} together"
        )
