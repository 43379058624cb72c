"""Embedding over HTTP: each vendor's requests and answers; test_http.py has what all share."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.encoders.embedders import load_embedder
from retrieve_rerank.models.services import embedder as http_embedder
from retrieve_rerank.models.services import http
from retrieve_rerank.models.services.embedder import HttpEmbedder
from tests.models.embedding_server import DIMENSION, EmbeddingServer, Reply, ok, serve, vector

KEY = "sk-secret-key"
MODEL = "text-embedding-3-small"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    with serve() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("OLLAMA_HOST", running.url)
        monkeypatch.setenv("CO_API_URL", running.url)
        for variable in ("OPENAI_API_KEY", "CO_API_KEY", "TEI_API_KEY", "OLLAMA_API_KEY"):
            monkeypatch.setenv(variable, KEY)
        yield running


def openai(server: EmbeddingServer, *, timeout_s: float = 30.0) -> HttpEmbedder:
    return HttpEmbedder("openai", MODEL, url=f"{server.url}/v1", key=KEY, timeout_s=timeout_s)


def rows(*texts: str) -> np.ndarray:
    return np.array([vector(text) for text in texts], dtype=np.float32)


def failing(status: int, content: object) -> Reply:
    return status, {}, json.dumps(content).encode()


@pytest.mark.parametrize(
    ("name", "path", "query_body", "document_body"),
    [
        (
            f"openai:{MODEL}",
            "/v1/embeddings",
            {"model": MODEL, "input": ["q"]},
            {"model": MODEL, "input": ["a", "b"]},
        ),
        (
            f"openai:{MODEL}?dimensions=4",
            "/v1/embeddings",
            {"model": MODEL, "input": ["q"], "dimensions": 4},
            {"model": MODEL, "input": ["a", "b"], "dimensions": 4},
        ),
        (
            "ollama:all-minilm",
            "/api/embed",
            {"model": "all-minilm", "input": ["q"]},
            {"model": "all-minilm", "input": ["a", "b"]},
        ),
        (
            "cohere:embed-v4.0?dimensions=4",
            "/v2/embed",
            {
                "model": "embed-v4.0",
                "texts": ["q"],
                "input_type": "search_query",
                "embedding_types": ["float"],
                "output_dimension": 4,
            },
            {
                "model": "embed-v4.0",
                "texts": ["a", "b"],
                "input_type": "search_document",
                "embedding_types": ["float"],
                "output_dimension": 4,
            },
        ),
    ],
)
def test_requests_are_those_of_the_vendor(
    server: EmbeddingServer,
    name: str,
    path: str,
    query_body: object,
    document_body: object,
) -> None:
    embedder = load_embedder(name)

    assert embedder.embed_queries(["q"]) == pytest.approx(rows("q"))
    assert embedder.embed_documents(["a", "b"]) == pytest.approx(rows("a", "b"))
    assert embedder.name == name
    assert embedder.dimension == DIMENSION
    assert [(p, body) for p, _, body in server.requests] == [
        (path, query_body),
        (path, document_body),
    ]
    assert {headers["authorization"] for _, headers, _ in server.requests} == {f"Bearer {KEY}"}


def test_text_embeddings_inference_tells_its_model(server: EmbeddingServer) -> None:
    embedder = load_embedder(f"tei:{server.url}")

    assert embedder.embed_queries(["q"]) == pytest.approx(rows("query: q"))
    assert embedder.embed_documents(["d"]) == pytest.approx(rows("passage: d"))
    assert embedder.name == f"tei:{server.url}"
    assert [path for path, _, _ in server.requests] == ["/info", "/embed", "/embed"]
    assert server.requests[1][2] == {"inputs": ["query: q"], "truncate": True}


def test_prompts_of_known_models_go_before_texts(server: EmbeddingServer) -> None:
    load_embedder("ollama:nomic-embed-text:latest").embed_queries(["q"])
    load_embedder("openai:nomic-ai/nomic-embed-text-v1.5").embed_documents(["d"])
    load_embedder("openai:intfloat/multilingual-e5-base").embed_queries(["q"])
    load_embedder("openai:unheard-of").embed_queries(["q"])

    assert server.texts == ["search_query: q", "search_document: d", "query: q", "q"]


def test_many_texts_go_in_bounded_requests_and_keep_their_order(server: EmbeddingServer) -> None:
    texts = [f"text {number}" for number in range(70)]

    assert openai(server).embed_documents(texts) == pytest.approx(rows(*texts))
    assert [len(body["input"]) for _, _, body in server.requests] == [32, 32, 6]


def test_no_texts_need_one_request_for_the_dimension_alone(server: EmbeddingServer) -> None:
    embedder = openai(server)

    assert embedder.embed_queries([]).shape == (0, DIMENSION)
    assert embedder.embed_documents([]).shape == (0, DIMENSION)
    assert len(server.requests) == 1


def test_queries_asked_again_come_from_the_cache(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_embedder, "CACHED_QUERIES", 2)
    embedder = openai(server)
    first = embedder.embed_queries(["a", "b", "a"])
    first[:] = 0  # the caller's array, not the cache's
    embedder.embed_queries(["a", "c"])  # pushes b out
    again = embedder.embed_queries(["c", "a", "b"])

    assert server.texts == ["a", "b", "c", "b"]
    assert again == pytest.approx(rows("c", "a", "b"))


def test_answers_out_of_order_are_put_in_order(server: EmbeddingServer) -> None:
    data = [{"index": i, "embedding": vector(text)} for i, text in enumerate("abc")]
    server.replies.append(ok({"data": data[::-1]}))

    assert openai(server).embed_documents(list("abc")) == pytest.approx(rows(*"abc"))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (ok({"data": [{"index": 0, "embedding": [1, 2]}]}), "gave 1 vectors for 2 texts"),
        (ok({"data": [{"index": 0, "embedding": [1]}] * 2}), "in another form than openai"),
        (ok({"embeddings": [[1], [2]]}), "in another form than openai servers do"),
        (ok([1, 2]), "in another form than openai servers do"),
        (
            ok({"data": [{"index": i, "embedding": "AAAA"} for i in (0, 1)]}),
            "in another form than openai servers do",
        ),
        (
            ok({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]}),
            "a vector of 1 numbers; expected 2",
        ),
        (ok({"data": [{"index": i, "embedding": []} for i in (0, 1)]}), "of 0 numbers"),
        (
            ok({"data": [{"index": i, "embedding": [float("nan")]} for i in (0, 1)]}),
            "a vector with NaN or infinity",
        ),
    ],
)
def test_answers_that_cannot_be_used_are_refused_at_once(
    server: EmbeddingServer, reply: Reply, message: str
) -> None:
    server.replies.append(reply)

    with pytest.raises(ModelError, match=message):
        openai(server).embed_documents(["a", "b"])
    assert len(server.requests) == 1


def test_a_model_that_changes_its_dimension_is_noticed(server: EmbeddingServer) -> None:
    embedder = openai(server)
    embedder.embed_queries(["a"])
    server.replies.append(ok({"data": [{"index": 0, "embedding": [1, 2]}]}))

    with pytest.raises(ModelError, match="a vector of 2 numbers; expected 4"):
        embedder.embed_queries(["b"])


def test_a_refused_key_is_named_by_its_variable_and_never_shown(server: EmbeddingServer) -> None:
    server.replies.append(failing(401, {"error": {"message": f"bad key: {KEY}"}}))
    embedder = load_embedder(f"openai:{MODEL}")

    with pytest.raises(ModelError, match=r"bad key: \*\*\*; set OPENAI_API_KEY") as raised:
        embedder.embed_queries(["q"])
    assert KEY not in f"{raised.value}{embedder!r}"


def test_credentials_in_a_url_are_used_and_never_shown(server: EmbeddingServer) -> None:
    url = server.url.replace("http://", "http://user:hush@")
    embedder = load_embedder(f"tei:{url}")
    server.replies.append(failing(404, {"error": "no user:hush here"}))

    with pytest.raises(ModelError) as raised:
        embedder.embed_queries(["q"])
    assert server.requests[0][1]["authorization"].startswith("Basic ")
    assert "hush" not in f"{raised.value}{embedder!r}{embedder.name}"


def test_a_slow_server_is_not_waited_for(server: EmbeddingServer) -> None:
    released = threading.Event()

    def slow() -> Reply:
        released.wait(30)
        return ok({})

    server.replies.append(slow)
    with pytest.raises(ModelError, match=r"gave no answer within 0\.2 s"):
        openai(server, timeout_s=0.2).embed_queries(["q"])
    released.set()
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as gone:
        url = gone.url
    monkeypatch.setattr(http, "_JITTER", lambda state: 0.0)
    monkeypatch.setenv("OLLAMA_HOST", url.removeprefix("http://"))

    with pytest.raises(ModelError, match=r"cannot be reached at .*/api/embed .*OLLAMA_HOST"):
        load_embedder("ollama:all-minilm").embed_queries(["q"])


def test_the_fingerprint_follows_model_dimension_and_revision(server: EmbeddingServer) -> None:
    names = [
        "openai:a",
        "openai:b",
        "openai:a?dimensions=4",
        "ollama:a",
        "ollama:nomic-embed-text",
    ]
    found = [load_embedder(name).fingerprint for name in names]
    first = load_embedder(f"tei:{server.url}").fingerprint
    elsewhere = load_embedder(f"tei:{server.url.replace('127.0.0.1', 'localhost')}").fingerprint
    server.replies.append(ok({"model_id": "intfloat/multilingual-e5-small", "model_sha": "def"}))
    other = load_embedder(f"tei:{server.url}").fingerprint

    assert found[0] == found[2]  # the same vectors, by two names
    assert len(set(found)) == 4
    assert first == elsewhere != other


def test_a_server_without_a_key_is_asked_without(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    load_embedder("openai:a").embed_queries(["q"])

    assert "authorization" not in server.requests[0][1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai:", "openai: names no model; expected, for example, openai:text-embedding"),
        ("openai:a?size=3", r"comes nothing, or \?dimensions=N"),
        ("openai:a?dimensions=0", r"comes nothing, or \?dimensions=N"),
        ("tei:localhost:8080", "tei:URL: localhost:8080 is no address; expected http://HOST"),
        (
            "tei:http://user:hush@host:port",
            r"tei:URL: http://\*\*\*@host:\*\*\* has a host or port",
        ),
    ],
)
def test_names_that_cannot_be_used_are_refused_without_secrets(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        load_embedder(name)
    assert "hush" not in str(raised.value)


def test_a_base_url_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://host/v1?token=hush")
    with pytest.raises(
        ModelError, match=r"OPENAI_BASE_URL: https://host/v1\?\*\*\* goes on"
    ) as raised:
        load_embedder("openai:a")
    assert "hush" not in str(raised.value)


def test_other_names_are_models_on_this_machine() -> None:
    assert load_embedder("all-MiniLM-L6-v2").dimension == 384
