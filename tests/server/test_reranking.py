"""The rerank endpoints: scores are the model's, and answers are as each vendor's clients read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.remote import Remote
from tests.server.conftest import Running

QUERY = "which wing flutter was measured?"
TEXTS = ["Bread is baked.", "Wing flutter was measured in a wind tunnel.", "flutter", "Ä 中文"]


@pytest.fixture(scope="module")
def expected(model_folder: Path) -> list[float]:
    return CrossEncoder(model_folder).score(QUERY, TEXTS)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def best_first(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: -scores[place])


@pytest.mark.parametrize(
    ("path", "rows", "score"),
    [
        ("/cohere/v1/rerank", "results", "relevance_score"),
        ("/cohere/v2/rerank", "results", "relevance_score"),
        ("/jina/v1/rerank", "results", "relevance_score"),
        ("/voyage/v1/rerank", "data", "relevance_score"),
        ("/v1/rerank", "results", "relevance_score"),
        ("/v2/rerank", "results", "relevance_score"),
        ("/rerank", "results", "relevance_score"),
    ],
)
def test_documents_are_ranked_by_the_models_scores(
    server: Running, expected: list[float], path: str, rows: str, score: str
) -> None:
    found = server.post(path, {"model": "tiny", "query": QUERY, "documents": TEXTS}).json()
    assert [row["index"] for row in found[rows]] == best_first(expected)
    for row in found[rows]:
        assert row[score] == pytest.approx(sigmoid(expected[row["index"]]), rel=1e-4)


@pytest.mark.parametrize("path", ["/tei/rerank", "/rerank", "/v1/rerank", "/v2/rerank"])
def test_texts_are_answered_by_a_bare_array(
    server: Running, expected: list[float], path: str
) -> None:
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
    found = server.post(path, body).json()
    assert [row["index"] for row in found] == best_first(expected)
    for row in found:
        assert row["score"] == pytest.approx(expected[row["index"]], rel=1e-4)
        assert row["text"] == TEXTS[row["index"]]


def test_answers_have_the_fields_that_each_vendor_has(server: Running) -> None:
    body = {"query": QUERY, "documents": TEXTS[:2], "model": "tiny", "return_documents": True}
    v1 = server.post("/cohere/v1/rerank", {**body, "top_n": 1}).json()
    assert v1.keys() == {"id", "results", "meta"} and len(v1["results"]) == 1
    assert v1["results"][0]["document"]["text"] in TEXTS
    assert v1["meta"]["api_version"] == {"version": "1"}
    v2 = server.post("/cohere/v2/rerank", {**body, "return_documents": False}).json()
    assert "document" not in v2["results"][0] and v2["meta"]["api_version"] == {"version": "2"}
    jina = server.post("/jina/v1/rerank", {"query": QUERY, "documents": TEXTS[:2]}).json()
    assert jina["object"] == "list" and jina["model"] == "tiny"
    assert jina["usage"]["total_tokens"] > 10
    assert "text" in jina["results"][0]["document"]  # unless told otherwise
    voyage = server.post("/voyage/v1/rerank", {**body, "top_k": 1}).json()
    assert voyage.keys() == {"object", "data", "model", "usage"}
    assert voyage["data"][0]["document"] in TEXTS and len(voyage["data"]) == 1
    bare = server.post("/rerank", body).json()
    assert bare["usage"].keys() == {"prompt_tokens", "total_tokens"} and bare["object"] == "rerank"


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("cohere:tiny", "/cohere"),
        ("cohere-v1:tiny", ""),
        ("jina:tiny", "/jina"),
        ("voyage:tiny", "/voyage"),
        ("tei:{}/tei", ""),
        ("vllm:{}?model=tiny", ""),
    ],
)
def test_this_packages_own_clients_read_the_answers(
    server: Running, expected: list[float], model: str, base: str
) -> None:
    url = None if "{}" in model else f"{server.url}{base}"
    remote = Remote(model.format(server.url), url=url, key="any-key")
    found = remote.score(QUERY, TEXTS)
    assert best_first(found) == best_first(expected)


def test_documents_may_be_objects_of_which_some_fields_are_read(
    server: Running, expected: list[float]
) -> None:
    documents: list[Any] = [{"text": text, "title": "no"} for text in TEXTS]
    body = {"query": QUERY, "documents": documents, "raw_scores": True}
    for fields in ({}, {"rank_fields": ["text"]}):
        found = server.post("/cohere/v1/rerank", {**body, **fields}).json()["results"]
        assert [row["index"] for row in found] == best_first(expected)
    refused = server.post("/cohere/v1/rerank", {**body, "rank_fields": ["body"]})
    assert refused.status_code == 400 and "document 0 has no text in its field body" in refused.text


def test_errors_are_in_the_vendors_shape(server: Running) -> None:
    body = {"query": QUERY, "documents": ["x"], "model": "gpt"}
    cohere = server.post("/cohere/v2/rerank", body)
    assert cohere.status_code == 404 and cohere.json().keys() == {"id", "message"}
    assert "no model 'gpt' is served here; known: tiny" in cohere.json()["message"]
    assert cohere.json()["id"] == cohere.headers["x-request-id"]
    jina = server.post("/jina/v1/rerank", {"documents": ["x"]})
    assert jina.status_code == 422 and jina.json() == {"detail": "query: Field required"}
    voyage = server.post("/voyage/v1/rerank", {"query": "q", "documents": ["x"], "top_k": 0})
    assert voyage.status_code == 400 and "top_k: expected greater than" in voyage.json()["detail"]
    tei = server.post("/rerank", {"query": "q", "texts": []})
    assert tei.status_code == 422 and tei.json()["error_type"] == "Validation"
    assert server.post("/tei/nothing", {}).json().keys() == {"error", "error_type"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tei/rerank", {"texts": ["word " * 200], "truncate": False}),
        ("/voyage/v1/rerank", {"documents": ["ok", "word " * 200], "truncation": False}),
    ],
)
def test_texts_that_may_not_be_cut_are_refused(
    server: Running, path: str, body: dict[str, Any]
) -> None:
    found = server.post(path, {"query": "q", **body})
    assert found.status_code in (400, 422)
    assert "are longer than the model reads" in found.text
    assert server.post(
        path, {"query": "q", **body, "truncate": None, "truncation": True}
    ).is_success


def test_models_are_listed_and_described(server: Running) -> None:
    assert [each["id"] for each in server.client.get("/v1/models").json()["data"]] == ["tiny"]
    info = server.client.get("/tei/info").json()
    assert info["model_id"] == "tiny" and info["model_sha"]
