"""Reranking over HTTP: each service's requests and answers, and all that can go wrong."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from retrieve_rerank import Document, Retriever, rank
from retrieve_rerank.base import Scorer
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ModelError, ScoreError
from retrieve_rerank.models.catalog.rerank_apis import RERANK_APIS
from retrieve_rerank.models.services import http
from retrieve_rerank.network.answers import SAID
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


def failing(status: int, content: object = "", **headers: str) -> Reply:
    return status, headers, json.dumps(content).encode()


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


async def test_texts_that_utf_8_cannot_write_are_sent_all_the_same(server: EmbeddingServer) -> None:
    broken = "half a pair: \ud83d"

    assert cohere().score(broken, [broken, "Bär 熊"]) == await cohere().ascore(
        broken, [broken, "Bär 熊"]
    )
    assert server.requests[0][2]["documents"] == ["half a pair: ?", "Bär 熊"]
    assert server.requests[0][1]["content-type"] == "application/json"


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
        ((200, {}, b""), ModelError, "something else than JSON"),
        ((200, {}, b"<html>a proxy</html>"), ModelError, "something else than JSON"),
        ((200, {}, b"[" * 100_000), ModelError, "something else than JSON"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), ModelError, "answered 302"),
        (failing(400, {"message": "too long"}), ModelError, "answered 400: too long"),
        (failing(404, {"message": "no such model"}), ModelError, "404: no such model; check"),
        (failing(422, {"detail": "no such field"}), ModelError, "answered 422: no such field"),
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


@pytest.mark.parametrize(
    "busy",
    [
        failing(429, {"message": "busy"}, **{"Retry-After": "0"}),
        failing(500),
        failing(503),
    ],
)
async def test_a_busy_service_is_asked_again(server: EmbeddingServer, busy: Reply) -> None:
    server.replies += [busy, busy]
    assert await cohere().ascore(QUERY, ["a"]) == [score(QUERY, "a")]
    assert len(server.requests) == 3
    server.replies.append(busy)
    assert cohere().score(QUERY, ["a"]) == [score(QUERY, "a")]
    assert len(server.requests) == 5


async def test_the_pause_that_a_service_asks_for_is_kept(server: EmbeddingServer) -> None:
    server.replies.append(failing(429, **{"Retry-After": "1"}))
    began = time.monotonic()
    await cohere().ascore(QUERY, ["a"])

    assert time.monotonic() - began >= 1


async def test_a_service_that_stays_busy_is_given_up(server: EmbeddingServer) -> None:
    server.replies += [failing(503, {"message": "loading"})] * http.ATTEMPTS

    with pytest.raises(ModelError, match="answered 503: loading"):
        await cohere().ascore(QUERY, ["a"])
    assert len(server.requests) == http.ATTEMPTS


async def test_a_long_pause_is_not_waited_for(server: EmbeddingServer) -> None:
    server.replies.append(failing(429, {"message": "quota"}, **{"Retry-After": "3600"}))

    with pytest.raises(ModelError, match="429: quota; it asks for a pause of 3600 s"):
        await cohere().ascore(QUERY, ["a"])
    assert len(server.requests) == 1


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


@pytest.mark.parametrize("part", ["headers", "body"])
async def test_a_server_that_drips_is_given_up_as_one_that_hangs(part: str) -> None:
    beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
    drop = b"X-Drop: 1\r\n" if part == "headers" else b" "
    connections = []

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            with suppress(OSError):  # the client has given up
                self.request.sendall(beginning if part == "headers" else beginning + b"\r\n")
                for _ in range(40):
                    self.request.sendall(drop)
                    time.sleep(0.05)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        scorer = remote(f"tei:http://127.0.0.1:{server.server_address[1]}", timeout_s=0.4)
        try:
            with pytest.raises(ModelError, match=r"gave no answer within 0\.4 s"):
                scorer.score(QUERY, ["a"])
            with pytest.raises(ModelError, match=r"gave no answer within 0\.4 s"):
                await scorer.ascore(QUERY, ["a"])
        finally:
            server.shutdown()
    assert len(connections) == 2, "one attempt each"


async def test_an_answer_without_end_is_cut_off(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1000)
    server.replies.append((200, {}, b"[" * 5000))

    with pytest.raises(ModelError, match="answers with more than 1,000 bytes"):
        await cohere().ascore(QUERY, ["a"])


async def test_a_server_that_is_not_there_is_said_to_be() -> None:
    with serve(documented) as gone:
        url = gone.url

    with pytest.raises(ModelError, match=r"cannot be reached at .*/rerank .*the URL right"):
        await remote(f"tei:{url}").ascore(QUERY, ["a"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_variable_and_never_shown(
    server: EmbeddingServer, status: int
) -> None:
    server.replies.append(failing(status, {"message": f"bad key: {KEY}"}))
    scorer = cohere()

    with pytest.raises(ModelError, match=r"bad key: \*\*\*; set CO_API_KEY") as raised:
        scorer.score(QUERY, ["a"])
    assert KEY not in f"{raised.value}{scorer!r}{vars(scorer)}"
    assert len(server.requests) == 1


def test_credentials_in_a_url_are_used_and_never_shown(server: EmbeddingServer) -> None:
    scorer = Remote(f"tei:{server.url.replace('http://', 'http://user:hush@')}")
    server.replies.append(failing(404, {"error": "no user:hush here"}))

    with pytest.raises(ModelError) as raised:
        scorer.score(QUERY, ["a"])
    assert server.requests[0][1]["authorization"].startswith("Basic ")
    assert "hush" not in f"{raised.value}{scorer!r}{scorer.model}"


@pytest.mark.parametrize("credentials", ["u:PASSWORDX", "u", "a:a"])
def test_a_header_that_a_server_repeats_is_not_shown(
    server: EmbeddingServer, credentials: str
) -> None:
    def repeat() -> Reply:
        return failing(401, {"error": f"not for {server.requests[-1][1]['authorization']}"})

    server.replies.append(repeat)
    scorer = Remote(f"tei:{server.url.replace('http://', f'http://{credentials}@')}")
    with pytest.raises(ModelError, match=r"sic \*\*\*; set") as raised:
        scorer.score(QUERY, ["a"])
    sent = server.requests[0][1]["authorization"].removeprefix("Basic ")
    assert len(sent) > 3
    assert sent not in str(raised.value)


def test_a_key_at_the_end_of_a_long_error_is_not_shown_in_part(server: EmbeddingServer) -> None:
    before = "x" * (SAID - 6)
    server.replies.append((401, {}, f"{before} {KEY} is no key".encode()))

    with pytest.raises(ModelError) as raised:
        cohere().score(QUERY, ["a"])
    assert "401: xxx" in str(raised.value)
    assert KEY[:4] not in str(raised.value)


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


def test_event_loops_and_threads_share_one_scorer(server: EmbeddingServer) -> None:
    scorer = cohere()
    expected = [score(QUERY, text) for text in "abc"]
    answers: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(scorer.score(QUERY, list("abc"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(2):
        answers.append(asyncio.run(scorer.ascore(QUERY, list("abc"))))
    assert answers == [expected] * 10


async def test_it_serves_as_a_stage_and_a_failing_service_leaves_the_order(
    server: EmbeddingServer,
) -> None:
    connector = MemoryConnector(Document(str(n), f"panda {text}") for n, text in enumerate(TEXTS))
    retriever = Retriever(connector, cohere())
    here, there = retriever.search("panda"), await retriever.asearch("panda")
    assert [hit.document.id for hit in here] == [hit.document.id for hit in there]
    assert [hit.score for hit in here] == sorted((hit.score for hit in here), reverse=True)
    assert here.stages[1].scored == len(TEXTS)

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


def test_connections_close_with_their_scorer() -> None:
    closed = threading.Event()
    _, _, content = results((0, 1.0))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections open

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def finish(self) -> None:
            super().finish()
            closed.set()

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            scorer = Remote(f"vllm:http://127.0.0.1:{server.server_port}")
            assert scorer.score(QUERY, ["a"]) == [1.0]
            assert not closed.is_set()
            del scorer
            assert closed.wait(20)
        finally:
            server.shutdown()


async def test_connections_can_be_closed_before_their_loop(server: EmbeddingServer) -> None:
    scorer = Remote("cohere:rerank-v3.5")
    expected = await scorer.ascore(QUERY, ["a"])
    await scorer.aclose()
    assert await scorer.ascore(QUERY, ["a"]) == expected, "opened again"
    await scorer.aclose()
    await scorer.aclose()
