"""Token tensors by another encoder than the vectors: smaller ones, of the same documents."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from retrieve_rerank import Document
from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.embedded.searcher import dense_vectors
from retrieve_rerank.connectors.two_encoders import TwoEncoders
from retrieve_rerank.errors import ConfigError, IndexLockedError
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.embedded.processes import (
    ENCODER,
    ProjectingEncoder,
    documents,
    start,
    wait_for,
)

DOCUMENTS = documents(40)
QUERY = "wing number 7"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with EmbeddedConnector.create(tmp_path / "index", encoder=ENCODER) as connector:
        connector.index(DOCUMENTS)
    return tmp_path / "index"


def ranking(connector: EmbeddedConnector) -> list[tuple[str, float]]:
    return [(hit.document.id, hit.score) for hit in connector.search(QUERY, top_k=20)]


def expected(encoder: HashingEncoder, document: Document) -> float:
    [asked], [read] = encoder.encode_queries([QUERY]), encoder.encode_documents([document.text])
    return float(max_sim(asked.tokens, [pool_tokens(read.tokens, 2)])[0])


def test_tensors_are_made_anew_and_the_first_stage_stays_as_it_is(folder: Path) -> None:
    projecting = ProjectingEncoder()
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        before, description = ranking(connector), connector.schema()
    heard: list[int] = []
    report = EmbeddedConnector.refresh_tensors(str(folder), projecting, on_progress=heard.append)
    assert (report.indexed, sum(heard)) == (40, 40)
    assert {entry.name for entry in folder.iterdir()} == {"lock", "manifest.json", "shard-2"}

    with EmbeddedConnector.connect(str(folder), encoder=projecting) as connector:
        assert [id_ for id_, _ in ranking(connector)] == [id_ for id_, _ in before]
        assert [score for _, score in ranking(connector)] == pytest.approx(
            [score for _, score in before], abs=1e-5
        )
        schema = connector.schema()
        assert (schema.encoder, schema.dimension) == (description.encoder, 384)
        assert schema.details["tensors"]["dimension"] == 64
        assert schema.details["fingerprint"] == ENCODER.fingerprint
        assert schema.documents == 40
        connector.index([Document("new", "wing seven, of tin")])
        new = connector.get(["new"])[0]
        for document in (DOCUMENTS[7], new):
            [score] = connector.max_sim(QUERY, [document.id]).values()
            assert score == pytest.approx(expected(projecting, document), abs=5e-3)

    EmbeddedConnector.refresh_tensors(str(folder), ENCODER)
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        assert "dimension" not in connector.schema().details["tensors"]
        [score] = connector.max_sim(QUERY, ["d7"]).values()
        assert score == pytest.approx(expected(ENCODER, DOCUMENTS[7]), abs=5e-3)


class Reading(HashingEncoder):
    """Tells what it has read for a vector."""

    def __init__(self) -> None:
        super().__init__(384, max_tokens=8)
        self.read: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.read += texts
        return super().embed_queries(texts)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.read += texts
        return super().embed_documents(texts)


@pytest.mark.parametrize(
    "other",
    [HashingEncoder(24, max_tokens=9), HashingEncoder(384, max_tokens=20)],
    ids=["shorter", "longer texts"],
)
def test_tensors_of_an_encoder_of_other_vectors_leave_the_first_stage_its_own(
    folder: Path, other: HashingEncoder
) -> None:
    own = Reading()
    with EmbeddedConnector.connect(str(folder), encoder=own) as connector:
        before = ranking(connector)
    vectors = stored(folder)
    assert EmbeddedConnector.refresh_tensors(str(folder), other).indexed == 40
    assert stored(folder) == vectors  # to the bit
    manifest = folder / "manifest.json"
    assert json.loads(manifest.read_text())["format"] == 4  # which no older release reads
    assert not EmbeddedConnector.verify(str(folder)).damage

    own.read.clear()
    with EmbeddedConnector.connect(str(folder), encoder=TwoEncoders(own, other)) as connector:
        assert connector.schema().details["tensors"]["dimension"] == other.dimension
        assert connector.schema().dimension == 384
        assert dict(ranking(connector)) == pytest.approx(dict(before))
        own.read.clear()
        assert connector.max_sim(QUERY, ["d7"])["d7"] == pytest.approx(
            expected(other, DOCUMENTS[7]), abs=5e-3
        )
        assert own.read == []
        report = connector.index([Document("new", "wing seven, of tin"), DOCUMENTS[3]])
        assert (report.indexed, report.unchanged) == (1, 1)
        assert set(own.read) == {"wing seven, of tin"}
        found = connector.search_max_sim("wing seven", top_k=41)
        assert found.hits[0].document.id == "new"
        [new] = connector.get(["new"])
        assert connector.max_sim(QUERY, ["new"])["new"] == pytest.approx(
            expected(other, new), abs=5e-3
        )
        assert connector.embedder().fingerprint == own.fingerprint

    EmbeddedConnector.refresh_tensors(str(folder), ENCODER)
    assert json.loads(manifest.read_text())["format"] == 2
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        assert connector.max_sim(QUERY, ["d7"])["d7"] == pytest.approx(
            expected(ENCODER, DOCUMENTS[7]), abs=5e-3
        )


def stored(folder: Path) -> dict[str, list[float]]:
    """The first stage's vectors."""
    with EmbeddedConnector.connect(str(folder)) as connector, connector._shard.use() as shard:
        found = dense_vectors(shard, [each.id for each in DOCUMENTS])
    return {id_: vector.tolist() for id_, vector in found.items()}


def test_an_index_without_vectors_or_open_elsewhere_is_refused(folder: Path) -> None:
    with (
        EmbeddedConnector.connect(str(folder), encoder=ENCODER),
        pytest.raises(IndexLockedError),
    ):
        EmbeddedConnector.refresh_tensors(str(folder), ProjectingEncoder(), lock_timeout_s=0)
    assert {entry.name for entry in folder.iterdir()} == {"lock", "manifest.json", "shard"}

    lexical = folder.parent / "lexical"
    EmbeddedConnector.create(lexical, encoder=None).close()
    with pytest.raises(ConfigError, match="has no token tensors"):
        EmbeddedConnector.refresh_tensors(str(lexical), ProjectingEncoder())


def test_killed_on_the_way_the_old_tensors_serve(folder: Path) -> None:
    with start("refresh", folder) as process:
        wait_for(process, "some are written")
        assert (folder / "shard-2").exists()
        os.killpg(process.pid, signal.SIGKILL)
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        assert connector.count() == 40
        [score] = connector.max_sim(QUERY, ["d7"]).values()
        assert score == pytest.approx(expected(ENCODER, DOCUMENTS[7]), abs=5e-3)
    assert {entry.name for entry in folder.iterdir()} == {"lock", "manifest.json", "shard"}
    assert EmbeddedConnector.refresh_tensors(str(folder), ProjectingEncoder()).indexed == 40
