"""`POST /search`, and what is told of it in logs and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.concurrency.caller import Caller
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.models.catalog.rerank_apis import RERANK_APIS
from retrieve_rerank.server.running import JsonLines, bind
from retrieve_rerank.settings.serving import ServerSettings
from retrieve_rerank.settings.stages import StageSettings
from tests.models.embedding_server import Reply, serve
from tests.server.conftest import Running, SettingsOf, running


def ids(found: Any) -> list[str]:
    return [hit["id"] for hit in found["hits"]]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (None, {"1", "2", "3"}),
        ({"tenant": "b"}, {"2", "3"}),
        ({"year": {"gte": 2000, "lt": 2021}}, {"2"}),
        ({"or": [{"year": 1999}, {"year": {"gt": 2020}}]}, {"1", "3"}),
        ({"not": {"tenant": ["a", "c"]}}, {"2", "3"}),
    ],
)
def test_an_index_is_searched_within_a_filter(
    server: Running, filter: Any, expected: set[str]
) -> None:
    found = server.post("/search", {"query": "flutter", "index": "docs", "filter": filter})
    assert found.status_code == 200
    assert set(ids(found.json())) == expected
    assert found.json()["degraded"] is False


def test_hits_are_bounded_excluded_and_told_in_full(server: Running) -> None:
    body = {"query": "wing flutter", "top_k": 1, "exclude": ["1"]}
    [hit] = server.post("/search", body).json()["hits"]
    assert hit["id"] == "2" and hit["metadata"]["tenant"] == "b" and hit["rank"] == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"query": "x", "index": "other"}, 404, "no index 'other' is served here; known: docs"),
        ({"query": " "}, 422, "the query is empty"),
        ({"query": "x", "filter": {"colour": "red"}}, 422, "no field 'colour' to filter by"),
        ({"query": "x", "filter": {"year": {"gte": [1]}}}, 422, "expected a number or a date"),
        ({"query": "x", "limit": 3}, 422, "limit: Extra inputs are not permitted"),
        ({"query": "x", "top_k": 0}, 422, "top_k: expected greater than or equal to 1"),
        ({"query": 7}, 422, "query: expected a valid string"),
    ],
)
def test_what_cannot_be_searched_for_is_said(
    server: Running, body: Any, status: int, said: str
) -> None:
    found = server.post("/search", body, **{"X-Request-ID": "mine-1"})
    assert found.status_code == status
    assert said in found.json()["error"]["message"]
    assert found.json()["request_id"] == found.headers["x-request-id"] == "mine-1"


def test_deadlines_are_kept(server: Running) -> None:
    late = server.post("/search", {"query": "flutter"}, **{"X-Deadline-S": "0.000001"})
    assert late.status_code == 408 and "deadline that the request sets" in late.text
    body = {"query": "q", "documents": ["x"]}
    late = server.post("/cohere/v2/rerank", body, **{"X-Deadline-S": "0.000001"})
    assert late.status_code == 408
    assert server.post("/rerank", body, **{"X-Deadline-S": "20"}).status_code == 200
    for wrong in ("nan", "-1", "soon"):
        assert server.post("/rerank", body, **{"X-Deadline-S": wrong}).status_code == 422


def test_more_than_there_is_room_for_is_told_to_come_again(server: Running) -> None:
    body = {"query": "q", "documents": ["x"] * 20}
    with server.server.admission.admit("tiny", 7990, Caller(Deadline())):
        refused = server.post("/v2/rerank", body)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert server.post("/v2/rerank", {**body, "documents": ["x"]}).status_code == 200
    assert server.post("/v2/rerank", body).status_code == 200


def test_bodies_that_are_too_many_at_once_are_told_to_come_again(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"query": "q", "documents": ["x" * 1000]}
    assert server.post("/rerank", body).status_code == 200
    assert server.server.bodies.held == 0
    monkeypatch.setattr(server.server.bodies, "held", 16 * (16 << 20) - 500)
    refused = server.post("/rerank", body)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert server.server.bodies.held == 16 * (16 << 20) - 500
    assert server.post("/rerank", {**body, "documents": ["x"]}).status_code == 200


def test_the_settings_deadline_holds_for_searches_too(
    tmp_path: Path, settings_in: SettingsOf
) -> None:
    with running(settings_in(tmp_path).model_copy(update={"deadline_s": 1e-6})) as it:
        found = it.post("/search", {"query": "flutter"})
    assert found.status_code == 504 and "within the deadline" in found.text


def test_probes_may_ask_for_the_head_alone_and_others_hear_what_is_allowed(
    server: Running,
) -> None:
    head = server.client.head("/health")
    assert (head.status_code, head.content) == (200, b"")
    wrong = server.client.get("/search")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_logs_and_metrics_tell_of_stages_and_never_of_texts(
    server: Running, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    logger = logging.getLogger("retrieve_rerank.server.access")
    with (tmp_path / "log").open("w") as stream, caplog.at_level(logging.INFO, logger.name):
        handler = JsonLines(stream)
        logger.addHandler(handler)
        proxied = {"X-Forwarded-For": "203.0.113.9, 127.0.0.1"}
        server.post("/search", {"query": "flutter of secretword"}, **proxied)
        server.post("/rerank", {"query": "secretword", "documents": ["secretword"]})
        logger.removeHandler(handler)
    written = (tmp_path / "log").read_text()
    assert '"route":"/search","status":200' in written and '"first-stage":' in written
    assert '"model":"tiny","documents":1' in written
    assert '"client":"203.0.113.9"' in written and '"client":"127.0.0.1"' in written
    metrics = server.client.get("/metrics").text
    assert 'rr_requests_total{route="/search",status="200"}' in metrics
    assert 'rr_stage_seconds_count{index="docs",stage="first-stage"}' in metrics
    assert 'rr_batch_tokens_count{served="tiny"}' in metrics
    assert "secretword" not in written + metrics + caplog.text


def test_a_log_does_not_repeat_what_a_service_repeats_of_a_text(
    tmp_path: Path,
    settings_in: SettingsOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def echo(path: str, body: Any) -> Reply:
        told = f"cannot read {body['query']} and {body['documents'][0]}"
        return 400, {}, json.dumps({"message": told}).encode()

    with serve(echo) as service:
        monkeypatch.setenv(RERANK_APIS["cohere"].key_variable, "a-key")
        monkeypatch.setenv("CO_API_URL", service.url)
        settings = settings_in(tmp_path, models={"away": "cohere:rerank-v3.5"})
        stage = StageSettings.model_validate({"reranker": "remote", "model": "cohere:rerank-v3.5"})
        with running(settings.model_copy(update={"stages": [stage]})) as it:
            body = {"query": "flutter secretquery", "documents": ["secretword"]}
            assert it.post("/rerank", body).status_code == 502
            assert it.post("/search", {"query": "flutter secretquery"}).json()["degraded"]
    told = [record.getMessage() for record in caplog.records]
    assert sum("answered 400: cannot read ***" in each for each in told) == 2
    assert "Wing flutter" not in "".join(told), "a document that the service repeats"
    assert "secret" not in "".join(told)


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_header() -> None:
    async def nodelay() -> int:
        told = asyncio.get_running_loop().create_future()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            its = writer.get_extra_info("socket")
            told.set_result(its.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = bind(ServerSettings(port=0))
        async with await asyncio.start_server(accept, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            option: int = await told
            writer.close()
            return option

    assert asyncio.run(nodelay())


def test_cors_is_off_and_openapi_tells_of_every_endpoint(server: Running) -> None:
    asked = server.client.get("/health", headers={"Origin": "https://example.org"})
    assert not [name for name in asked.headers if name.startswith("access-control")]
    described = server.client.get("/openapi.json").json()
    assert described["paths"].keys() >= {"/search", "/rerank", "/cohere/v2/rerank", "/metrics"}
    body = described["paths"]["/tei/rerank"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"].keys() >= {"query", "texts", "raw_scores", "return_text"}


def test_a_server_below_a_path_answers_there(tmp_path: Path, settings_in: SettingsOf) -> None:
    with running(settings_in(tmp_path, root_path="/rerankers/")) as it:
        assert it.client.get("/v1/models").status_code == 200  # as the proxy strips the path
        assert it.client.get("/openapi.json").json()["servers"] == [{"url": "/rerankers"}]


def test_a_trace_goes_from_the_request_to_each_stage(server: Running) -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    kept = export.InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)  # for the rest of the process
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    server.post("/search", {"query": "flutter of secretword"}, traceparent=parent)
    for _ in range(100):
        if "POST /search" in (spans := {span.name: span for span in kept.get_finished_spans()}):
            break
        time.sleep(0.05)
    request, stage = spans["POST /search"], spans["stage first-stage"]
    above = {span.context.span_id: span for span in spans.values()}
    each = stage
    while each is not request:  # FastAPI may have spans between
        each = above[each.parent.span_id]
    assert f"{request.context.trace_id:032x}" == parent.split("-")[1]
    assert request.attributes["http.response.status_code"] == 200
    assert "secretword" not in "".join(span.to_json() for span in spans.values())
