"""Token tensors beside an index that is there already, on real servers of both releases."""

from __future__ import annotations

import logging
from typing import Any, get_args

import numpy as np
import pytest

from retrieve_rerank import Document
from retrieve_rerank.base import (
    MaxSimScores,
    TensorDtype,
    TensorSettings,
    TokenTensor,
)
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.errors import IndexMismatchError, PartialWriteError
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.elasticsearch.conftest import Fill
from tests.connectors.elasticsearch.test_search import TEXTS, documents, langchain
from tests.servers import Server, fresh_index

ENCODER = HashingEncoder()
LONG_ID = "x" * 600
PRECISION: dict[TensorDtype, float] = {"float32": 1e-6, "float16": 1e-3, "int8": 1e-2}


def settings(dtype: TensorDtype = "float32", **changes: Any) -> TensorSettings:
    facts = {"encoder": "hashing", "fingerprint": ENCODER.fingerprint, "dimension": 32}
    return TensorSettings(**{**facts, "dtype": dtype, **changes})


def tensor(id_: str, text: str) -> TokenTensor:
    [encoding] = ENCODER.encode_documents([text])
    return TokenTensor(id_, content_hash(text), encoding.tokens)


def max_sim(query: str, text: str) -> float:
    [q], [d] = ENCODER.encode_queries([query]), ENCODER.encode_documents([text])
    return float((q.tokens.astype(np.float64) @ d.tokens.T.astype(np.float64)).max(axis=1).mean())


@pytest.mark.parametrize("dtype", get_args(TensorDtype))
def test_scores_are_those_of_float64(fill: Fill, dtype: TensorDtype) -> None:
    url = fill(langchain(32), documents(ENCODER))
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings(dtype))
        index.write_tensors([tensor(f"d{i}", text) for i, text in enumerate(TEXTS[:3])])
        found = index.search_max_sim("lift of a wing", top_k=4)
        assert len(found.hits) == 4
        assert found.scores == pytest.approx(
            {f"d{i}": max_sim("lift of a wing", text) for i, text in enumerate(TEXTS[:3])},
            abs=PRECISION[dtype],
        )
        assert index.schema().token_tensors


async def test_searching_with_tensors_takes_two_requests(
    fill: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    url = fill(langchain(32), documents(ENCODER))
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings())
        index.write_tensors([tensor(f"d{i}", text) for i, text in enumerate(TEXTS)])
        caplog.set_level(logging.INFO, logger="elastic_transport.transport")
        expected = index.search_max_sim("heat", top_k=4)
        assert ["_msearch" in each.message for each in caplog.records] == [True, False]
        assert "_mget" in caplog.records[1].message
        assert await index.asearch_max_sim("heat", top_k=4) == expected
        assert len(caplog.records) == 4


def test_tensors_come_and_go_without_the_documents(server: Server) -> None:
    url = server.address(fresh_index(server))
    texts = {"a": "wing", LONG_ID: "long wing", "c": "pipe"}
    with ElasticsearchConnector.create(url, encoder=ENCODER) as index:
        index.index([Document(id_, text) for id_, text in texts.items()])
        assert index.tensor_settings() is None
        assert index.search_max_sim("wing", top_k=3).scores == {}
        assert (list(index.tensor_ids()), index.tensor_hashes(["a"])) == ([], {})
        index.drop_tensors()
        index.create_tensors(settings())
        index.create_tensors(settings())
        with pytest.raises(IndexMismatchError, match="rr tensors drop"):
            index.create_tensors(settings("int8"))
        index.write_tensors([tensor(id_, text) for id_, text in texts.items()])
        assert set(index.tensor_ids()) == texts.keys()
        assert index.tensor_hashes([LONG_ID, "nobody"]) == {LONG_ID: content_hash("long wing")}
        index.write_tensors([tensor("a", "another wing")])
        assert index.tensor_hashes(["a"]) == {"a": content_hash("another wing")}
        assert index.max_sim("wing", [LONG_ID, "nobody"]).keys() == {LONG_ID}
        index.delete_tensors([LONG_ID, "nobody"])
        assert set(index.tensor_ids()) == {"a", "c"}
        assert index.count() == 3
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        assert index.tensor_settings() == settings()
        with ElasticsearchConnector.connect(url, encoder=ENCODER) as other:
            other.drop_tensors()
        assert index.search_max_sim("wing", top_k=3).scores == {}
        assert index.tensor_settings() is None
        assert index.count() == 3


