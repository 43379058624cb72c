"""Texts to vectors by a server: OpenAI-compatible, Ollama, text-embeddings-inference, Cohere."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from cachetools import LRUCache

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.catalog.embedding_apis import APIS, SERVED, Side
from retrieve_rerank.models.checkpoints.resolving import served_prompts
from retrieve_rerank.models.services.http import JsonServer, read_url
from retrieve_rerank.network.shapes import WrongShapeError, matches

CACHED_QUERIES = 1024


class HttpEmbedder:
    """A model behind an HTTP endpoint; one may be shared by many threads.

    The vectors of the last CACHED_QUERIES queries are kept. Every failure is a ModelError.
    """

    def __init__(
        self,
        kind: str,
        model: str,
        *,
        url: str,
        key: str | None = None,
        dimensions: int | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """`kind` is one of APIS; `dimensions` asks a model that can for shorter vectors.

        `timeout_s` is for one attempt. Credentials in `url` are used, and never shown.
        """
        self._api = APIS[kind]
        self._kind = kind
        self._model = model
        self._dimensions = dimensions
        base = read_url(url, where=self._api.url_variable or f"{kind}:URL")
        self._url = str(base)
        self._server = JsonServer(
            base,
            name=self.name,
            key=key,
            key_variable=self._api.key_variable,
            url_variable=self._api.url_variable,
            timeout_s=timeout_s,
        )
        self._known_dimension = dimensions
        self._cache: LRUCache[str, Vectors] = LRUCache(CACHED_QUERIES)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"HttpEmbedder({self.name!r}, {self._url!r})"

    @property
    def name(self) -> str:
        """How users call the model."""
        model = self._model if self._api.url_variable else self._url
        suffix = f"?dimensions={self._dimensions}" if self._dimensions else ""
        return f"{self._kind}:{model}{suffix}"

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the model's name, dimension and prompts, 16 hexadecimal digits.

        Text-embeddings-inference tells the revision of its weights, which is hashed in place of
        its URL. Of the others a model exchanged under the same name and dimension goes unnoticed.
        """
        model, revision = self._served
        facts = [self._kind, model, revision, self.dimension, sorted(self._prompts.items())]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    @property
    def dimension(self) -> int:
        """Length of each vector; embeds one text to find out where none was embedded yet."""
        return self._known_dimension or self.embed_queries(["dimension"]).shape[1]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries, prompted as the model expects; (n, dim)."""
        with self._lock:
            found = {text: self._cache[text] for text in texts if text in self._cache}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        found.update(zip(missing, self._embed(missing, "query"), strict=True))
        with self._lock:
            self._cache.update((text, found[text]) for text in missing)
        return self._stacked([found[text] for text in texts])

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents, prompted as the model expects; (n, dim)."""
        return self._stacked(self._embed(texts, "document"))

    def _stacked(self, vectors: Sequence[Vectors]) -> Vectors:
        return np.stack(vectors) if vectors else np.empty((0, self.dimension), dtype=np.float32)

    def _embed(self, texts: Sequence[str], side: Side) -> list[Vectors]:
        prompt = self._prompts.get(side, "") if texts else ""
        vectors: list[Vectors] = []
        for start in range(0, len(texts), self._api.batch):
            batch = [prompt + text for text in texts[start : start + self._api.batch]]
            body = self._api.body(self._model, batch, side)
            if self._dimensions:
                body[self._api.dimensions] = self._dimensions
            vectors += self._read(self._server.ask(self._api.path, body), count=len(batch))
        return vectors

    def _read(self, answer: Any, *, count: int) -> list[Vectors]:
        try:
            vectors = [np.array(row, dtype=np.float32) for row in self._api.vectors(answer)]
        except WrongShapeError as exc:
            raise ModelError(
                f"{self.name} at {self._url} answered in another form than {self._kind} servers"
                f" do: {exc}; check the URL"
            ) from exc
        if len(vectors) != count:
            raise ModelError(f"{self.name} gave {len(vectors)} vectors for {count} texts")
        dimension = self._known_dimension or vectors[0].size
        for vector in vectors:
            if vector.shape != (dimension,) or not dimension:
                raise ModelError(
                    f"{self.name} gave a vector of {vector.size} numbers; expected {dimension}."
                    " Has the server's model changed, or can it not shorten its vectors?"
                )
            if not np.isfinite(vector).all():
                raise ModelError(f"{self.name} gave a vector with NaN or infinity in it")
        self._known_dimension = dimension
        return vectors

    @cached_property
    def _served(self) -> tuple[str, str]:
        """The model and its revision, as far as the server tells."""
        if self._api.info_path is None:
            return self._model, ""
        info = self._server.ask(self._api.info_path)
        try:
            matches(info, SERVED)
        except WrongShapeError as exc:
            where = f"{self._url}/{self._api.info_path}"
            raise ModelError(f"{where} tells no model_id: {exc}; check the URL") from exc
        return info["model_id"], str(info.get("model_sha"))

    @cached_property
    def _prompts(self) -> Mapping[str, str]:
        return served_prompts(self._served[0])
