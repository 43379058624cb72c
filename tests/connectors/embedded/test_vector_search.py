"""The graph's search against exact search, audited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.training.mining import Mining, Overlap, measure_overlap
from tests.connectors.embedded.conftest import COUNT, WORDS, copy_of, texts
from tests.connectors.embedded.processes import ENCODER

QUERIES = {
    f"q{seed}": " ".join(np.random.default_rng(seed).choice(WORDS, size=4)) for seed in range(40)
}


@pytest.fixture(scope="module")
def folder(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of(large, tmp_path_factory.mktemp("auditing") / "index")
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        assert connector.optimize()
    return folder


@pytest.fixture
def connector(folder: Path) -> Iterator[EmbeddedConnector]:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        yield connector


def test_exact_search_finds_what_numpy_finds(connector: EmbeddedConnector) -> None:
    queries = connector.query_vectors(list(QUERIES.values()))
    heard: list[int] = []
    found = connector.nearest_exact(queries, top_k=50, on_progress=heard.append)
    rows = ENCODER.embed_documents([document.text for document in texts()]).astype(np.float64)
    for query, hits in zip(queries, found, strict=True):
        cosines = rows @ query.astype(np.float64)
        assert [score for _, score in hits] == pytest.approx(-np.sort(-cosines)[:50], abs=1e-6)
        assert all(cosines[int(id_[1:])] == pytest.approx(score, abs=1e-6) for id_, score in hits)
    assert sum(heard) == len(QUERIES)


def test_the_audit_sees_what_a_narrow_walk_loses(connector: EmbeddedConnector) -> None:
    found = audit(connector, QUERIES, top_ks=[10])
    recalls = [each.recall for each in found.measured]
    widths = [each.settings["hnsw_ef"] for each in found.measured]
    assert widths[:5] == [10, 16, 32, 64, 128]
    assert recalls[0] < 0.9
    assert recalls[-1] > 0.99
    assert found.default(10).settings == {"hnsw_ef": 256}
    for each in found.measured:
        assert each.graph_loss == pytest.approx(1 - each.recall)
        assert each.quantisation_loss == pytest.approx(0)


def test_mining_tells_how_much_of_exact_search_it_finds(folder: Path, large: Path) -> None:
    def overlap(where: Path, *, hnsw_ef: int, exact: bool = False) -> Overlap | None:
        with EmbeddedConnector.connect(str(where), encoder=ENCODER, hnsw_ef=hnsw_ef) as connector:
            retriever = Retriever(connector, candidates=10)
            qrels = {query: {"d1": 1} for query in (*QUERIES, "textless")}
            return measure_overlap(
                Mining(retriever=retriever, queries=QUERIES, qrels=qrels, exact=exact)
            )

    narrow = overlap(folder, hnsw_ef=10)
    assert narrow is not None
    assert (narrow.queries, narrow.depth) == (len(QUERIES), 10)
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        vectors = connector.query_vectors(list(QUERIES.values()))
        walked = [connector.nearest(each, top_k=10, settings={"hnsw_ef": 10}) for each in vectors]
    rows = ENCODER.embed_documents([document.text for document in texts()])
    tenth = -np.sort(-(vectors @ rows.T), axis=1)[:, 9]
    found = [
        sum(score > least - 1e-6 for _, score in hits) / 10
        for hits, least in zip(walked, tenth, strict=True)
    ]
    assert narrow.share == pytest.approx(np.mean(found), abs=1e-9)
    wide = overlap(folder, hnsw_ef=1000)
    assert wide is not None and narrow.share < 0.95 < wide.share
    assert overlap(folder, hnsw_ef=10, exact=True) is None
    assert overlap(large, hnsw_ef=10) is None  # no graph has been made: all are compared


def test_an_index_whose_graph_is_yet_to_be_made_is_not_audited(large: Path, tmp_path: Path) -> None:
    folder = copy_of(large, tmp_path / "index")
    with (
        EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector,
        pytest.raises(ConfigError, match=r"nothing was audited: .* rr index, run again, does"),
    ):
        audit(connector, QUERIES)


def test_a_setting_holds_for_searches(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER, hnsw_ef=64) as connector:
        [knob] = connector.knobs(top_k=10)
        assert (knob.name, knob.default) == ("hnsw_ef", 64)
        vector = connector.query_vectors(["word1 word2"])[0]
        assert connector.nearest(vector, top_k=10) == connector.nearest(
            vector, top_k=10, settings={"hnsw_ef": 64}
        )
        assert connector.count() == COUNT


def test_an_index_without_vectors_cannot_be_audited(tmp_path: Path) -> None:
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index([Document("d", "text")])
        with pytest.raises(ConfigError, match="use no vectors"):
            audit(connector, QUERIES)
        with pytest.raises(ConfigError, match="made without an encoder"):
            connector.query_vectors(["text"])
