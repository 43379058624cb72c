"""What OpenAI-compatible servers are asked to complete, and how they answer.

https://platform.openai.com/docs/api-reference/chat and …/completions; checked against llama.cpp.
Knows nothing of connections.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from retrieve_rerank.models.language_model import Piece, Prompt

TOP_LOG_PROBABILITIES = 20
"""Likeliest tokens that are asked for: the most that OpenAI and, by default, vLLM tell."""

_LEAST = -9999.0  # as vLLM writes what JSON cannot, minus infinity
_MARKS = re.compile(
    r"<(?=\||/?(?:s|think)>|(?:start|end)_of_turn>|(?:begin|end)▁of)|\[(?=/?INST\])"
)


def request(prompt: Prompt, *, log_probabilities: bool) -> tuple[str, dict[str, Any]]:
    """Return path and body: chats for prompts with roles, plain completions for others."""
    body: dict[str, Any]
    if not _is_chat(prompt):
        body = {"prompt": "".join(_text(piece) for piece in prompt.pieces)}
        return "completions", body | (
            {"logprobs": TOP_LOG_PROBABILITIES} if log_probabilities else {}
        )
    body = {"messages": [{"role": p.role, "content": _text(p)} for p in prompt.pieces]}
    if _begun(prompt):
        # llama.cpp and Ollama go on with it by themselves; vLLM wants
        # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#extra-parameters
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    if log_probabilities:
        body |= {"logprobs": True, "top_logprobs": TOP_LOG_PROBABILITIES}
    return "chat/completions", body


def read_text(prompt: Prompt, answer: Any) -> str:
    """Read what was written after the prompt; nothing in a refusal. Fails on other shapes."""
    choice = answer["choices"][0]
    text = choice["message"]["content"] if _is_chat(prompt) else choice["text"]
    if text is None:  # a refusal stands in a field of its own
        return ""
    if not isinstance(text, str):
        raise TypeError(f"the text is of type {type(text).__name__}")
    # llama.cpp repeats the beginning of an answer that it was given.
    return text.removeprefix(_begun(prompt))


def read_log_probabilities(answer: Any) -> dict[str, float]:
    """Read the likeliest next tokens, one at least; fails on other shapes."""
    told = answer["choices"][0]["logprobs"]
    pairs: Iterable[tuple[Any, Any]]
    if "content" in told:  # in chats; llama.cpp has it in plain completions too
        pairs = ((each["token"], each["logprob"]) for each in told["content"][0]["top_logprobs"])
    else:
        pairs = told["top_logprobs"][0].items()
    found = {str(token): max(float(value), _LEAST) for token, value in pairs}
    if not found or any(math.isnan(value) for value in found.values()):
        raise ValueError("no log-probabilities, or NaN among them")
    return found


def _is_chat(prompt: Prompt) -> bool:
    return prompt.pieces[0].role is not None


def _begun(prompt: Prompt) -> str:
    """The beginning of the answer, where the prompt gives one."""
    last = prompt.pieces[-1]
    return _text(last) if last.role == "assistant" else ""


def _text(piece: Piece) -> str:
    return "".join(p.text if p.kind == "frame" else _without_marks(p.text) for p in piece.parts)


def _without_marks(text: str) -> str:
    """Break what chat templates mark turns with: servers take it for theirs in any text."""
    return _MARKS.sub(lambda mark: f"{mark[0]} ", text)
