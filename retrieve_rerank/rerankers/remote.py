"""Scores from reranking services: Cohere, Jina, Voyage, and servers of one's own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from retrieve_rerank.base import TextScores
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.errors import ModelError, RequestError, ScoreError
from retrieve_rerank.models.catalog.embedding_apis import SERVED
from retrieve_rerank.models.catalog.rerank_apis import RERANK_APIS
from retrieve_rerank.models.checkpoints.resolving import check_served_model
from retrieve_rerank.models.services.http import JsonServer, read_url
from retrieve_rerank.network.shapes import WrongShapeError, matches
from retrieve_rerank.rerankers.drop_in import DropIn
from retrieve_rerank.text.template import Template, readable

_EXAMPLES = "cohere:rerank-v3.5, jina:MODEL, voyage:rerank-2.5, tei:http://host:8080, vllm:URL"
_EMPTY = "."  # in place of a document without text, which a service may refuse


class Remote(DropIn):
    """Score texts by a service; one may be shared by many threads and event loops.

    `model` is `cohere:MODEL`, `cohere-v1:MODEL`, `jina:MODEL`, `voyage:MODEL`, `tei:URL`,
    `vllm:URL` or `vllm-score:URL` (each with `?model=MODEL` where the server has several), or
    `hf:URL`. Documents beyond what the service takes at once go in several requests; equal texts
    are sent once. Requests are sent again after 429, 5xx and broken connections.

    Raises ModelError where the service cannot be asked, and ScoreError where it does not give
    one number for each text.
    """

    name = "remote"

    def __init__(
        self,
        model: str = "",
        *,
        key: str | None = None,
        url: str | None = None,
        timeout_s: float = 30.0,
        template: Template | str | None = None,
    ) -> None:
        """`key` and `url` are taken from the environment where None: `CO_API_KEY` and its like.

        `timeout_s` is for one attempt. Credentials in a URL are used, and never shown.
        """
        kind, _, served = model.partition(":")
        if kind not in RERANK_APIS or not served:
            # Without what was given, which may hold a password.
            raise ModelError(f"remote needs a model: {_EXAMPLES} or hf:URL")
        self._api = RERANK_APIS[kind]
        self.pointwise = self._api.pointwise
        self._kind = kind
        named, _, parameter = served.partition("?model=")
        self._model: str | None = parameter or None
        if self._api.url_variable is not None:
            check_served_model(kind, served, url_variable=self._api.url_variable)
            self._model = served
            named = url or os.environ.get(self._api.url_variable) or self._api.default_url
        base = read_url(named, where=self._api.url_variable or f"{kind}:URL")
        self.model = f"{kind}:{served if self._api.url_variable else str(base)}"
        self._server = JsonServer(
            base,
            name=self.model,
            key=key or os.environ.get(self._api.key_variable, "").strip() or None,
            key_variable=self._api.key_variable,
            url_variable=self._api.url_variable,
            timeout_s=timeout_s,
        )
        if template is not None:
            self.template = Template(template) if isinstance(template, str) else template

    def __repr__(self) -> str:
        return f"Remote({self.model!r})"

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the model's name, or over what the server says of its weights.

        Empty where scores depend on the other documents, or a URL says nothing of the weights.
        """
        facts = [self._kind, self._model]
        if self._api.info_path:
            info = self._server.ask(self._api.info_path)
            try:
                matches(info, SERVED)
            except WrongShapeError:  # of a server that tells nothing of its weights
                return ""
            if not info.get("model_sha"):
                return ""
            facts += [info["model_id"], info["model_sha"]]
        elif not (self.pointwise and self._api.named_weights):
            return ""
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text as the service does; higher is more relevant."""
        found: dict[str, float] = {}
        for batch in self._batches(query, texts):
            answer = self._server.ask(self._api.path, self._api.body(self._model, query, batch))
            found.update(self._read(answer, batch))
        return [found[_sent(text)] for text in texts]

    async def ascore(self, query: str, texts: Sequence[str]) -> list[float]:
        """Async twin of `score`, with all its requests under way at once."""

        async def ask(batch: Sequence[str]) -> dict[str, float]:
            body = self._api.body(self._model, query, batch)
            return self._read(await self._server.aask(self._api.path, body), batch)

        asking = [asyncio.create_task(ask(batch)) for batch in self._batches(query, texts)]
        try:
            answers = await asyncio.gather(*asking)
        finally:
            for task in asking:  # those that are left after one has failed
                task.cancel()
        found = {text: score for answer in answers for text, score in answer.items()}
        return [found[_sent(text)] for text in texts]

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Score each text, and say where scores of several requests may not compare."""
        return TextScores(self.score(query, texts), notes=self._notes(query, texts))

    async def ascore_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Async twin of `score_texts`, without a thread."""
        return TextScores(await self.ascore(query, texts), notes=self._notes(query, texts))

    async def aclose(self) -> None:
        """Close the connections of this event loop; else they close with it."""
        await self._server.aclose()

    def requests(self, query: str, texts: Sequence[str]) -> int:
        """Return how many requests the texts take."""
        return sum(1 for _ in self._batches(query, texts))

    def _notes(self, query: str, texts: Sequence[str]) -> tuple[str, ...]:
        requests = self.requests(query, texts)
        if self.pointwise or requests < 2:
            return ()
        return (
            f"the documents went to {self.model} in {requests} requests, and its scores may"
            " depend on which are asked together",
        )

    def _batches(self, query: str, texts: Sequence[str]) -> Iterator[list[str]]:
        """Split what is to be sent, each text once, into requests within the service's limits."""
        return cut(
            dict.fromkeys(map(_sent, texts)),
            lambda text: len(query) + len(text),
            size=self._api.characters or math.inf,
            count=self._api.batch,
        )

    def _read(self, answer: Any, texts: Sequence[str]) -> dict[str, float]:
        """Put the scores of one answer, which come in any order, to their texts."""
        try:
            rows = self._api.scores(answer)
        except WrongShapeError as exc:
            raise RequestError(
                f"{self.model} answered in another form than {self._kind} servers do: {exc};"
                " check the URL"
            ) from exc
        found: dict[str, float] = {}
        for index, score in rows:
            if not 0 <= index < len(texts):
                raise ScoreError(
                    f"{self.model} gave a score to document {index}; expected 0 to {len(texts) - 1}"
                )
            if texts[index] in found:
                raise ScoreError(f"{self.model} gave document {index} two scores")
            if not math.isfinite(score):
                raise ScoreError(
                    f"{self.model} gave document {index} the score {score}; expected a number"
                )
            found[texts[index]] = float(score)
        if len(found) != len(texts):
            raise ScoreError(f"{self.model} gave {len(found)} scores for {len(texts)} documents")
        return found


def _sent(text: str) -> str:
    return readable(text) if readable(text).strip() else _EMPTY
