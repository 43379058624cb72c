"""Names to language models, wherever the model runs.

Reads URLs and keys of servers from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from retrieve_rerank.errors import MissingExtraError, ModelError
from retrieve_rerank.models.catalog.embedding_apis import APIS
from retrieve_rerank.models.checkpoints.resolving import check_served_model
from retrieve_rerank.models.encoders.embedders import with_port
from retrieve_rerank.models.language_model import LanguageModel
from retrieve_rerank.network.addresses import redacted

_WITHOUT_THINKING: Mapping[str, Mapping[str, Any]] = {
    # https://docs.vllm.ai/en/latest/features/reasoning_outputs.html; llama.cpp knows it too
    "openai": {"chat_template_kwargs": {"enable_thinking": False}},
    # https://github.com/ollama/ollama/blob/main/openai/thinking_test.go
    "ollama": {"reasoning_effort": "none"},
}
"""Kinds of embedding servers that chat as well, under the same URLs and keys; what they are sent
so that a model answers without thinking first."""

OLLAMA_MAX_TOKENS = 4096
"""Ollama's context unless OLLAMA_CONTEXT_LENGTH says otherwise; it cuts longer prompts silently."""

_NO_THINKING = "?thinking=off"


def load_language_model(
    name: str,
    *,
    device: str = "auto",
    threads: int | None = None,
    max_tokens: int | None = None,
) -> LanguageModel:
    """Load a language model: a folder, a hub id, or a server's `openai:MODEL`, `ollama:MODEL`.

    OPENAI_BASE_URL, OPENAI_API_KEY, OLLAMA_HOST and OLLAMA_API_KEY say where a server is; any
    OpenAI-compatible one will do. `openai:MODEL?thinking=off` asks vLLM or llama.cpp for answers
    without thoughts, as Ollama always is. `device` is "auto" (a GPU where torch finds one), "cpu"
    or "cuda". `max_tokens` shortens what a model reads, and says how much a server does. Raises
    ModelNotFoundError, ModelError or MissingExtraError; a server is not asked before the first
    prompt.
    """
    kind, colon, model = name.partition(":")
    # Imported when called: torch takes a second and a half, and a server has no need of it.
    if not colon or kind not in _WITHOUT_THINKING:
        try:
            from retrieve_rerank.models.causal.torch_language_model import (
                load_language_model as load,
            )
        except ModuleNotFoundError as exc:
            if (exc.name or "").startswith("retrieve_rerank"):
                raise
            raise MissingExtraError(f"running {redacted(name)} here", "torch") from exc
        return load(name, device=device, threads=threads, max_tokens=max_tokens)
    from retrieve_rerank.models.services.chat_server import DEFAULT_MAX_TOKENS, ChatServer

    on_ollama = kind == "ollama"
    # Services that never heard of it would refuse the field.
    quiet = on_ollama or model.endswith(_NO_THINKING)
    model = model.removesuffix(_NO_THINKING)
    if not model or "?" in model:
        raise ModelError(
            f"{redacted(name)!r} names no model of a server; expected, for example,"
            f" {kind}:qwen3:8b, with nothing or {_NO_THINKING} after it"
        )
    api = APIS[kind]
    check_served_model(kind, model, url_variable=str(api.url_variable))
    url = os.environ.get(api.url_variable or "") or api.default_url
    return ChatServer(
        model,
        kind=kind,
        url=f"{with_port(url).rstrip('/')}/v1" if on_ollama else url,
        key=os.environ.get(api.key_variable, "").strip() or None,
        max_tokens=max_tokens or (OLLAMA_MAX_TOKENS if on_ollama else DEFAULT_MAX_TOKENS),
        extra=_WITHOUT_THINKING[kind] if quiet else None,
        key_variable=api.key_variable,
        url_variable=api.url_variable,
    )
