"""Rerankers as document compressors and as cross-encoders."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document as ChainDocument
from langchain_core.load import dumps

import retrieve_rerank as rr
from retrieve_rerank import Document, Retriever, Stage
from retrieve_rerank.errors import ConfigError, InputError, NotPicklableError, ScoreError
from retrieve_rerank.langchain import (
    RerankCrossEncoder,
    RerankDocumentCompressor,
    RetrieveRerankRetriever,
)
from retrieve_rerank.rerankers.collapse import Collapse
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.testing import OverlapScorer
from tests.langchain.conftest import PASSAGES, Seen
from tests.test_pipeline import Broken

tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")

QUERY = "what does a ticket to the museum cost"
CHAIN = [
    ChainDocument(id=each.id, page_content=each.text, metadata={**each.metadata, "tags": ["a"]})
    for each in PASSAGES
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tiny.make_model(tmp_path_factory.mktemp("trained"), "bert", labels=1)
    return folder


def ids(documents: Any) -> list[str]:
    return [str(document.id) for document in documents]


@pytest.mark.parametrize("given", ["name", "object", "nothing"])
async def test_it_orders_as_the_reranker_does(model: Path, given: str) -> None:
    before = copy.deepcopy(CHAIN)
    ours = [Document(str(d.id), d.page_content, d.metadata) for d in CHAIN]
    if given == "nothing":
        compressor, expected = RerankDocumentCompressor(), rr.rerank(QUERY, ours)
    else:
        named: Any = {"reranker": "cross-encoder", "model": model}
        made: Any = named if given == "name" else {"reranker": CrossEncoder(model)}
        compressor = RerankDocumentCompressor(**made)
        expected = rr.rerank(QUERY, ours, model=str(model))

    found = compressor.compress_documents(CHAIN, QUERY)

    assert ids(found) == [hit.document.id for hit in expected]
    assert [d.metadata["relevance_score"] for d in found] == pytest.approx(
        [hit.score for hit in expected], abs=1e-4
    )
    for document in found:
        came = CHAIN[document.metadata["first_stage_rank"] - 1]
        assert came.page_content == document.page_content
        assert document.metadata["tags"] == ["a"]
    assert await compressor.acompress_documents(CHAIN, QUERY) == found
    assert before == CHAIN


def test_documents_may_lack_ids_or_share_them() -> None:
    texts = ["the tram", "what a ticket costs", "", "the tram", "a ticket to the museum"]
    given = [
        ChainDocument(page_content=text, id=id_)
        for text, id_ in zip(texts, [None, "x", "x", None, "#1"], strict=True)
    ]
    for reranker in (OverlapScorer(), Broken()):
        compressor = RerankDocumentCompressor(reranker=reranker)
        found = compressor.compress_documents(given, QUERY)
        assert sorted(d.page_content for d in found) == sorted(texts)
        for document in found:
            came = given[document.metadata["first_stage_rank"] - 1]
            assert (came.id, came.page_content) == (document.id, document.page_content)
        assert compressor.compress_documents([], QUERY) == []
        with pytest.raises(InputError, match="the query is empty"):
            compressor.compress_documents(given, "  ")


async def test_it_compresses_what_a_retriever_finds(museum: Retriever, seen: Seen) -> None:
    searches = RetrieveRerankRetriever(retriever=museum, k=4)
    chain = ContextualCompressionRetriever(
        base_retriever=searches,
        base_compressor=RerankDocumentCompressor(reranker=OverlapScorer(), top_n=2),
    )
    found = chain.invoke("tickets to the museum", {"callbacks": [seen]})
    assert ids(found)[0] == "price"
    assert len(found) == 2
    ranks = {d.id: d.metadata["first_stage_rank"] for d in searches.invoke("tickets to the museum")}
    assert [d.metadata["first_stage_rank"] for d in found] == [ranks[d.id] for d in found]
    assert [len(data["stages"]) for _, _, data in seen.events] == [2, 1]
    assert await chain.ainvoke("tickets to the museum") == found
    assert ids(chain.invoke("museum", filter={"year": 2019})) == ["mondays"]


async def test_langchains_own_reranker_takes_our_cross_encoder(model: Path) -> None:
    theirs = CrossEncoderReranker(model=RerankCrossEncoder(model), top_n=4)
    plain = [d.model_copy(update={"metadata": {}}) for d in CHAIN]
    expected = ids(RerankDocumentCompressor(model=model).compress_documents(plain, QUERY))
    assert ids(theirs.compress_documents(plain, QUERY)) == expected
    assert ids(await theirs.acompress_documents(plain, QUERY)) == expected
    assert RerankCrossEncoder(OverlapScorer()).score([("a b", "b"), ("c", "d")]) == [1.0, 0.0]
    with pytest.raises(InputError, match="scores each text by itself; got Collapse"):
        RerankCrossEncoder(Collapse("year"))  # type: ignore[arg-type]  # what users may try


class Nan(OverlapScorer):
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float("nan") for _ in texts]


def test_a_failing_reranker_leaves_the_order_and_says_so(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    for reranker, why in ((Broken(), "the model is gone"), (Nan(), "NaN")):
        tells = RerankDocumentCompressor(reranker=reranker, include_report=True)
        found = tells.compress_documents(CHAIN, QUERY, callbacks=[seen])
        assert ids(found) == ids(CHAIN)
        assert [d.metadata["relevance_score"] for d in found] == [-1, -2, -3, -4]
        _, _, data = seen.events[-1]
        assert data["degraded"]
        assert why in data["stages"][0]["error"]
        assert why in caplog.text
        assert all(d.metadata["rerank_report"] == data for d in found)
        strict = RerankDocumentCompressor(reranker=reranker, on_error="raise")
        with pytest.raises(Exception, match=why):
            strict.compress_documents(CHAIN, QUERY)
    with pytest.raises(ScoreError, match="NaN"):
        RerankCrossEncoder(Nan()).score([("a", "b")])


async def test_a_deadline_and_a_depth_are_kept() -> None:
    late = RerankDocumentCompressor(reranker=OverlapScorer(), deadline_s=1e-9, include_report=True)
    for found in (
        late.compress_documents(CHAIN, QUERY),
        await late.acompress_documents(CHAIN, QUERY),
    ):
        assert ids(found) == ids(CHAIN)
        assert found[0].metadata["rerank_report"]["degraded"]
    for deep in (
        RerankDocumentCompressor(reranker=Stage(OverlapScorer(), depth=2)),
        RerankDocumentCompressor(reranker="max-sim", options={"depth": 2}),
    ):
        assert ids(deep.compress_documents(CHAIN, QUERY)) == ["price", "mondays", "tram", "café"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"reranker": "cross-encodr"}, ConfigError, "unknown reranker 'cross-encodr'"),
        ({"options": {"dept": 3}}, ConfigError, "has no option 'dept'"),
        ({"reranker": 3}, ValueError, "instance of Reranker"),
        ({"top_n": 0}, ValueError, "greater than or equal to 1"),
        ({"reranker": Broken(), "model": "x"}, ValueError, "given by its name"),
        ({"reranker": Broken(), "topn": 3}, ValueError, "topn"),
    ],
)
def test_what_cannot_be_is_a_clear_error(given: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        RerankDocumentCompressor(**given)


def test_secrets_are_shown_nowhere() -> None:
    url = "tei:http://me:sEcReT@127.0.0.1:9"
    compressor = RerankDocumentCompressor(model=url, options={"key": "sEcReT"}, top_n=3)
    encoder = RerankCrossEncoder(url)
    json = compressor.model_dump_json()
    shown = [repr(compressor), str(compressor), dumps(compressor), json, repr(encoder)]
    assert "sEcReT" not in " ".join(shown)
    assert shown[0].startswith("RerankDocumentCompressor(reranker='remote', top_n=3")
    for each in (compressor, encoder):
        with pytest.raises(NotPicklableError):
            pickle.dumps(each)
    with pytest.raises(ConfigError, match="kei") as raised:
        RerankDocumentCompressor(model=url, options={"kei": "sEcReT"})
    assert "sEcReT" not in str(raised.value)
