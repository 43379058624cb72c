from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from retrieve_rerank import Document, Range, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.langchain import RetrieveRerankRetriever
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from tests.test_pipeline import Broken

PASSAGES = [
    Document("mondays", "The museum is closed on Mondays.", {"title": "Hours", "year": 2019}),
    Document("price", "Tickets to the museum cost nine euros.", {"title": "Prices", "year": 2021}),
    Document("tram", "The tram stops in front of the museum.", {"title": "Getting there"}),
    Document("café", "The café on the roof serves lunch.", {"title": "Café"}),
]


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    folder = tmp_path_factory.mktemp("indexes") / "museum"
    with EmbeddedConnector.create(folder, encoder=load_encoder()) as connector:
        connector.index(PASSAGES)
        yield Retriever(connector, DatabaseMaxSim(connector))


class TestStandard(RetrieversIntegrationTests):
    """LangChain's own suite, on the embedded engine."""

    @pytest.fixture(autouse=True)
    def _over_the_embedded_engine(self, museum: Retriever) -> None:
        self._museum = museum

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RetrieveRerankRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self._museum}

    @property
    def retriever_query_example(self) -> str:
        return "when is the museum closed"


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
