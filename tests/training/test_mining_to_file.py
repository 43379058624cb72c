"""Mining into a file: on every backend, broken off, refused, and from an index that changes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Connector, Document, Retriever
from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.client import Server
from retrieve_rerank.errors import ConnectorError, InputError
from retrieve_rerank.testing import HashingEncoder, OverlapScorer
from retrieve_rerank.training.mining import (
    Margin,
    Mined,
    Mining,
    MiningStoppedError,
    Rules,
    mine,
    mine_to_file,
)
from retrieve_rerank.training.opening import read_groups
from tests.connectors.embedded.conftest import copy_of
from tests.connectors.qdrant.stub import Stub, serving
from tests.outages import relaying
from tests.servers import delete_indexes, elasticsearch, fresh_index

ENCODER = HashingEncoder(64)
QUERIES = {f"q{n}": f"word{n} word{n + 7} word{3 * n}" for n in range(12)}
QRELS = {query: {f"d{n}": 1, f"d{n + 40}": 2} for n, query in enumerate(QUERIES)}

MAKERS: dict[str, Callable[[Path], Connector]] = {
    "embedded": lambda folder: EmbeddedConnector.create(str(folder), encoder=ENCODER),
    "qdrant+local": lambda _: QdrantConnector.create(
        "qdrant+local:///docs", encoder=ENCODER, client=QdrantClient(":memory:")
    ),
    "elasticsearch": lambda _: ElasticsearchConnector.create(
        elasticsearch().address(fresh_index(elasticsearch())), encoder=ENCODER
    ),
}


def texts() -> Iterator[Document]:
    randomly = np.random.default_rng(4)
    for n in range(120):
        words = [f"word{word}" for word in randomly.integers(90, size=6)]
        about = QUERIES.get(f"q{n % 40}", "").split()
        yield Document(f"d{n}", " ".join([*about[: 3 - n // 40], *words]))


@pytest.fixture(params=MAKERS)
def connector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connector]:
    with MAKERS[request.param](tmp_path / "index") as made:
        made.index(texts())
        yield made
    delete_indexes()


@pytest.fixture
def in_memory() -> MemoryConnector:
    return MemoryConnector(texts(), encoder=ENCODER)


class Breaking(OverlapScorer):
    """Give up at the first text that holds a word, as a model whose service goes away does."""

    def __init__(self, word: str) -> None:
        self.word = word

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if self.word in query.split():
            raise ConnectorError("the node went away.")
        return super().score(query, texts)


def mining(connector: Connector, scorer: OverlapScorer | None = None) -> Mining:
    rules = Rules(first_rank=2, margin=Margin(absolute=0.0))
    retriever = Retriever(connector, candidates=30)
    return Mining(
        retriever=retriever,
        queries=QUERIES,
        qrels=QRELS,
        negatives=5,
        rules=rules,
        scorer=scorer or OverlapScorer(),
    )


def test_mining_gives_the_same_bytes_again_broken_off_or_not(
    connector: Connector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl.gz"
    report = mine_to_file(mining(connector), whole)
    assert (report.queries, report.positives) == (12, 24)
    groups = {group.query_id: group for group in read_groups(whole)}
    assert len(groups) == report.groups > 6
    assert sum(len(group.negatives) for group in groups.values()) == report.negatives
    for id_, group in groups.items():
        assert {text.id for text in group.positives} == set(QRELS[str(id_)])
        lowest = min(text.teacher_score for text in group.positives if text.teacher_score)
        assert all(text.rank and text.rank > 1 for text in group.negatives)
        assert all((text.teacher_score or 0.0) <= lowest for text in group.negatives)

    monkeypatch.setattr("retrieve_rerank.training.mining.to_file.EVERY_S", 0.0)
    for word, done in (("word12", 4), ("word16", 9)):  # which queries 4 and 9 are first to have
        with pytest.raises(MiningStoppedError, match=rf"went away. Of 12 queries {done} are mined"):
            mine_to_file(mining(connector, Breaking(word)), broken)
        assert not broken.exists()
    heard: list[int] = []
    again = mine_to_file(mining(connector), broken, on_progress=heard.append)
    assert (heard[0], sum(heard)) == (9, 12)
    assert again == report
    assert gzip.decompress(broken.read_bytes()) == whole.read_bytes()
    assert mine_to_file(mining(connector), broken) == report  # nothing is left to do
    assert {file.name for file in tmp_path.glob("broken*")} == {
        broken.name,
        f"{broken.name}.mining",
    }


def test_negatives_by_exact_search_are_the_nearest_below_the_margin(
    connector: Connector,
) -> None:
    retriever = Retriever(connector, candidates=20)
    rules = Rules(margin=Margin(relative=0.95))
    [first, *_] = mine(retriever, QUERIES, QRELS, sampling="top", rules=rules, exact=True)
    vectors = connector.query_vectors([QUERIES["q0"]])  # type: ignore[attr-defined]  # all have it
    [nearest] = connector.nearest_exact(vectors, top_k=20)  # type: ignore[attr-defined]
    cosines = dict(nearest)
    assert first.query_id == "q0"
    anchor = min(cosines[id_] for id_ in QRELS["q0"] if id_ in cosines)
    below = [id_ for id_, cosine in nearest if id_ not in QRELS["q0"] and cosine <= 0.95 * anchor]
    assert [text.id for text in first.negatives] == below[:15] != []


def at_query(number: int, do: Callable[[], object]) -> Callable[[int], None]:
    """Return what hears of progress, and does something once so many queries are done."""
    done = 0

    def hear(count: int) -> None:
        nonlocal done
        if done < number <= (done := done + count):
            do()

    return hear


def test_an_index_that_goes_away_stops_mining_which_goes_on_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.training.mining.to_file.EVERY_S", 0.0)
    monkeypatch.setattr("retrieve_rerank.training.mining.searching.THREADS", 1)  # less is under way
    index, whole, broken = (tmp_path / name for name in ("index", "whole.jsonl", "broken.jsonl"))
    with EmbeddedConnector.create(index, encoder=ENCODER) as connector:
        connector.index(texts())
        mine_to_file(mining(connector), whole)
        with pytest.raises(MiningStoppedError, match=r"deleted, moved away .* are mined and kept"):
            mine_to_file(
                mining(connector),
                broken,
                on_progress=at_query(4, lambda: index.rename(tmp_path / "away")),
            )
    assert not broken.exists()
    # This process keeps the files of the lost one open: others' are restored, as from a backup.
    copy_of(tmp_path / "away", index)
    with EmbeddedConnector.connect(str(index), encoder=ENCODER) as connector:
        mine_to_file(mining(connector), broken)
    assert broken.read_bytes() == whole.read_bytes()


def test_a_server_that_goes_away_stops_mining_which_goes_on_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.training.mining.to_file.EVERY_S", 0.0)
    # What takes long waits two minutes for a server: here for two seconds.
    monkeypatch.setattr("retrieve_rerank.connectors.qdrant.client.LONG_PATIENCE_S", 2.0)
    monkeypatch.setattr(Server.run, "__kwdefaults__", {"timeout_s": None, "patience_s": 2.0})
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    with serving(Stub()) as stub, relaying(urlsplit(stub.url).port or 0) as relay:
        url = f"qdrant://127.0.0.1:{relay.port}/docs"
        with QdrantConnector.create(url, encoder=ENCODER) as connector:
            connector.index(texts())
            mine_to_file(mining(connector), whole)
            with pytest.raises(MiningStoppedError, match=r"Of 12 queries \d+ are mined and kept"):
                mine_to_file(mining(connector), broken, on_progress=at_query(3, relay.down))
            relay.up()
            mine_to_file(mining(connector), broken)
    assert broken.read_bytes() == whole.read_bytes()


class Sociable(HashingEncoder):
    """Let a query's vector depend on those it is embedded with, as real ones' last bits do."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = super().embed_queries(texts) + super().embed_queries(texts[:1])
        return vectors


