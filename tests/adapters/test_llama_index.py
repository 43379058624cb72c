"""Beside LlamaIndex itself; tests/stores/test_adapters.py runs this in its environment."""

from __future__ import annotations

import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs the extra 'llama-index'")

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from pydantic import ValidationError

from retrieve_rerank import Range, Stage
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import InputError, NotPicklableError, RetrieveRerankError
from retrieve_rerank.llama_index import (
    DEGRADED,
    ReportEvent,
    RerankNodePostprocessor,
    RetrieveRerankRetriever,
    SearchQuery,
)
from retrieve_rerank.testing import OverlapScorer
from tests.adapters.museum import DOCUMENTS, QUERY, Broken, Personal, Slow, museum

NODES = [
    NodeWithScore(
        node=TextNode(id_=each.id, text=each.text, metadata={**each.metadata}), score=score
    )
    for each, score in zip(DOCUMENTS, (0.1, 0.4, None, 0.2), strict=True)
]


class Events(BaseEventHandler):
    """Keeps each report."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012 - a field of pydantic's

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, ReportEvent):
            self.seen.append(event.report)


@pytest.fixture
def events() -> Any:
    handler, dispatcher = Events(), get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler.seen
    dispatcher.event_handlers.remove(handler)


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [each.node.node_id for each in nodes]


def test_nodes_have_their_score_and_where_they_stood_before() -> None:
    retriever = museum()
    found = RetrieveRerankRetriever(retriever, top_k=2).retrieve(QUERY)
    hit = retriever.search(QUERY).hits[0]
    assert ids(found)[0] == "hours"
    assert len(found) == 2
    assert found[0].text == DOCUMENTS[0].text
    assert found[0].score == hit.score
    assert found[0].metadata == {
        "title": "Hours",
        "year": 2019,
        "relevance_score": hit.score,
        "first_stage_rank": hit.first_stage.rank,
        "first_stage_score": hit.first_stage.score,
    }
    for read in (MetadataMode.LLM, MetadataMode.EMBED):
        assert found[0].node.get_content(read).startswith("title: Hours\nyear: 2019\n\nThe museum")


async def test_async_answers_as_sync_does() -> None:
    both = RetrieveRerankRetriever(museum(), top_k=3)
    assert both.retrieve("tickets") == await both.aretrieve("tickets")
    reranking = RerankNodePostprocessor(reranker=OverlapScorer(), top_n=3)
    here = reranking.postprocess_nodes(NODES, query_str="the tram")
    assert here == await reranking.apostprocess_nodes(NODES, query_str="the tram")
    assert ids(here)[0] == "tram"


def test_a_call_can_ask_for_its_own(events: list[dict[str, Any]]) -> None:
    retriever = RetrieveRerankRetriever(museum(), filter={"year": Range(gte=2020)})
    assert sorted(ids(retriever.retrieve("museum café"))) == ["café", "price"]
    only = SearchQuery("museum café", top_k=1, filter={"year": 2019})
    assert ids(retriever.retrieve(only)) == ["hours"]
    slow = RetrieveRerankRetriever(museum(Slow()), top_k=2)
    [first, _] = slow.retrieve(SearchQuery(QUERY, deadline_s=0.2))
    assert "deadline of 0.2 s" in first.metadata[DEGRADED][0]
    assert events[-1]["degraded"]
    reranking = RerankNodePostprocessor(reranker=Slow(), deadline_s=0.2)
    kept = reranking.postprocess_nodes(NODES, SearchQuery(QUERY, top_n=3))
    assert ids(kept) == ["hours", "price", "tram"]
    assert "deadline of 0.2 s" in kept[0].metadata[DEGRADED][0]


async def test_who_asks_is_told_to_models_that_read_it() -> None:
    retriever = RetrieveRerankRetriever(museum(Personal()), user="by tram, which stops in front")
    assert ids(retriever.retrieve("museum"))[0] == "tram"
    asked = SearchQuery("museum", user="tickets cost euros")
    assert ids(retriever.retrieve(asked))[0] == "price"
    assert ids(await retriever.aretrieve(SearchQuery("museum", user="closed on mondays")))[0] == (
        "hours"
    )


def where(*filters: Any, condition: str = "and") -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=condition)


def one(key: str, operator: str, value: Any = None) -> MetadataFilter:
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (where(one("year", "==", 2019)), ["hours"]),
        (where(one("year", "!=", 2019)), ["café", "price", "tram"]),
        (where(one("year", ">", 2019), one("year", "<=", 2021)), ["price"]),
        (
            where(one("year", "<", 2021), one("title", "==", "Café"), condition="or"),
            ["café", "hours"],
        ),
        (where(one("year", ">=", 2021), one("title", "==", "Hours"), condition="not"), ["tram"]),
        (where(one("title", "in", ["Hours", "Café"])), ["café", "hours"]),
        (where(one("title", "nin", ["Hours", "Café"])), ["price", "tram"]),
        (where(one("lines", "contains", "11")), ["tram"]),
        (where(one("lines", "any", ["11", "12"])), ["tram"]),
        (where(one("lines", "all", ["11", "12"])), []),
        (where(one("year", "is_empty")), ["tram"]),
        (
            where(
                where(one("year", "==", 2019), one("year", "==", 2024), condition="or"),
                where(one("title", "==", "Hours"), condition="not"),
            ),
            ["café"],
        ),
        (where(), ["café", "hours", "price", "tram"]),
    ],
)
def test_llama_indexs_filters_find_what_they_mean(
    filters: MetadataFilters, expected: list[str]
) -> None:
    found = RetrieveRerankRetriever(museum(), filter=filters).retrieve("the museum café")
    assert sorted(ids(found)) == expected


def test_a_filter_that_no_index_can_be_asked_for_is_a_clear_error() -> None:
    retriever = RetrieveRerankRetriever(museum(), filter=where(one("title", "text_match", "ou")))
    with pytest.raises(InputError, match=r"filter of title: expected one of .*; got 'text_match'"):
        retriever.retrieve(QUERY)


def test_reranked_nodes_are_copies() -> None:
    given = deepcopy(NODES)
    reranking = RerankNodePostprocessor(reranker=OverlapScorer(), top_n=2)
    found = reranking.postprocess_nodes(given, query_str="café on the roof in front")
    assert ids(found) == ["café", "tram"]
    best = found[0].metadata
    assert best["relevance_score"] == found[0].score == 4.0
    assert (best["first_stage_rank"], best["first_stage_score"]) == (4, 0.2)
    assert (found[1].metadata["first_stage_rank"], found[1].metadata["lines"]) == (3, ["4", "11"])
    assert given == NODES
    found[1].metadata["lines"].append("12")
    assert given == NODES
    again = reranking.postprocess_nodes(found, query_str="the museum")
    assert {each.metadata["first_stage_rank"] for each in again} == {3, 4}  # of the first stage


def test_what_nodes_may_be_like() -> None:
    reranking = RerankNodePostprocessor(reranker=OverlapScorer())
    assert reranking.postprocess_nodes([], query_str=QUERY) == []
    image = ImageNode(id_="image", image_url="http://localhost/plan.png")
    other = TextNode(id_="hours", text="Open again: the museum is closed no more.")
    given = [*NODES, NODES[0], NodeWithScore(node=image), NodeWithScore(node=other)]
    found = reranking.postprocess_nodes(given, QueryBundle(QUERY))
    assert sorted(ids(found)) == ["café", "hours", "hours", "image", "price", "tram"]
    assert {each.text for each in found} >= {DOCUMENTS[0].text, other.text}
    [plan] = [each.node for each in found if each.node.node_id == "image"]
    assert isinstance(plan, ImageNode)
    assert plan.image_url == image.image_url


def test_a_failed_stage_is_seen(
    events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    why = ["broken: RuntimeError: the model is gone"]
    searched = RetrieveRerankRetriever(museum(Broken()), top_k=1).retrieve("tickets")
    reranked = RerankNodePostprocessor(reranker=Broken()).postprocess_nodes(
        NODES, query_str="tickets"
    )
    assert ids(searched) == ["price"]
    assert ids(reranked) == ids(NODES)
    assert [each.metadata[DEGRADED] for each in (*searched, *reranked)] == [why] * 5
    assert [event["degraded"] for event in events] == [True, True]
    assert [stage["name"] for stage in events[0]["stages"]] == ["first-stage", "broken"]
    assert events[1]["stages"][0]["error"] == "RuntimeError: the model is gone"
    assert "the model is gone" in caplog.text
    with pytest.raises(RuntimeError, match="the model is gone"):
        RerankNodePostprocessor(reranker=Broken(), on_error="raise").postprocess_nodes(
            NODES, query_str="tickets"
        )
    with pytest.raises(RuntimeError, match="the model is gone"):
        RetrieveRerankRetriever(museum(Broken()), on_error="raise").retrieve("tickets")


def test_it_works_inside_of_llama_index() -> None:
    retriever = RetrieveRerankRetriever(museum(), top_k=4)
    reranking = RerankNodePostprocessor(reranker=Stage(OverlapScorer()), top_n=1)
    engine = RetrieverQueryEngine.from_args(
        retriever, llm=MockLLM(), node_postprocessors=[reranking]
    )
    answer = engine.query(SearchQuery("museum café", filter={"year": Range(gte=2021)}, top_n=2))
    assert sorted(ids(answer.source_nodes)) == ["café", "price"]
    assert "Tickets to the museum" in str(answer)
    assert "first_stage_rank" not in str(answer)
    tool = RetrieverTool.from_defaults(retriever, name="museum", description="the museum")
    assert "closed on Mondays" in str(tool.call(QUERY))
    fused = QueryFusionRetriever(
        [retriever, RetrieveRerankRetriever(museum(), top_k=2)],
        llm=MockLLM(),
        num_queries=1,
        use_async=False,
        similarity_top_k=1,
    )
    assert ids(fused.retrieve(QUERY)) == ["hours"]


def test_an_index_is_opened_by_its_name(home: Path) -> None:
    with EmbeddedConnector.create(home / "museum", encoder=None) as connector:
        connector.index(DOCUMENTS)
    with RetrieveRerankRetriever.from_index("./museum", top_k=1, config=None) as retriever:
        assert ids(retriever.retrieve(QUERY)) == ["hours"]


def test_what_is_written_down_is_the_same_reranker() -> None:
    given = RerankNodePostprocessor("cohere:rerank-v3.5", options={"depth": 7}, top_n=2)
    written = given.to_dict()
    again = RerankNodePostprocessor.from_dict(written)
    assert again.to_dict() == written
    assert (written["model"], written["options"]) == ("cohere:rerank-v3.5", {"depth": 7})
    assert again.postprocess_nodes(NODES, query_str=QUERY)  # degraded: there is no such service
    with pytest.raises(InputError, match="given as an object cannot be written down"):
        RerankNodePostprocessor(reranker=OverlapScorer()).to_dict()


def test_secrets_are_not_shown() -> None:
    reranking = RerankNodePostprocessor("cohere:rerank-v3.5", options={"key": "s3cret"})
    assert "s3cret" not in f"{reranking!r} {reranking.to_json()} {vars(reranking)}"
    with pytest.raises(NotPicklableError):
        pickle.dumps(reranking)
    with pytest.raises(NotPicklableError):
        pickle.dumps(RetrieveRerankRetriever(museum()))


def test_what_cannot_be_is_a_clear_error() -> None:
    with pytest.raises(InputError, match=r"expected a Retriever; got str\. .*from_index"):
        RetrieveRerankRetriever("museum")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a Reranker, a Stage, or a reranker's name"):
        RerankNodePostprocessor(reranker=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="model and options are for a reranker given by its name"):
        RerankNodePostprocessor("bge-reranker-v2-m3", reranker=OverlapScorer())
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        RerankNodePostprocessor(top_n=0)
    with pytest.raises(RetrieveRerankError, match="unknown reranker 'cross-encodr'"):
        RerankNodePostprocessor(reranker="cross-encodr")
    with pytest.raises(InputError, match="give query_str or query_bundle"):
        RerankNodePostprocessor(reranker=OverlapScorer()).postprocess_nodes(NODES)