def test_tensors_of_a_model_that_has_changed_are_refused(fill: Fill) -> None:
    with ElasticsearchConnector.connect(fill(langchain(32), documents(ENCODER))) as index:
        index.create_tensors(settings(encoder="all-MiniLM-L6-v2", fingerprint="older"))
        with pytest.raises(IndexMismatchError, match="fingerprint older"):
            index.max_sim("wing", ["d0"])


def test_tensors_that_are_refused_are_named_by_their_documents(server: Server) -> None:
    name = fresh_index(server)
    with ElasticsearchConnector.create(server.address(name), encoder=ENCODER) as index:
        index.create_tensors(settings())
        sidecar = f"/rr-tensors-{name}"
        server.call("PUT", f"{sidecar}/_settings", {"index.blocks.write": True})
        with pytest.raises(PartialWriteError, match="refused 2 of 2 tensors") as raised:
            index.write_tensors([tensor("d1", "wing"), tensor(LONG_ID, "wing")])
        assert raised.value.failures.keys() == {"d1", LONG_ID}


def test_the_time_of_scoring_is_the_stages(fill: Fill) -> None:
    url = fill(langchain(32), documents(ENCODER))
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings())
        index.write_tensors([tensor(f"d{n}", text) for n, text in enumerate(TEXTS)])
        scores = index.search_max_sim("lift of a wing", top_k=4).scores
        assert isinstance(scores, MaxSimScores)
        assert scores.ms > 0


def test_tensors_made_anew_elsewhere_are_neither_misread_nor_mixed(fill: Fill) -> None:
    url = fill(langchain(32), documents(ENCODER))
    made = [tensor(f"d{n}", text) for n, text in enumerate(TEXTS)]
    with (
        ElasticsearchConnector.connect(url, encoder=ENCODER) as index,
        ElasticsearchConnector.connect(url, encoder=ENCODER) as other,
    ):
        index.create_tensors(settings())
        index.write_tensors(made)
        expected = index.max_sim("lift of a wing", ["d0", "d1"])
        other.drop_tensors()
        other.create_tensors(settings("int8"))
        other.write_tensors(made[:1])

        found = index.search_max_sim("lift of a wing", top_k=4).scores
        assert dict(found) == {"d0": pytest.approx(expected["d0"], abs=1e-2)}
        assert index.tensor_settings() == settings("int8")
        with pytest.raises(IndexMismatchError, match="another process dropped the tensors"):
            index.write_tensors(made[1:])
        assert other.tensor_hashes(["d0", "d1"]).keys() == {"d0"}

        other.drop_tensors()
        other.create_tensors(settings(encoder="all-MiniLM-L6-v2", fingerprint="older"))
        other.write_tensors(made)
        with pytest.raises(IndexMismatchError, match="fingerprint older"):
            index.max_sim("lift of a wing", ["d0"])


def test_a_tensor_that_was_left_from_other_settings_does_not_count(
    fill: Fill, server: Server
) -> None:
    url = fill(langchain(32), documents(ENCODER))
    with ElasticsearchConnector.connect(url, encoder=ENCODER) as index:
        index.create_tensors(settings())
        index.write_tensors([tensor("d0", TEXTS[0]), tensor("d1", TEXTS[1])])
        stray = {"doc": {"settings": "0" * 16}}
        name = url.rpartition("/")[2]
        server.call("POST", f"/rr-tensors-{name}/_update/d1?refresh=true", stray)
        assert index.max_sim("lift of a wing", ["d0", "d1"]).keys() == {"d0"}
        assert index.tensor_hashes(["d0", "d1"]).keys() == {"d0"}, "it is made anew"
