from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.agents import AgentExecutor, create_tool_calling_agent
from langchain_classic.retrievers import EnsembleRetriever
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import create_retriever_tool
from pydantic import ValidationError

from retrieve_rerank import Range, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import InputError, NotPicklableError
from retrieve_rerank.langchain import RetrieveRerankRetriever
from retrieve_rerank.models.loading import load_encoder
from tests.connectors.qdrant.collections import langchain
from tests.connectors.qdrant.stub import Stub, serving
from tests.langchain.conftest import PASSAGES, Seen
from tests.test_pipeline import Broken

QUERY = "when is the museum closed"


def ids(documents: Any) -> list[str]:
    return [str(document.id) for document in documents]


def test_documents_carry_score_and_first_stage_rank(museum: Retriever) -> None:
    documents = RetrieveRerankRetriever(retriever=museum).invoke("when is the museum closed")
    hits = museum.search("when is the museum closed").hits
    assert documents[0].id == "mondays"
    assert documents[0].metadata == {
        "title": "Hours",
        "year": 2019,
        "relevance_score": hits[0].score,
        "first_stage_rank": hits[0].first_stage.rank,
        "first_stage_score": hits[0].first_stage.score,
    }


async def test_async_answers_as_sync_does(museum: Retriever) -> None:
    both = RetrieveRerankRetriever(retriever=museum, k=2)
    assert both.invoke("tickets") == await both.ainvoke("tickets")


def test_a_filter_can_be_given_to_the_constructor_and_to_a_call(museum: Retriever) -> None:
    recent = RetrieveRerankRetriever(retriever=museum, filter={"year": 2021})
    assert [document.id for document in recent.invoke("museum")] == ["price"]
    assert [d.id for d in recent.invoke("museum", filter={"year": 2019})] == ["mondays"]


def test_a_filter_can_be_of_any_form(museum: Retriever) -> None:
    either = {"or": [{"year": Range(gte=2021)}, {"title": "Café"}]}
    neither = {"not": {"year": None}, "title": ["Hours", "Café"]}
    search = RetrieveRerankRetriever(retriever=museum, filter=either)
    assert sorted(str(document.id) for document in search.invoke("museum")) == ["café", "price"]
    assert [document.id for document in search.invoke("museum", filter=neither)] == ["mondays"]


def test_a_failed_stage_is_logged(museum: Retriever, caplog: pytest.LogCaptureFixture) -> None:
    broken = Retriever(museum.connector, Broken())
    assert RetrieveRerankRetriever(retriever=broken, k=1).invoke("tickets")
    assert "stage broken left the incoming order: RuntimeError: the model is gone" in caplog.text


def test_what_a_search_has_to_say_is_logged(
    museum: Retriever, caplog: pytest.LogCaptureFixture
) -> None:
    assert RetrieveRerankRetriever(retriever=museum, k=1).invoke("tickets " * 300)
    cut = "the query is longer than the model reads: only its beginning counts"
    assert caplog.messages == [f"first-stage: {cut}", f"max-sim: {cut}"]


def test_k_must_be_positive(museum: Retriever) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        RetrieveRerankRetriever(retriever=museum, k=0)


def test_a_call_can_set_what_a_search_takes(museum: Retriever) -> None:
    searches = RetrieveRerankRetriever(retriever=museum, k=3, filter={"year": 2019})
    assert len(searches.invoke(QUERY, filter={})) == 3
    assert len(searches.invoke(QUERY, filter={}, k=1, deadline_s=30.0)) == 1
    assert ids(searches.batch(["tickets", "tram"], filter={"year": 2021})[1]) == ["price"]
    with pytest.raises(InputError, match="deadline_s must be above 0, and finite; got -1"):
        searches.invoke(QUERY, deadline_s=-1)
    with pytest.raises(InputError, match="k must be a whole number, at least 1; got 0"):
        searches.invoke(QUERY, k=0)
    with pytest.raises(InputError, match="a call takes k, filter, deadline_s, user; got filters"):
        searches.invoke(QUERY, filters={"year": 2021})
    with pytest.raises(ValidationError, match="filters"):
        RetrieveRerankRetriever(retriever=museum, filters={})  # type: ignore[call-arg]


async def test_a_chain_can_set_them_by_its_configuration(museum: Retriever) -> None:
    searches = RetrieveRerankRetriever(retriever=museum).configurable_fields(
        k=ConfigurableField(id="k"), filter=ConfigurableField(id="tenant")
    )
    both = EnsembleRetriever(retrievers=[searches, searches], weights=[0.5, 0.5])
    wanted: Any = {"configurable": {"k": 1, "tenant": {"year": [2019, 2021]}}}
    assert ids(searches.invoke("tickets", wanted)) == ["price"]
    assert ids(await both.ainvoke("closed on monday", wanted)) == ["mondays"]
    assert len(both.invoke(QUERY)) == len(PASSAGES)


