"""What every backend that can be audited must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Connector, Document
from retrieve_rerank.base import VectorSearch
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.evaluation.audit.findings import findings
from retrieve_rerank.testing import HashingEncoder
from tests.servers import NEWEST, OLDEST, delete_indexes, elasticsearch, fresh_index

ENCODER = HashingEncoder(64)


def at_elasticsearch(version: str) -> ElasticsearchConnector:
    server = elasticsearch(version)
    return ElasticsearchConnector.create(server.address(fresh_index(server)), encoder=ENCODER)


MAKERS: dict[str, Callable[[Path], Connector]] = {
    "embedded": lambda folder: EmbeddedConnector.create(folder, encoder=ENCODER),
    "qdrant+local": lambda _: QdrantConnector.create(
        "qdrant+local:///docs", encoder=ENCODER, tensors=None, client=QdrantClient(":memory:")
    ),
    "elasticsearch 9": lambda _: at_elasticsearch(NEWEST),
    "elasticsearch 8": lambda _: at_elasticsearch(OLDEST),
}
QUERIES = {f"q{i}": f"word{i} word{i + 7} word{3 * i}" for i in range(12)}


def texts() -> Iterator[Document]:
    randomly = np.random.default_rng(4)
    for i in range(600):
        yield Document(f"d{i}", " ".join(f"word{n}" for n in randomly.integers(90, size=5)))


@pytest.fixture(params=MAKERS)
def connector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connector]:
    with MAKERS[request.param](tmp_path / "index") as made:
        made.index(texts())
        yield made
    delete_indexes()


def test_exact_search_finds_what_numpy_finds(connector: Connector) -> None:
    assert isinstance(connector, VectorSearch)
    queries = connector.query_vectors(list(QUERIES.values()))
    assert queries.shape == (len(QUERIES), 64)
    heard: list[int] = []
    found = connector.nearest_exact(queries, top_k=50, on_progress=heard.append)
    assert sum(heard) > 0
    rows = ENCODER.embed_documents([document.text for document in texts()]).astype(np.float64)
    for query, hits in zip(queries.astype(np.float64), found, strict=True):
        cosines = rows @ query
        assert [score for _, score in hits] == pytest.approx(-np.sort(-cosines)[:50], abs=1e-5)
        for id_, score in hits:
            assert score == pytest.approx(cosines[int(id_[1:])], abs=1e-5)


def test_searches_find_the_same_as_what_is_audited(connector: Connector) -> None:
    assert isinstance(connector, VectorSearch)
    query = "word1 word8 word3"
    [vector] = connector.query_vectors([query])
    nearest = connector.nearest(vector, top_k=100)
    hits = connector.search(query, top_k=100)
    dense = {hit.document.id: hit.sources["dense"] for hit in hits if "dense" in hit.sources}
    by_id = dict(nearest)
    for id_, placed in dense.items():
        assert by_id[id_] == pytest.approx(placed.score, abs=1e-2)  # quantised or not


def test_every_setting_can_be_audited(connector: Connector) -> None:
    if not isinstance(connector, ElasticsearchConnector):  # whose vectors are quantised here
        with pytest.raises(ConfigError, match=r"nothing was audited: every search of .* is exact"):
            audit(connector, QUERIES)
        own = {query: {"d1": 1} for query in QUERIES}
        found = audit(connector, QUERIES, qrels=own, top_ks=[10])
        assert (found.knobs, found.default(10).recall) == ([], 1.0)
        assert findings(found)[0].startswith("Nothing was audited: every search is exact, as ")
        assert found.relevance is not None
        return
    found = audit(connector, QUERIES, top_ks=[10, 50])
    assert found.documents == 600
    for top_k in (10, 50):
        measured = found.at(top_k)
        assert len(measured) >= 2
        assert sum(each.default for each in measured) == 1
        assert max(each.recall for each in measured) > 0.99
        for each in measured:
            assert 1 - each.recall == pytest.approx(each.graph_loss + each.quantisation_loss)
