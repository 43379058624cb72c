"""Whatever answers in place of a server of models: numbers, or an error of ours, in few words."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.models.language_model import Part, Piece, Prompt
from retrieve_rerank.models.services import http
from retrieve_rerank.models.services.chat_server import ChatServer
from retrieve_rerank.models.services.embedder import HttpEmbedder
from retrieve_rerank.rerankers.remote import Remote
from tests.hostile import ANSWERS, LONGEST_MESSAGE, bomb, spoiling
from tests.models import chat_api, embedding_server
from tests.models.embedding_server import EmbeddingServer, Reply, serve
from tests.rerankers import rerank_server

TEXTS = ["a panda", "a bear"]
CHAT = Prompt((Piece((Part("Is it? "), Part("a panda", "document")), "user"),))
PLAIN = Prompt((Piece((Part("Is it? "), Part("a panda", "document"))),))


def documented(path: str, body: Any) -> Reply:
    """Answer as whichever server has this path."""
    replies = (each(path, body) for each in SERVERS)
    return next(reply for reply in replies if reply[0] != 404)


SERVERS = (chat_api.documented, rerank_server.documented, embedding_server._documented)


def remote(name: str) -> Callable[[str], list[Any]]:
    def ask(url: str) -> list[Any]:
        model = Remote(name if name.startswith("co") else f"{name}:{url}", url=url, key="k")
        scores = model.score("wing", TEXTS)
        assert asyncio.run(model.ascore("wing", TEXTS)) == scores
        return scores

    return ask


def embedder(kind: str) -> Callable[[str], list[Any]]:
    def ask(url: str) -> list[Any]:
        base = f"{url}/v1" if kind == "openai" else url
        found = HttpEmbedder(kind, "m", url=base).embed_documents(TEXTS)
        assert found.shape[1] > 0
        return list(found)

    return ask


def chat(prompt: Prompt) -> Callable[[str], list[Any]]:
    def ask(url: str) -> list[Any]:
        model = ChatServer("m", url=f"{url}/v1")
        [text] = model.generate([prompt], max_new_tokens=2).values
        assert isinstance(text, str)
        return list(model.next_token_logits([prompt], ["yes", "no"]).values[0])

    return ask


ASKS: dict[str, Callable[[str], list[Any]]] = {
    "cohere": remote("cohere:rerank-v3.5"),
    "tei": remote("tei"),
    "vllm-score": remote("vllm-score"),
    "hf": remote("hf"),
    "openai embeddings": embedder("openai"),
    "ollama embeddings": embedder("ollama"),
    "tei embeddings": embedder("tei"),
    "cohere embeddings": embedder("cohere"),
    "chat": chat(CHAT),
    "completions": chat(PLAIN),
}


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddingServer]:
    with serve(documented) as running:
        yield running


@pytest.fixture
def server(running: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> EmbeddingServer:
    monkeypatch.setattr(http, "_JITTER", lambda state: 0.0)
    running.replies.clear()
    return running


@pytest.mark.parametrize("name", ["cohere", "tei embeddings", "chat"])
def test_an_answer_that_cannot_be_is_an_error_of_ours(server: EmbeddingServer, name: str) -> None:
    assert len(ASKS[name](server.url)) == 2
    for answer in ANSWERS.values():
        server.replies[:] = [(answer.status, answer.headers, answer.body)] * 8
        with pytest.raises(RetrieveRerankError) as raised:
            ASKS[name](server.url)
        assert len(str(raised.value)) < LONGEST_MESSAGE


@pytest.mark.parametrize("name", ASKS)
def test_a_busy_server_is_asked_again(server: EmbeddingServer, name: str) -> None:
    server.replies[:] = [(503, {}, b"busy")] * (http.ATTEMPTS - 1)
    assert len(ASKS[name](server.url)) == 2
    assert not server.replies


def test_a_bomb_is_not_unpacked_beyond_a_bound(server: EmbeddingServer) -> None:
    answer = bomb(80)
    server.replies[:] = [(answer.status, answer.headers, answer.body)]
    with pytest.raises(RetrieveRerankError, match="more than 67,108,864 bytes; check the URL"):
        ASKS["cohere"](server.url)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(spoil=spoiling())
@pytest.mark.parametrize("name", ASKS)
def test_answers_that_are_changed_anywhere_are_read_or_refused(
    server: EmbeddingServer, name: str, spoil: Callable[[Any], Any]
) -> None:
    def spoilt(path: str, body: Any) -> Reply:
        status, headers, content = documented(path, body)
        return status, headers, json.dumps(spoil(json.loads(content))).encode()

    with serve(spoilt) as spoiled:
        try:
            found = ASKS[name](spoiled.url)
        except RetrieveRerankError as exc:
            assert len(str(exc)) < LONGEST_MESSAGE
        else:
            assert len(found) == 2
            assert np.isfinite(found).all() or -math.inf in found
