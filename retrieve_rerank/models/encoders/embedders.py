"""Names to models that embed queries, wherever the model runs.

The one place in `models` that reads URLs and keys of servers from the environment.
"""

from __future__ import annotations

import os

from retrieve_rerank.base import Embedder
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.catalog.embedding_apis import APIS
from retrieve_rerank.models.checkpoints.resolving import check_served_model

_EXAMPLES = {
    "openai": "openai:text-embedding-3-small",
    "ollama": "ollama:nomic-embed-text",
    "tei": "tei:http://localhost:8080",
    "cohere": "cohere:embed-v4.0",
}


def load_embedder(name: str) -> Embedder:
    """Load what embeds under a name: an alias, a folder, a hub id, or a server's model.

    A server's model is `openai:MODEL`, `ollama:MODEL`, `cohere:MODEL` or `tei:URL`, each with
    `?dimensions=N` for a model that can shorten its vectors. Raises ModelNotFoundError or
    ModelError; a server is not asked before the first text.
    """
    kind, colon, model = name.partition(":")
    # Imported when called: OpenVINO and httpx each take longer than a lexical search.
    if not colon or kind not in APIS:
        from retrieve_rerank.models.loading import load_encoder

        return load_encoder(name)
    from retrieve_rerank.models.services.embedder import HttpEmbedder

    api = APIS[kind]
    model, dimensions = _dimensions(model)
    if not model:
        raise ModelError(f"{kind}: names no model; expected, for example, {_EXAMPLES[kind]}")
    url = model
    if api.url_variable is not None:
        check_served_model(kind, model, url_variable=api.url_variable)
        url = os.environ.get(api.url_variable) or api.default_url
    return HttpEmbedder(
        kind,
        model,
        url=with_port(url) if kind == "ollama" else url,
        key=os.environ.get(api.key_variable, "").strip() or None,
        dimensions=dimensions,
    )


def _dimensions(model: str) -> tuple[str, int | None]:
    model, mark, parameter = model.partition("?")
    if not mark:
        return model, None
    key, _, value = parameter.partition("=")
    if key != "dimensions" or not value.isdecimal() or int(value) < 1:
        raise ModelError("after the model of a server comes nothing, or ?dimensions=N")
    return model, int(value)


def with_port(host: str) -> str:
    """Complete OLLAMA_HOST, which may lack the scheme and the port."""
    if "://" in host:
        return host
    return f"http://{host}" if host.rpartition(":")[2].isdecimal() else f"http://{host}:11434"