def test_exact_mining_goes_on_with_queries_in_the_same_company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.training.mining.searching.BATCH", 5)
    monkeypatch.setattr("retrieve_rerank.training.mining.to_file.EVERY_S", 0.0)
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    with EmbeddedConnector.create(tmp_path / "index", encoder=Sociable(64)) as connector:
        connector.index(texts())

        def exactly(scorer: OverlapScorer) -> Mining:
            return replace(mining(connector, scorer), exact=True)

        mine_to_file(exactly(OverlapScorer()), whole)
        for word in ("word12", "word16"):
            with pytest.raises(MiningStoppedError):
                mine_to_file(exactly(Breaking(word)), broken)
        mine_to_file(exactly(OverlapScorer()), broken)
    assert broken.read_bytes() == whole.read_bytes()


def test_an_index_that_changes_stops_mining_unless_that_is_accepted(
    connector: Connector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.training.mining.to_file.EVERY_S", 0.0)
    output = tmp_path / "groups.jsonl"
    with pytest.raises(MiningStoppedError, match="went away"):
        mine_to_file(mining(connector, Breaking("word16")), output)
    partial = Path(f"{output}.partial").read_bytes()
    connector.index([Document("new", "word1 and word2")])
    with pytest.raises(MiningStoppedError, match=r"had 120 documents and has 121.*9 are mined"):
        mine_to_file(mining(connector), output)
    assert Path(f"{output}.partial").read_bytes() == partial
    report = mine_to_file(mining(connector), output, accept_changes=True)
    assert output.read_bytes().startswith(partial)
    assert report.queries == 12


def test_another_mining_into_the_same_file_is_refused_with_what_differs(
    in_memory: MemoryConnector, tmp_path: Path
) -> None:
    output = tmp_path / "groups.jsonl"
    mine_to_file(mining(in_memory), output)
    before = output.read_bytes()
    with pytest.raises(InputError, match=r"seed was '0' and is '7'; Name|seed was '0' and is '7'"):
        mine_to_file(replace(mining(in_memory), seed=7), output)
    fewer = {query: QRELS[query] for query in list(QRELS)[:7]}
    with pytest.raises(InputError, match=r"queries was '12' and is '7'; judgments was"):
        mine_to_file(replace(mining(in_memory), qrels=fewer), output)
    assert output.read_bytes() == before
    others = tmp_path / "others.jsonl"
    others.write_text("somebody's\n")
    with pytest.raises(InputError, match="is there already; name another file"):
        mine_to_file(mining(in_memory), others)
    assert others.read_text() == "somebody's\n"


def test_a_record_that_was_cut_off_in_a_line_is_gone_on_with(
    in_memory: MemoryConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill in the middle of writing leaves it: half a line, and groups beyond the record."""
    monkeypatch.setattr("retrieve_rerank.training.mining.to_file.EVERY_S", 0.0)
    whole, output = tmp_path / "whole.jsonl", tmp_path / "groups.jsonl"
    mine_to_file(mining(in_memory), whole)
    with pytest.raises(MiningStoppedError):
        mine_to_file(mining(in_memory, Breaking("word16")), output)
    with Path(f"{output}.mining").open("a") as record:
        record.write('{"end": 99, "docu')
    with Path(f"{output}.partial").open("a") as partial:
        partial.write('{"query": "half a gro')
    with pytest.raises(MiningStoppedError):  # once more, before anything new is mined
        mine_to_file(mining(in_memory, Breaking("word16")), output)
    mine_to_file(mining(in_memory), output)
    assert output.read_bytes() == whole.read_bytes()
    Path(f"{output}.mining").write_text(json.dumps(["of something else"]) + "\n")
    with pytest.raises(InputError, match="not the record of a mining"):
        mine_to_file(mining(in_memory), output)


def test_nothing_mined_leaves_nothing_behind_but_says_why(
    in_memory: MemoryConnector, tmp_path: Path
) -> None:
    output = tmp_path / "groups.jsonl"
    strict = replace(mining(in_memory), rules=Rules(first_rank=2, max_score=-1.0))
    with pytest.raises(
        InputError, match=r"of 12 queries 0 have no relevant .* 12 no negative.*score"
    ):
        mine_to_file(strict, output)
    assert list(tmp_path.iterdir()) == []
    one = {"q3": QRELS["q3"]}
    assert mine_to_file(replace(mining(in_memory), qrels=one), output).groups == 1


def test_reports_of_parts_add_up() -> None:
    one = Mined(queries=2, negatives=3, without_negative=["a"])
    one.dropped["veto"] += 4
    total = Mined(queries=1)
    total.add(one)
    total.add(Mined.from_dict(json.loads(json.dumps(one.to_dict()))))
    assert (total.queries, total.negatives, total.dropped["veto"]) == (5, 6, 8)
    assert total.without_negative == ["a", "a"]
