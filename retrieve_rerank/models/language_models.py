"""Names to language models, wherever the model runs.

Knows nothing of how a model is run. Reads URLs and keys of servers from the environment.
"""

from __future__ import annotations

import os

from retrieve_rerank.errors import MissingExtraError, ModelError
from retrieve_rerank.models.embedders import with_port
from retrieve_rerank.models.embedding_apis import APIS
from retrieve_rerank.models.language_model import LanguageModel

_SERVERS = ("openai", "ollama")
"""Kinds of embedding servers that chat as well, under the same URLs and keys."""


def load_language_model(
    name: str,
    *,
    device: str = "auto",
    threads: int | None = None,
    max_tokens: int | None = None,
) -> LanguageModel:
    """Load a language model: a folder, a hub id, or a server's `openai:MODEL`, `ollama:MODEL`.

    OPENAI_BASE_URL, OPENAI_API_KEY, OLLAMA_HOST and OLLAMA_API_KEY say where a server is; any
    OpenAI-compatible one will do. `device` is "auto" (a GPU where torch finds one), "cpu" or
    "cuda". `max_tokens` shortens what a model reads, and says how much a server does. Raises
    ModelNotFoundError, ModelError or MissingExtraError; a server is not asked before the first
    prompt.
    """
    kind, colon, model = name.partition(":")
    # Imported when called: torch takes a second and a half, and a server has no need of it.
    if not colon or kind not in _SERVERS:
        try:
            from retrieve_rerank.models.torch_language_model import load_language_model as load
        except ModuleNotFoundError as exc:
            if (exc.name or "").startswith("retrieve_rerank"):
                raise
            raise MissingExtraError(f"running {name} here", "torch") from exc
        return load(name, device=device, threads=threads, max_tokens=max_tokens)
    from retrieve_rerank.models.chat_server import DEFAULT_MAX_TOKENS, ChatServer

    if not model:
        raise ModelError(f"{kind}: names no model; expected, for example, {kind}:qwen3:8b")
    api = APIS[kind]
    url = os.environ.get(api.url_variable or "") or api.default_url
    return ChatServer(
        model,
        kind=kind,
        url=f"{with_port(url).rstrip('/')}/v1" if kind == "ollama" else url,
        key=os.environ.get(api.key_variable, "").strip() or None,
        max_tokens=max_tokens or DEFAULT_MAX_TOKENS,
        key_variable=api.key_variable,
        url_variable=api.url_variable,
    )
