"""Tensors that an Enterprise server scores itself: not run on one, see `licensed`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from retrieve_rerank.base import TensorDtype
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector, rank_vectors
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.errors import LicenseError
from tests.connectors.elasticsearch.conftest import Fill
from tests.connectors.elasticsearch.licensed import Licensed, licensed
from tests.connectors.elasticsearch.test_search import TEXTS, documents, langchain
from tests.connectors.elasticsearch.test_tensors import ENCODER, max_sim, settings, tensor
from tests.servers import Server


@pytest.fixture
def stand_in(server: Server, fill: Fill) -> Iterator[tuple[Licensed, str]]:
    name = fill(langchain(32), documents(ENCODER)).rpartition("/")[2]
    with licensed(server) as (found, front):
        yield found, front.address(name)


def test_float32_tensors_are_scored_by_the_server(stand_in: tuple[Licensed, str]) -> None:
    licensed, url = stand_in
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings())
        [field] = licensed.fields.values()
        assert field == {"type": "rank_vectors", "element_type": "float", "dims": 32}
        index.write_tensors([tensor(f"d{i}", text) for i, text in enumerate(TEXTS[:3])])
        found = index.search_max_sim("lift of a wing", top_k=4)
        assert len(found.hits) == 4
        assert found.scores == pytest.approx(
            {f"d{i}": max_sim("lift of a wing", text) for i, text in enumerate(TEXTS[:3])}, abs=1e-6
        )
        assert len(licensed.scorings) == 1
        assert index.tensor_hashes(["d0", "d3"]) == {"d0": content_hash(TEXTS[0])}
        assert set(index.tensor_ids()) == {"d0", "d1", "d2"}
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        assert index.tensor_settings() == settings()
        assert index.search_max_sim("lift of a wing", top_k=4).scores == found.scores
        index.drop_tensors()
        assert index.search_max_sim("wing", top_k=4).scores == {}


@pytest.mark.parametrize(
    ("license", "dtype"), [("basic", "float32"), ("enterprise", "float16"), ("enterprise", "int8")]
)
def test_other_tensors_are_scored_here(
    stand_in: tuple[Licensed, str], license: str, dtype: TensorDtype
) -> None:
    licensed, url = stand_in
    licensed.license = license
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings(dtype))
        index.write_tensors([tensor("d0", TEXTS[0])])
        assert index.search_max_sim("lift of a wing", top_k=4).scores.keys() == {"d0"}
    assert not licensed.fields
    assert not licensed.scorings


def test_a_licence_that_has_run_out_is_named(stand_in: tuple[Licensed, str]) -> None:
    licensed, url = stand_in
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings())
        index.write_tensors([tensor("d0", TEXTS[0])])
        licensed.license = "basic"
        with pytest.raises(LicenseError, match=r"non-compliant for \[Rank Vectors\]"):
            index.search_max_sim("wing", top_k=4)


def test_the_scoring_is_worded_as_elasticsearch_documents_it() -> None:
    query = np.array([[0.5, -1.0], [0.25, 2.0]], dtype=np.float32)
    assert rank_vectors.scoring(query, ["a", "b"], "tensor") == {
        "query": {
            "script_score": {
                "query": {
                    "bool": {
                        "filter": [
                            {"ids": {"values": ["a", "b"]}},
                            {"exists": {"field": "tensor"}},
                        ]
                    }
                },
                "script": {
                    "source": "maxSimDotProduct(params.q, 'tensor') + params.m",
                    "params": {"q": [[0.5, -1.0], [0.25, 2.0]], "m": 3},
                },
            }
        },
        "size": 2,
        "_source": False,
        "track_total_hits": False,
    }
    hits = [{"_id": "a", "_score": 4.5}, {"_id": "b", "_score": 2.0}]
    found = rank_vectors.scores(hits, 2)
    assert found == {"a": 0.75, "b": -0.5}
