"""Texts to vectors by a server: OpenAI-compatible, Ollama, text-embeddings-inference, Cohere.

Knows nothing of the environment.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx
import numpy as np
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.embedding_apis import APIS, Side
from retrieve_rerank.models.resolving import served_prompts

ATTEMPTS = 4
LONGEST_WAIT_S = 20.0
"""A server that asks for a longer pause is not waited for."""
CACHED_QUERIES = 1024
MAX_ANSWER_BYTES = 64 << 20
"""Ten times what 96 vectors of 4,096 numbers take as JSON."""

_JITTER = wait_random_exponential(multiplier=0.5, max=8)  # seconds
_ERROR_LENGTH = 300  # characters of a server's own words


class HttpEmbedder:
    """A model behind an HTTP endpoint; one may be shared by many threads.

    The vectors of the last CACHED_QUERIES queries are kept. Requests that meet 429, 5xx or a
    broken connection are sent again, at most ATTEMPTS times in all. Every failure is a ModelError.
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
        self._timeout_s = timeout_s
        base = _base_url(url, where=self._api.url_variable or f"{kind}:URL")
        if key and not (key.isascii() and key.isprintable()):
            raise ModelError(f"{self._api.key_variable} holds characters that no key has")
        self._secrets = [secret for secret in (key, base.password) if secret]
        self._url = str(base.copy_with(userinfo=b"")).rstrip("/")
        self._client = httpx.Client(
            auth=(base.username, base.password) if base.username else None,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=timeout_s,
        )
        weakref.finalize(self, self._client.close)
        self._known_dimension = dimensions
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
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
            for text, vector in found.items():
                self._cache[text] = vector
                self._cache.move_to_end(text)
            while len(self._cache) > CACHED_QUERIES:
                self._cache.popitem(last=False)
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
            vectors += self._read(self._ask("POST", self._api.path, body), count=len(batch))
        return vectors

    def _read(self, answer: Any, *, count: int) -> list[Vectors]:
        try:
            vectors = [np.array(row, dtype=np.float32) for row in self._api.vectors(answer)]
        except (KeyError, TypeError, ValueError) as exc:
            raise ModelError(
                f"{self.name} at {self._url} answered in another form than {self._kind} servers"
                f" do ({type(exc).__name__}: {str(exc)[:80]}); check the URL"
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
        info = self._ask("GET", self._api.info_path)
        if not isinstance(info, dict) or "model_id" not in info:
            raise ModelError(f"{self._url}/{self._api.info_path} tells no model_id; check the URL")
        return str(info["model_id"]), str(info.get("model_sha"))

    @cached_property
    def _prompts(self) -> Mapping[str, str]:
        return served_prompts(self._served[0])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send until there is an answer; return its JSON."""
        retrying = Retrying(
            retry=retry_if_exception(_worth_retrying),
            wait=_pause,
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        return retrying(self._send, method, f"{self._url}/{path}", body)

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        try:
            with self._client.stream(method, url, json=body) as response:
                content = self._bounded(response)
        except (httpx.ConnectTimeout, httpx.NetworkError, httpx.RemoteProtocolError) as exc:
            raise _Unavailable(
                f"{self.name} cannot be reached at {url} ({self._clean(exc)}); is the server"
                f" running, and {self._api.url_variable or 'the URL'} right?"
            ) from exc
        except httpx.TimeoutException as exc:
            raise self._timed_out() from exc
        except httpx.HTTPError as exc:
            raise ModelError(f"asking {self.name} at {url} failed: {self._clean(exc)}") from exc
        if response.status_code != 200:
            raise self._refusal(response, content)
        try:
            return json.loads(content)
        except ValueError as exc:
            raise ModelError(
                f"{self.name} answered something else than JSON at {url}; check the URL"
            ) from exc

    def _bounded(self, response: httpx.Response) -> bytes:
        """Read an answer, however slowly it drips, within size and time."""
        deadline = time.monotonic() + self._timeout_s
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise ModelError(f"{self.name} answers with more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise self._timed_out()
        return bytes(content)

    def _timed_out(self) -> ModelError:
        return ModelError(f"{self.name} gave no answer within {self._timeout_s:g} s")

    def _refusal(self, response: httpx.Response, content: bytes) -> ModelError:
        status = response.status_code
        said = self._clean(_words(content))
        message = f"{self.name} at {response.url} answered {status}: {said}"
        if status in (401, 403):
            return ModelError(f"{message}; set {self._api.key_variable} to a key that it accepts")
        if status == 404:
            return ModelError(f"{message}; check the name of the model, and the URL")
        if status == 429 or status >= 500:
            return _Unavailable(message, retry_after_s=_retry_after(response))
        return ModelError(message)

    def _clean(self, words: object) -> str:
        text = str(words)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_ERROR_LENGTH]


def _base_url(url: str, *, where: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL:
        base = httpx.URL()
    if base.scheme not in ("http", "https") or not base.host or base.query or base.fragment:
        # Without the URL itself, which may hold a password.
        raise ModelError(f"{where} is no URL like http://host:port/path or https://host")
    return base


class _Unavailable(ModelError):
    """The server cannot answer now."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def _worth_retrying(exc: BaseException) -> bool:
    return isinstance(exc, _Unavailable) and (exc.retry_after_s or 0) <= LONGEST_WAIT_S


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: as the server asks, spread a little, else at random."""
    exc = state.outcome.exception() if state.outcome else None
    asked = exc.retry_after_s if isinstance(exc, _Unavailable) else None
    return (asked or 0.0) + _JITTER(state)


def _retry_after(response: httpx.Response) -> float | None:
    """Read Retry-After: seconds or a date, RFC 9110 section 10.2.3."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _words(content: bytes) -> object:
    """Find what a server says of an error: {"error": …}, {"error": {"message": …}}, …"""
    try:
        said = json.loads(content)
    except ValueError:
        return content[:_ERROR_LENGTH].decode(errors="replace")
    while isinstance(said, dict):
        said = next((said[key] for key in ("error", "message", "detail") if key in said), "")
    return said