def test_callbacks_see_the_report_of_each_search(museum: Retriever, seen: Seen) -> None:
    broken = RetrieveRerankRetriever(
        retriever=Retriever(museum.connector, Broken()), tags=["museum"]
    )
    documents = broken.invoke("tickets " * 300, {"callbacks": [seen], "tags": ["chat"]})
    [(run_id, name, data)] = seen.events
    assert name == "retrieve_rerank"
    assert sorted(seen.tags[run_id]) == ["chat", "museum"]
    assert data["degraded"] is True
    assert data["notes"][0].startswith("first-stage: the query is longer than the model reads")
    assert [stage["name"] for stage in data["stages"]] == ["first-stage", "broken"]
    assert data["stages"][1]["error"] == "RuntimeError: the model is gone"
    assert json.loads(json.dumps(data)) == data
    assert all("search_report" not in each.metadata for each in documents)


async def test_an_event_stream_has_the_report_too(museum: Retriever) -> None:
    searches = RetrieveRerankRetriever(retriever=museum)
    events = [event async for event in searches.astream_events("tickets", version="v2")]
    data: Any
    [data] = [event["data"] for event in events if event["event"] == "on_custom_event"]
    assert data["degraded"] is False
    assert data["stages"][1]["scored"] == len(PASSAGES)


def test_metadata_hold_the_report_on_request(museum: Retriever) -> None:
    broken = Retriever(museum.connector, Broken())
    searches = RetrieveRerankRetriever(retriever=broken, include_report=True)
    first, second, *_ = [each.metadata["search_report"] for each in searches.invoke("tickets")]
    assert first["degraded"] and first == second
    first["stages"].clear()
    assert len(second["stages"]) == 2


def test_a_failing_stage_can_raise_so_that_fallbacks_work(museum: Retriever) -> None:
    broken = Retriever(museum.connector, Broken())
    raises = RetrieveRerankRetriever(retriever=broken, on_error="raise")
    with pytest.raises(RuntimeError, match="the model is gone"):
        raises.invoke("tickets")
    falls_back = raises.with_fallbacks([RetrieveRerankRetriever(retriever=museum, k=1)])
    assert ids(falls_back.invoke("tickets")) == ["price"]


class Agent(FakeMessagesListChatModel):
    """A chat model that calls tools as it is told."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_uses_it_as_a_tool(museum: Retriever, asynchronous: bool) -> None:
    searches = RetrieveRerankRetriever(retriever=museum, k=1)
    tool = create_retriever_tool(
        searches, "museum", "What visitors ask.", response_format="content_and_artifact"
    )
    call = ToolCall(name="museum", args={"query": "price of a ticket"}, id="1", type="tool_call")
    answer = await tool.ainvoke(call) if asynchronous else tool.invoke(call)
    assert answer.content == "Tickets to the museum cost nine euros."
    assert answer.artifact[0].metadata["first_stage_rank"] >= 1

    model = Agent(responses=[AIMessage("", tool_calls=[call]), AIMessage("Nine euros.")])
    prompt = ChatPromptTemplate.from_messages(
        [("human", "{input}"), ("placeholder", "{agent_scratchpad}")]
    )
    plain = create_retriever_tool(searches, "museum", "What visitors ask.")
    agent = AgentExecutor(
        agent=create_tool_calling_agent(model, [plain], prompt),
        tools=[plain],
        return_intermediate_steps=True,
    )
    asked = {"input": "What is a ticket?"}
    said = await agent.ainvoke(asked) if asynchronous else agent.invoke(asked)
    assert said["output"] == "Nine euros."
    assert said["intermediate_steps"][0][1] == "Tickets to the museum cost nine euros."


def test_secrets_are_shown_nowhere(museum: Retriever, home: Path) -> None:
    with EmbeddedConnector.create(home / "docs", encoder=load_encoder()) as connector:
        connector.index(PASSAGES)
    remote = {"reranker": "remote", "model": "tei:http://me:sEcReT@127.0.0.1:9", "key": "sEcReT"}
    stub = Stub()
    stub.client = langchain()
    with serving(stub):
        for index, key in (("./docs", None), (stub.url, "sEcReT")):
            given: Any = {"api_key": key} if key else {}
            with RetrieveRerankRetriever.from_index(
                index, stages=[remote], config=None, **given
            ) as searches:
                dumped = f"{searches.model_dump()}"
                shown = [repr(searches), str(searches), dumps(searches), dumped]
                assert "sEcReT" not in " ".join(shown)
                assert "remote" in shown[0]
                with pytest.raises(NotPicklableError, match="such as the index's name"):
                    pickle.dumps(searches)


def test_a_wrong_setting_leaves_no_index_open(home: Path) -> None:
    with EmbeddedConnector.create(home / "docs", encoder=load_encoder()) as connector:
        connector.index(PASSAGES)
    with pytest.raises(ValidationError):
        RetrieveRerankRetriever.from_index("./docs", k=0, config=None)
    with RetrieveRerankRetriever.from_index(
        "./docs", k=2, config=None, tags=["docs"], metadata={"team": "visitors"}
    ) as searches:
        assert (searches.k, searches.tags, searches.metadata) == (2, ["docs"], {"team": "visitors"})
