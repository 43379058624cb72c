"""Reranking over HTTP: each service's requests and answers; test_http.py has what all share."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from retrieve_rerank import Document, Retriever, rank
from retrieve_rerank.base import Scorer
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ModelError, ScoreError
from retrieve_rerank.models.catalog.rerank_apis import RERANK_APIS
from retrieve_rerank.registry import reranker_class
from retrieve_rerank.rerankers.remote import Remote
from retrieve_rerank.settings.build import reranker_of
from tests.models.embedding_server import EmbeddingServer, Reply, ok, serve
from tests.rerankers.rerank_server import documented, score

KEY = "secret-key"
QUERY = "what is a panda?"
TEXTS = ["It is a bear.", "hi", "Paris is in France.", ""]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    with serve(documented) as running:
        for api in RERANK_APIS.values():
            monkeypatch.setenv(api.key_variable, KEY)
            if api.url_variable:
                monkeypatch.setenv(api.url_variable, running.url)
        yield running


_MADE: list[Remote] = []  # kept, so that their connections close with their event loops


def remote(name: str, *, timeout_s: float = 30.0) -> Remote:
    _MADE.append(Remote(name, timeout_s=timeout_s))
    return _MADE[-1]


def cohere(*, timeout_s: float = 30.0) -> Remote:
    return remote("cohere:rerank-v3.5", timeout_s=timeout_s)


def results(*rows: tuple[object, object]) -> Reply:
    return ok({"results": [{"index": i, "relevance_score": s} for i, s in rows]})


def failing(status: int, content: object) -> Reply:
    return status, {}, json.dumps(content).encode()


DOCUMENTS = {"query": "q", "documents": ["a", "b"]}
VLLM = {"truncate_prompt_tokens": -1, "use_activation": False}


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("cohere:rerank-v3.5", "/v2/rerank", {"model": "rerank-v3.5", **DOCUMENTS}),
        ("cohere-v1:rerank-v3.5", "/v1/rerank", {"model": "rerank-v3.5", **DOCUMENTS}),
        (
            "jina:jina-reranker-v3",
            "/v1/rerank",
            {"model": "jina-reranker-v3", **DOCUMENTS, "return_documents": False},
        ),
        (
            "voyage:rerank-2.5",
            "/v1/rerank",
            {"model": "rerank-2.5", **DOCUMENTS, "truncation": True},
        ),
        (
            "tei:{url}",
            "/rerank",
            {"query": "q", "texts": ["a", "b"], "raw_scores": True, "truncate": True},
        ),
        ("vllm:{url}", "/rerank", {**DOCUMENTS, **VLLM}),
        ("vllm:{url}?model=bge", "/rerank", {"model": "bge", **DOCUMENTS, **VLLM}),
        ("vllm-score:{url}", "/score", {"text_1": "q", "text_2": ["a", "b"], **VLLM}),
        ("hf:{url}", "/", {"inputs": {"query": "q", "texts": ["a", "b"]}}),
    ],
)
async def test_requests_are_those_of_the_service_and_scores_land_on_their_documents(
    server: EmbeddingServer, name: str, path: str, body: object
) -> None:
    scorer = remote(name.format(url=server.url))
    expected = [score("q", "a"), score("q", "b")]

    assert scorer.score("q", ["a", "b"]) == expected
    assert await scorer.ascore("q", ["a", "b"]) == expected
    assert [(p, sent) for p, _, sent in server.requests] == [(path, body)] * 2
    assert {headers["authorization"] for _, headers, _ in server.requests} == {f"Bearer {KEY}"}
    assert {headers["accept-encoding"] for _, headers, _ in server.requests} == {"identity"}


def test_a_server_that_answers_sorted_with_an_index_is_read_by_the_index(
    server: EmbeddingServer,
) -> None:
    server.replies.append(results((2, 0.9), (0, 0.5), (1, 0.1)))

    assert cohere().score(QUERY, ["a", "b", "c"]) == [0.5, 0.1, 0.9]


@pytest.mark.parametrize(
    ("name", "sizes"), [("tei:{url}", [32, 32, 6]), ("cohere:rerank-v3.5", [70])]
)
async def test_many_documents_go_in_requests_within_the_services_limits(
    server: EmbeddingServer, name: str, sizes: list[int]
) -> None:
    texts = [f"text {number}" for number in range(70)]
    scorer = remote(name.format(url=server.url))
    expected = [score(QUERY, text) for text in texts]

    assert scorer.score(QUERY, texts) == expected
    assert [len(b.get("texts") or b["documents"]) for _, _, b in server.requests] == sizes
    assert await scorer.ascore(QUERY, texts) == expected


def test_long_documents_go_in_requests_of_bounded_length(server: EmbeddingServer) -> None:
    texts = [letter * 250_000 for letter in "abc"]
    Remote("voyage:rerank-2.5").score("q" * 100_000, texts)

    assert [len(body["documents"]) for _, _, body in server.requests] == [1, 1, 1]
    server.requests.clear()
    Remote("voyage:rerank-2.5").score("q" * 10_000, texts)
    assert [len(body["documents"]) for _, _, body in server.requests] == [2, 1]


def test_equal_and_empty_texts_keep_their_places(server: EmbeddingServer) -> None:
    scores = cohere().score(QUERY, ["a", "", "a", "  ", "."])

    assert server.requests[0][2]["documents"] == ["a", "."]
    a, dot = score(QUERY, "a"), score(QUERY, ".")
    assert scores == [a, dot, a, dot, dot]


async def test_nothing_to_score_asks_nobody(server: EmbeddingServer) -> None:
    assert cohere().score(QUERY, []) == []
    assert await cohere().ascore(QUERY, []) == []
    assert (await cohere().arerank(QUERY, [])).hits == []
    assert not server.requests


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (results((0, 0.5)), ScoreError, "gave 1 scores for 2 documents"),
        (results(), ScoreError, "gave 0 scores for 2 documents"),
        (results((0, 0.5), (2, 0.4)), ScoreError, "to document 2; expected 0 to 1"),
        (results((0, 0.5), (-1, 0.4)), ScoreError, "to document -1; expected 0 to 1"),
        (results((0, 0.5), ("1", 0.4)), ModelError, "index is the text '1'; expected a whole"),
        (results((0, 0.5), (True, 0.4)), ModelError, "index is true; expected a whole number"),
        (results((0, 0.5), (0, 0.4)), ScoreError, "gave document 0 two scores"),
        (results((0, 0.5), (1, float("nan"))), ScoreError, "document 1 the score nan"),
        (results((0, 0.5), (1, float("inf"))), ScoreError, "document 1 the score inf"),
        (results((0, 0.5), (1, 10**400)), ScoreError, "document 1 the score inf"),
        (results((0, 0.5), (1, True)), ModelError, "score is true; expected a number"),
        (results((0, 0.5), (1, None)), ModelError, "score is null; expected a number"),
        (results((0, 0.5), (1, "high")), ModelError, "score is the text 'high'; expected a num"),
        (ok({"results": [{"score": 1}]}), ModelError, "form than cohere servers do: the answer"),
        (ok({"data": []}), ModelError, "in another form than cohere servers do"),
        (ok([1, 2]), ModelError, "in another form than cohere servers do"),
        (ok(None), ModelError, "in another form than cohere servers do"),
    ],
)
async def test_answers_that_cannot_be_used_are_refused_at_once(
    server: EmbeddingServer, reply: Reply, error: type[Exception], message: str
) -> None:
    server.replies += [reply, reply]

    with pytest.raises(error, match=message):
        cohere().score(QUERY, ["a", "b"])
    with pytest.raises(error, match=message):
        await cohere().ascore(QUERY, ["a", "b"])
    assert len(server.requests) == 2


async def test_a_slow_service_is_not_waited_for(server: EmbeddingServer) -> None:
    released = threading.Event()

    def slow() -> Reply:
        released.wait(30)
        return ok({})

    server.replies += [slow, slow]
    scorer = cohere(timeout_s=0.2)
    with pytest.raises(ModelError, match=r"gave no answer within 0\.2 s"):
        await scorer.ascore(QUERY, ["a"])
    with pytest.raises(ModelError, match=r"gave no answer within 0\.2 s"):
        scorer.score(QUERY, ["a"])
    released.set()


def test_a_refused_key_is_named_by_its_variable_and_never_shown(server: EmbeddingServer) -> None:
    server.replies.append(failing(401, {"message": f"bad key: {KEY}"}))
    scorer = cohere()

    with pytest.raises(ModelError, match=r"bad key: \*\*\*; set CO_API_KEY") as raised:
        scorer.score(QUERY, ["a"])
    assert KEY not in f"{raised.value}{scorer!r}{vars(scorer)}"


def test_credentials_in_a_url_are_used_and_never_shown(server: EmbeddingServer) -> None:
    scorer = Remote(f"tei:{server.url.replace('http://', 'http://user:hush@')}")
    server.replies.append(failing(404, {"error": "no user:hush here"}))

    with pytest.raises(ModelError) as raised:
        scorer.score(QUERY, ["a"])
    assert server.requests[0][1]["authorization"].startswith("Basic ")
    assert "hush" not in f"{raised.value}{scorer!r}{scorer.model}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "remote needs a model: cohere:rerank-v3.5"),
        ("cohere:", "remote needs a model"),
        ("bge-reranker-v2-m3", "remote needs a model"),
        ("tei:localhost:8080", "tei:URL: localhost:8080 is no address; expected http://HOST"),
        (
            "tei:http://user:hush@host:port",
            r"tei:URL: http://\*\*\*@host:\*\*\* has a host or port",
        ),
    ],
)
def test_names_that_cannot_be_used_are_refused_without_secrets(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        Remote(name)
    assert "hush" not in str(raised.value)


async def test_hundreds_of_searches_wait_at_once(server: EmbeddingServer) -> None:
    searches = 200
    arrived = threading.Barrier(searches)

    def together() -> Reply:
        arrived.wait(timeout=30)  # none is answered before all have been asked
        return results((0, 1.0))

    server.replies += [together] * searches
    scorer = cohere()
    found = await asyncio.gather(*(scorer.ascore(QUERY, ["a"]) for _ in range(searches)))
    assert found == [[1.0]] * searches


async def test_it_serves_as_a_stage_and_a_failing_service_leaves_the_order(
    server: EmbeddingServer,
) -> None:
    connector = MemoryConnector(Document(str(n), f"panda {text}") for n, text in enumerate(TEXTS))
    retriever = Retriever(connector, cohere())
    assert (await retriever.asearch("panda")).stages[1].scored == len(TEXTS)

    server.replies.append(failing(400, {"message": "no"}))
    degraded = await retriever.asearch("panda")
    assert degraded.degraded
    assert len(degraded) == len(TEXTS)
    assert "answered 400: no" in str(degraded.stages[1].error)


def test_scores_that_depend_on_what_is_asked_together_are_noted(server: EmbeddingServer) -> None:
    hits = rank((Document(str(n), f"text {n}"), 0.0) for n in range(1001))
    assert cohere().rerank(QUERY, hits).notes == ()
    assert Remote("jina:jina-reranker-v3").rerank(QUERY, hits[:1000]).notes == ()
    [note] = Remote("jina:jina-reranker-v3").rerank(QUERY, hits).notes
    assert "in 2 requests, and its scores may depend on which are asked together" in note
    assert cohere().pointwise
    assert not Remote("jina:jina-reranker-v3").pointwise


def test_a_template_that_no_document_fills_is_noted(server: EmbeddingServer) -> None:
    hits = rank((Document(str(n), f"text {n}"), 0.0) for n in range(3))
    [note] = Remote("cohere:rerank-v3.5", template="{nope}").rerank(QUERY, hits).notes
    assert note.startswith("no document has any field of the template '{nope}'")


def test_fingerprints_tell_weights_apart_where_they_can_be_told(server: EmbeddingServer) -> None:
    def fingerprint(name: str) -> str:
        return Remote(name).fingerprint

    assert fingerprint("cohere:a") == fingerprint("cohere:a") != fingerprint("cohere:b")
    first = fingerprint(f"tei:{server.url}")
    server.replies.append(ok({"model_id": "BAAI/bge-reranker-base", "model_sha": "def"}))
    assert fingerprint(f"tei:{server.url}") != first
    server.replies.append(ok({"model_id": "/data", "model_sha": None}))
    untold = ("jina:a", f"vllm:{server.url}", f"hf:{server.url}", f"tei:{server.url}")
    server_of_unknown = [fingerprint(name) for name in untold]
    assert server_of_unknown == [""] * 4


def test_it_is_registered_and_chosen_by_the_models_name() -> None:
    assert reranker_class("remote") is Remote
    assert issubclass(Remote, Scorer)
    assert reranker_of("cohere:rerank-v3.5") == "remote"
    assert reranker_of("tei:http://localhost:8080") == "remote"


async def test_connections_can_be_closed_before_their_loop(server: EmbeddingServer) -> None:
    scorer = Remote("cohere:rerank-v3.5")
    expected = await scorer.ascore(QUERY, ["a"])
    await scorer.aclose()
    assert await scorer.ascore(QUERY, ["a"]) == expected, "opened again"
    await scorer.aclose()
    await scorer.aclose()
