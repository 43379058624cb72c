"""One call each: `connect`, `rerank`, and LangChain's `from_index`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from click.testing import CliRunner

import retrieve_rerank as rr
from retrieve_rerank import Document
from retrieve_rerank.cli import main
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import ConfigError, IndexNotFoundError, InputError, RetrieveRerankError
from retrieve_rerank.langchain import RetrieveRerankRetriever
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.settings.sources import Settings
from retrieve_rerank.shortcuts import IndexKeywords
from tests.models.tiny import make_model

DOCUMENTS = [
    Document("late", "A refund is paid within a week."),
    Document("how", "To get a refund, send the ticket back."),
    Document("closed", "The museum is closed on Mondays."),
]
QUERY = "how do I get a refund"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the index docs, beside another index."""
    data = tmp_path_factory.mktemp("data")
    for folder, documents in (("indexes/docs", DOCUMENTS), ("other", DOCUMENTS[:1])):
        with EmbeddedConnector.create(data / folder, encoder=load_encoder()) as connector:
            connector.index(documents)
    return data


@pytest.fixture(autouse=True)
def docs(home: Path, data: Path) -> Path:
    """The folder that the user is in."""
    (home / "rr.toml").write_text(f'data_dir = "{data}"\ntop_k = 2\ndeadline_s = 60\n')
    return home


def ids(result: Any) -> list[str]:
    return [hit.document.id for hit in result]


def test_connect_opens_what_rr_opens(docs: Path) -> None:
    with rr.connect("docs") as retriever:
        found = retriever.search(QUERY)
        assert (retriever.candidates, retriever.deadline_s) == (100, 60.0)
        assert len(retriever.search(QUERY, top_k=3)) == 3
    answer = CliRunner().invoke(main, ["search", QUERY, "--index", "docs", "--json"])
    shown = json.loads(answer.stdout)["hits"]
    assert [hit["id"] for hit in shown] == ids(found) == ["how", "late"]
    assert [hit["score"] for hit in shown] == pytest.approx([hit.score for hit in found])


def test_a_keyword_beats_the_environment_and_that_the_file(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RR_TOP_K", "1")
    monkeypatch.setenv("RR_INDEX", "docs")
    with rr.connect() as retriever:
        assert len(retriever.search(QUERY)) == 1
    with rr.connect(top_k=3, candidates=3) as retriever:
        assert len(retriever.search(QUERY)) == 3


def test_without_config_neither_file_nor_environment_is_read(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RR_TOP_KK", "1")  # misspelt, as rr would say
    with rr.connect(str(data / "indexes" / "docs"), config=None) as retriever:
        assert len(retriever.search(QUERY)) == 3
        assert retriever.deadline_s is None
    with pytest.raises(IndexNotFoundError, match="no index docs"):
        rr.connect("docs", config=None)


def test_another_file_can_be_named(data: Path) -> None:
    elsewhere = data / "mine.toml"
    elsewhere.write_text('top_k = 1\n[indexes.docs]\nurl = "./other"\n')
    with rr.connect("docs", config=elsewhere) as retriever:
        assert ids(retriever.search(QUERY)) == ["late"]
    elsewhere.write_text("top_k = 0\n")
    with pytest.raises(ConfigError, match=r"mine.toml: top_k: expected .* greater than 0; got 0"):
        rr.connect("docs", config=str(elsewhere))


def test_a_path_is_a_folder_whatever_it_is_called(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    with rr.connect(Path("other")) as retriever:
        assert ids(retriever.search(QUERY)) == ["late"]


def test_the_reranker_is_chosen_as_rr_does(tmp_path: Path) -> None:
    model = str(make_model(tmp_path / "model", "bert", labels=1))
    with rr.connect("docs", model=model, depth=2) as retriever:
        [stage] = retriever.stages
        assert (stage.reranker.name, stage.depth) == ("cross-encoder", 2)
        assert retriever.search(QUERY).stages[1].scored == 2
    with rr.connect("docs", rerank="none") as retriever:
        assert retriever.stages == ()
    texts = [document.text for document in DOCUMENTS]
    found = rr.rerank(QUERY, texts, reranker="cross-encoder", model=model)
    assert sorted(ids(found)) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top_kk": 1}, "connect: unknown key top_kk; did you mean top_k?"),
        ({"candidates": 0}, "connect: candidates: expected a value greater than 0; got 0"),
        ({"rerank": "none", "depth": 3}, "depth needs a reranker"),
        ({"rerank": "cross-encoder", "model": "./nowhere"}, "nowhere"),
        ({"rerank": "cross-encodr"}, "unknown reranker 'cross-encodr'; known: collapse, cross-"),
        ({"config": "nowhere.toml"}, "cannot read nowhere.toml"),
    ],
)
def test_what_cannot_be_is_a_clear_error(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RetrieveRerankError, match=message.replace("?", r"\?")):
        rr.connect("docs", **given)
    with rr.connect("docs") as retriever:  # which the failed one has not kept open
        assert retriever.connector.count() == 3


def test_an_index_of_another_kind_of_thing_is_a_clear_error() -> None:
    with pytest.raises(InputError, match=r"name, folder or URL, or .*; got int"):
        rr.connect(3)


def test_every_setting_is_a_keyword() -> None:
    own = {"rerank", "model", "prompt", "depth", "weight", "client", "config"}
    others = {"index", "server"}
    assert set(get_type_hints(IndexKeywords)) - own == set(Settings.model_fields) - others


def test_texts_are_reranked_without_an_index() -> None:
    texts = [document.text for document in DOCUMENTS]
    found = rr.rerank(QUERY, texts)
    assert ids(found)[0] == "1"
    assert ids(found)[2] == "2"
    assert ids(rr.rerank(QUERY, DOCUMENTS, top_k=1)) == ["how"]
    assert sorted(ids(rr.rerank(QUERY, [*texts, texts[0], ""]))) == ["0", "1", "2", "3", "4"]
    assert len(rr.rerank(QUERY, [])) == 0


@pytest.mark.parametrize(
    ("query", "texts", "message"),
    [
        (" ", ["a"], "the query is empty"),
        ("q", "a text", "expected a list of texts; got the one text 'a text'"),
        ("q", ["a", None], "text 1: expected a text or a Document; got NoneType"),
    ],
)
def test_what_cannot_be_reranked_is_a_clear_error(query: str, texts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rr.rerank(query, texts)


async def test_langchain_opens_an_index_by_its_name() -> None:
    first = RetrieveRerankRetriever.from_index("docs", k=1)
    assert [document.id for document in first.invoke(QUERY)] == ["how"]
    assert [document.id for document in await first.ainvoke(QUERY)] == ["how"]
    assert first.deadline_s == 60
    first.close()
    with pytest.raises(ConfigError, match="from_index: unknown key topk"):
        RetrieveRerankRetriever.from_index("docs", topk=1)  # type: ignore[call-arg]
    second = RetrieveRerankRetriever.from_index("docs", rerank="none", candidates=50)
    assert (second.k, second.retriever.candidates) == (2, 50)
    second.close()
