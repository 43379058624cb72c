"""What the capabilities that a backend may declare promise, of every backend that declares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Connector, Document
from retrieve_rerank.base import Aliasable, Optimizable, PartitionedScan
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import ConfigError, IndexExistsError, IndexNotFoundError, InputError
from retrieve_rerank.registry import connector_class
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.conftest import MAKERS
from tests.servers import delete_indexes, elasticsearch, fresh_index

Open = Callable[[str], Connector]
"""A name to an index of it: opened where there is one, else made."""


def backends(capability: type) -> list[str]:
    return [scheme for scheme in MAKERS if issubclass(connector_class(scheme), capability)]


def local_qdrant() -> Open:
    client = QdrantClient(":memory:")

    def open_(name: str) -> Connector:
        url = f"qdrant+local:///{name}"
        try:
            return QdrantConnector.connect(url, client=client)
        except IndexNotFoundError:
            return QdrantConnector.create(url, encoder=None, client=client)

    return open_


def elasticsearch_server() -> Open:
    stem = fresh_index(elasticsearch())

    def open_(name: str) -> Connector:
        url = elasticsearch().address(f"{stem}-{name}")
        try:
            return ElasticsearchConnector.connect(url)
        except IndexNotFoundError:
            return ElasticsearchConnector.create(url, encoder=None)

    return open_


OPENERS = {"qdrant+local": local_qdrant, "elasticsearch": elasticsearch_server}


@pytest.fixture(params=OPENERS)
def open_(request: pytest.FixtureRequest) -> Iterator[Open]:
    yield OPENERS[request.param]()
    delete_indexes()


def test_every_backend_with_aliases_is_tested_here() -> None:
    assert set(backends(Aliasable)) == OPENERS.keys()


@pytest.mark.parametrize("scheme", backends(PartitionedScan))
def test_parts_together_have_each_document_once(scheme: str, tmp_path: Path) -> None:
    documents = [Document(f"d{i}", f"wing number {i}", {"i": i}) for i in range(600)]
    with MAKERS[scheme](tmp_path / "index", None) as connector:
        assert isinstance(connector, PartitionedScan)
        connector.index(documents)
        parts = [list(connector.scan_part(part, parts=3)) for part in range(3)]
        again = [list(connector.scan_part(part, parts=3)) for part in (2, 1, 0)]
        assert [{each.id for each in part} for part in reversed(again)] == [
            {each.id for each in part} for part in parts
        ]
        assert all(100 < len(part) < 300 for part in parts)
        found = sorted((each for part in parts for each in part), key=lambda each: each.id)
        assert found == sorted(documents, key=lambda each: each.id)
        assert len(list(connector.scan_part(0, parts=1))) == 600
        for part, of in ((3, 3), (-1, 3), (0, 0)):
            with pytest.raises(InputError, match=r"part must be from 0 to 2|parts must be at leas"):
                list(connector.scan_part(part, parts=of))
    delete_indexes()


@pytest.mark.parametrize("scheme", backends(Optimizable))
def test_optimizing_changes_nothing_that_is_found(scheme: str, tmp_path: Path) -> None:
    documents = [Document(f"d{i}", f"wing number {i}") for i in range(50)]
    with MAKERS[scheme](tmp_path / "index", HashingEncoder()) as connector:
        assert isinstance(connector, Optimizable)
        assert not connector.needs_optimizing()
        connector.index(documents)
        connector.delete(["d0"])
        before = [hit.document for hit in connector.search("wing number 7", top_k=5)]
        heard: list[float] = []
        connector.optimize(on_progress=heard.append)
        assert heard == sorted(heard)
        assert not connector.needs_optimizing()
        assert not connector.optimize()  # there is nothing left to do
        assert [hit.document for hit in connector.search("wing number 7", top_k=5)] == before
        assert connector.count() == 49


def test_an_alias_goes_from_one_index_to_the_next_at_once(open_: Open) -> None:
    with open_("one") as one, open_("two") as two:
        assert isinstance(one, Aliasable)
        assert isinstance(two, Aliasable)
        one.index([Document("d", "a wing of one")])
        two.index([Document("d", "a pipe of two")])
        names = [each.schema().location.rpartition("/")[2] for each in (one, two)]
        alias = names[0].removesuffix("one") + "alias"
        assert one.take_alias(alias) == []
        with open_("alias") as through:
            assert through.get(["d"])[0].text == "a wing of one"
        assert two.take_alias(alias) == names[:1]
        assert two.take_alias(alias) == names[1:]
        with open_("alias") as through:
            assert through.get(["d"])[0].text == "a pipe of two"
            assert [hit.document.id for hit in through.search("pipe", top_k=3)] == ["d"]


def test_the_name_of_an_index_is_no_alias(open_: Open) -> None:
    with open_("one") as one, open_("two") as two:
        assert isinstance(one, Aliasable)
        name = two.schema().location.rpartition("/")[2]
        with pytest.raises(IndexExistsError, match=f"'{name}' cannot become an alias of .*/"):
            one.take_alias(name)
        with pytest.raises(ConfigError, match="expected one alias's name; got 'a/b'"):
            one.take_alias("a/b")
        assert (one.count(), two.count()) == (0, 0)
