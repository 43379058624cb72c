"""Beside Haystack itself; tests/stores/test_adapters.py runs this in its environment."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="needs the extra 'haystack'")

from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.core.serialization_security import allow_deserialization_module
from haystack.dataclasses import ByteStream
from haystack.utils import Secret

from retrieve_rerank import Range, Stage
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import InputError, NotPicklableError, RetrieveRerankError
from retrieve_rerank.haystack import RetrieveRerankRanker, RetrieveRerankRetriever
from retrieve_rerank.testing import OverlapScorer
from tests.adapters.museum import DOCUMENTS, QUERY, Broken, Personal, Slow, museum

GIVEN = [
    Document(id=each.id, content=each.text, meta={**each.metadata}, score=score)
    for each, score in zip(DOCUMENTS, (0.1, 0.4, None, 0.2), strict=True)
]


@pytest.fixture
def folder(home: Path) -> str:
    """The folder of an embedded index."""
    with EmbeddedConnector.create(home / "museum", encoder=None) as connector:
        connector.index(DOCUMENTS)
    return "./museum"


def ids(answer: dict[str, Any]) -> list[str]:
    return [each.id for each in answer["documents"]]


def test_documents_have_their_score_and_where_they_stood_before() -> None:
    retriever = museum()
    answer = RetrieveRerankRetriever(retriever, top_k=2).run(QUERY)
    hit = retriever.search(QUERY).hits[0]
    assert answer["documents"][0] == Document(
        id="hours",
        content=DOCUMENTS[0].text,
        meta={
            "title": "Hours",
            "year": 2019,
            "relevance_score": hit.score,
            "first_stage_rank": hit.first_stage.rank,
            "first_stage_score": hit.first_stage.score,
        },
        score=hit.score,
    )
    assert len(answer["documents"]) == 2
    assert answer["degraded"] is False
    assert [stage["name"] for stage in answer["report"]["stages"]] == ["first-stage", "overlap"]


async def test_async_answers_as_sync_does() -> None:
    both = RetrieveRerankRetriever(museum(), top_k=3)
    assert both.run("tickets")["documents"] == (await both.run_async("tickets"))["documents"]
    ranker = RetrieveRerankRanker(reranker=OverlapScorer(), top_k=3)
    here, there = ranker.run("the tram", GIVEN), await ranker.run_async("the tram", GIVEN)
    assert here["documents"] == there["documents"]
    assert ids(here)[0] == "tram"


def test_a_call_can_ask_for_its_own() -> None:
    retriever = RetrieveRerankRetriever(museum(), filters={"year": Range(gte=2020)})
    assert sorted(ids(retriever.run("museum café"))) == ["café", "price"]
    assert ids(retriever.run("museum café", filters={"year": 2019}, top_k=1)) == ["hours"]
    late = RetrieveRerankRetriever(museum(Slow())).run(QUERY, deadline_s=0.2)
    ranked = RetrieveRerankRanker(reranker=Slow(), deadline_s=9).run(
        QUERY, GIVEN, top_k=3, deadline_s=0.2
    )
    assert ids(ranked) == ["hours", "price", "tram"]
    for answer in (late, ranked):
        assert answer["degraded"] is True
        assert "deadline of 0.2 s" in answer["report"]["stages"][-1]["error"]


async def test_who_asks_is_told_to_models_that_read_it() -> None:
    retriever = RetrieveRerankRetriever(museum(Personal()), user="by tram, which stops in front")
    assert ids(retriever.run("museum"))[0] == "tram"
    assert ids(retriever.run("museum", user="tickets cost euros"))[0] == "price"
    assert ids(await retriever.run_async("museum", user="closed on mondays"))[0] == "hours"
    named = RetrieveRerankRetriever("museum", user="likes lunch")
    assert RetrieveRerankRetriever.from_dict(named.to_dict()).user == "likes lunch"


def one(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def some(operator: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"operator": operator, "conditions": list(conditions)}


NO_TRAM = some("NOT", one("meta.lines", "==", "4"))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (one("meta.year", "==", 2019), ["hours"]),
        (one("year", "!=", 2019), ["café", "price", "tram"]),
        (one("meta.year", "==", None), ["tram"]),
        (one("meta.year", "!=", None), ["café", "hours", "price"]),
        (some("AND", one("meta.year", ">", 2019), one("meta.year", "<=", 2021)), ["price"]),
        (some("OR", one("year", "<", 2021), one("meta.title", "==", "Café")), ["café", "hours"]),
        (
            some("NOT", one("year", ">", 2021), one("title", "==", "Café")),
            ["hours", "price", "tram"],
        ),
        (one("meta.title", "in", ["Hours", "Café"]), ["café", "hours"]),
        (some("AND", one("title", "not in", ["Hours", "Café"]), NO_TRAM), ["price"]),
        ({"year": {"gte": 2020, "lt": 2024}}, ["price"]),
        ({"or": [{"year": {"lt": 2020}}, {"title": "Café"}]}, ["café", "hours"]),
        ({}, ["café", "hours", "price", "tram"]),
    ],
)
def test_haystacks_filters_find_what_they_mean(
    filters: dict[str, Any], expected: list[str]
) -> None:
    answer = RetrieveRerankRetriever(museum()).run("the museum café", filters=filters)
    assert sorted(ids(answer)) == expected


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (one("content", "==", "x"), "content is no metadata"),
        (one("meta.year", "~", 3), "filter of year: expected one of ==, .*; got '~'"),
        (some("XOR", one("meta.year", "==", 3)), "expected the operator AND, OR or NOT; got 'xor'"),
    ],
)
def test_a_filter_that_no_index_can_be_asked_for_is_a_clear_error(
    filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        RetrieveRerankRetriever(museum()).run(QUERY, filters=filters)


def test_reranked_documents_are_copies() -> None:
    given = deepcopy(GIVEN)
    ranker = RetrieveRerankRanker(reranker=OverlapScorer(), top_k=2)
    answer = ranker.run("café on the roof in front", given)
    best, other = answer["documents"]
    assert (best.id, best.content, best.score) == ("café", DOCUMENTS[3].text, 4.0)
    assert best.meta["relevance_score"] == 4.0
    assert (best.meta["first_stage_rank"], best.meta["first_stage_score"]) == (4, 0.2)
    other.meta["lines"].append("12")
    assert given == GIVEN
    again = RetrieveRerankRanker(reranker=OverlapScorer()).run("museum", answer["documents"])
    assert {each.meta["first_stage_rank"] for each in again["documents"]} == {3, 4}


def test_what_documents_may_be_like() -> None:
    ranker = RetrieveRerankRanker(reranker=OverlapScorer())
    assert ranker.run(QUERY, []) == {
        "documents": [],
        "degraded": False,
        "report": {"degraded": False, "notes": [], "stages": []},
    }
    picture = Document(id="picture", blob=ByteStream(b"png"), embedding=[0.5, 0.25])
    other = Document(id="hours", content="Open again: the museum is closed no more.")
    answer = ranker.run(QUERY, [*GIVEN, GIVEN[0], picture, other])
    assert sorted(ids(answer)) == ["café", "hours", "hours", "picture", "price", "tram"]
    [kept] = [each for each in answer["documents"] if each.id == "picture"]
    assert (kept.content, kept.blob, kept.embedding) == (None, picture.blob, [0.5, 0.25])


def test_a_failed_stage_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    searched = RetrieveRerankRetriever(museum(Broken()), top_k=1).run("tickets")
    ranked = RetrieveRerankRanker(reranker=Broken()).run("tickets", GIVEN)
    assert (ids(searched), ids(ranked)) == (["price"], [each.id for each in GIVEN])
    for answer in (searched, ranked):
        assert answer["degraded"] is True
        assert answer["report"]["stages"][-1]["error"] == "RuntimeError: the model is gone"
    assert "the model is gone" in caplog.text
    for strict in (
        RetrieveRerankRetriever(museum(Broken()), on_error="raise"),
        RetrieveRerankRanker(reranker=Broken(), on_error="raise"),
    ):
        given = {"documents": GIVEN} if isinstance(strict, RetrieveRerankRanker) else {}
        with pytest.raises(RuntimeError, match="the model is gone"):
            strict.run("tickets", **given)


def test_a_pipeline_is_written_read_and_run(folder: str) -> None:
    allow_deserialization_module("retrieve_rerank.haystack")
    pipeline = Pipeline()
    filters = {"year": {"gte": 2000}}
    by_name = RetrieveRerankRetriever(folder, top_k=3, filters=filters, config=None)
    pipeline.add_component("search", by_name)
    pipeline.add_component("rank", RetrieveRerankRanker(reranker="max-sim", top_k=1))
    pipeline.connect("search.documents", "rank.documents")
    written = pipeline.dumps()
    assert "retrieve_rerank.haystack.RetrieveRerankRanker" in written
    query = "lunch in the café at the museum"
    given = {"search": {"query": query}, "rank": {"query": query}}
    for each in (pipeline, Pipeline.loads(written)):
        answer = each.run(given, include_outputs_from={"search"})
        assert ids(answer["rank"]) == ["café"]
        assert len(answer["search"]["documents"]) == 3
        assert answer["rank"]["degraded"] is False
        assert each.dumps() == written
        assert ids(asyncio.run(each.run_async(given))["rank"]) == ["café"]
        each.close()


def test_it_takes_what_other_components_give() -> None:
    pipeline = Pipeline()
    for name in ("here", "there"):
        pipeline.add_component(name, RetrieveRerankRetriever(museum(), top_k=2))
    pipeline.add_component("join", DocumentJoiner(join_mode="concatenate"))
    pipeline.add_component("rank", RetrieveRerankRanker(reranker=Stage(OverlapScorer())))
    pipeline.connect("here.documents", "join.documents")
    pipeline.connect("there.documents", "join.documents")
    pipeline.connect("join.documents", "rank.documents")
    answer = pipeline.run(
        {"here": {"query": "tram"}, "there": {"query": "lunch tram"}, "rank": {"query": "the café"}}
    )
    assert ids(answer["rank"])[0] == "café"
    assert len(set(ids(answer["rank"]))) == len(ids(answer["rank"]))


def test_secrets_are_neither_shown_nor_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_PASSWORD", "s3cret")
    named = RetrieveRerankRetriever(
        "elasticsearch://localhost:1/docs",
        username="rr",
        password=Secret.from_env_var("SEARCH_PASSWORD"),
        timeout_s=1,
    )
    data = named.to_dict()
    assert data["init_parameters"]["password"]["env_vars"] == ["SEARCH_PASSWORD"]
    assert "s3cret" not in f"{json.dumps(data)} {named!r} {vars(named)}"
    assert RetrieveRerankRetriever.from_dict(data).to_dict() == data
    given = RetrieveRerankRetriever("elasticsearch://localhost/docs", password="s3cret")
    ranker = RetrieveRerankRanker("cohere:rerank-v3.5", key="s3cret")
    for each in (given, ranker):
        assert "s3cret" not in f"{each!r} {vars(each)}"
        with pytest.raises(ValueError, match="Cannot serialize token-based secret"):
            each.to_dict()
    for holding in (
        RetrieveRerankRetriever("elasticsearch://rr:s3cret@localhost/docs"),
        RetrieveRerankRetriever("d", indexes={"d": {"url": "qdrant://h/d", "api_key": "s3cret"}}),
        RetrieveRerankRetriever("docs", stages=[{"reranker": "remote", "key": "s3cret"}]),
        RetrieveRerankRanker("tei:http://rr:s3cret@localhost"),
    ):
        with pytest.raises(InputError, match="holds a secret, which no file may") as error:
            holding.to_dict()
        assert "s3cret" not in str(error.value)
    keyed = RetrieveRerankRanker("cohere:rerank-v3.5", key=Secret.from_env_var("MY_KEY"))
    assert RetrieveRerankRanker.from_dict(keyed.to_dict()).to_dict() == keyed.to_dict()


def test_what_cannot_be_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="unknown setting topk"):
        RetrieveRerankRetriever("docs", topk=3)
    with pytest.raises(InputError, match="candidates: the given Retriever has its own"):
        RetrieveRerankRetriever(museum(), candidates=3)
    with pytest.raises(NotPicklableError, match="a Retriever cannot be pickled"):
        RetrieveRerankRetriever(museum()).to_dict()
    with pytest.raises(NotPicklableError, match="OverlapScorer cannot be pickled"):
        RetrieveRerankRanker(reranker=OverlapScorer()).to_dict()
    with pytest.raises(RetrieveRerankError, match="unknown reranker 'cross-encodr'"):
        RetrieveRerankRanker(reranker="cross-encodr").warm_up()
    with pytest.raises(InputError, match="top_k must be at least 1; got 0"):
        RetrieveRerankRanker(reranker=OverlapScorer(), top_k=0).run(QUERY, GIVEN)
    with pytest.raises(InputError, match="the query is empty"):
        RetrieveRerankRetriever(museum()).run(" ")
