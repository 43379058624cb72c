"""What OpenAI-compatible servers are asked to complete, and how they answer.

https://platform.openai.com/docs/api-reference/chat and …/completions; checked against llama.cpp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from retrieve_rerank.models.language_model import Piece, Prompt
from retrieve_rerank.network.shapes import (
    Shape,
    each,
    either,
    filled,
    first,
    matches,
    maybe,
    shape,
    values,
)

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
    """Read what was written after the prompt; nothing in a refusal.

    Raises WrongShapeError where the answer is of another form.
    """
    is_chat = _is_chat(prompt)
    matches(answer, _CHAT if is_chat else _TEXT)
    choice = answer["choices"][0]
    text: str | None = choice["message"]["content"] if is_chat else choice["text"]
    # A refusal stands in a field of its own; llama.cpp repeats the beginning of an answer that it
    # was given.
    return (text or "").removeprefix(_begun(prompt))


def read_log_probabilities(answer: Any) -> dict[str, float]:
    """Read the likeliest next tokens, one at least.

    Raises WrongShapeError where the answer is of another form.
    """
    matches(answer, _LOGPROBS)
    told = answer["choices"][0]["logprobs"]
    pairs: Iterable[tuple[Any, Any]]
    if _has_content(told):
        pairs = ((each["token"], each["logprob"]) for each in told["content"][0]["top_logprobs"])
    else:
        pairs = told["top_logprobs"][0].items()
    return {token: max(float(value), _LEAST) for token, value in pairs}


def _has_content(told: object) -> bool:
    return isinstance(told, dict) and "content" in told  # in chats, and all answers of llama.cpp


_LOGPROB = each(
    lambda value: type(value) in (int, float) and value < math.inf, "a number or minus infinity"
)
_CHAT = shape({"choices": first({"message": {"content": maybe(str)}})})
_TEXT = shape({"choices": first({"text": maybe(str)})})
_TOP: Shape = filled([{"token": str, "logprob": _LOGPROB}])
_LOGPROBS = shape(
    {
        "choices": first(
            {
                "logprobs": either(
                    _has_content,
                    {"content": first({"top_logprobs": _TOP})},
                    {"top_logprobs": first(filled(values(_LOGPROB)))},
                )
            }
        )
    }
)


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
