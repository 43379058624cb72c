"""Token tensors made anew while the old ones serve, at every backend that can."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import NamedTuple

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Document
from retrieve_rerank.base import Encoding, TensorReplacing, TensorSettings
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.layout import HAYSTACK_NAMESPACE
from retrieve_rerank.errors import ConfigError, ConnectionFailedError
from retrieve_rerank.indexing.tensor_filling import TensorReport
from retrieve_rerank.indexing.tensor_refresh import refresh_cost, refresh_tensors
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings, tensor_status
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import DENSE, vector
from tests.connectors.qdrant.stub import Stub, serving
from tests.servers import NEWEST, OLDEST, delete_indexes, elasticsearch, fresh_index

ENCODER = HashingEncoder()
TEXTS = {f"d{n}": f"wing number {n} of a slender body, at angle {n % 7}" for n in range(48)}
QUERY = "number 7 of a wing"
OLD, NEW = (tensor_settings(ENCODER, dtype="float16", pooling_factor=n) for n in (1, 2))

Connect = Callable[[], TensorReplacing]


class Index(NamedTuple):
    """An index of 48 documents, and how its owner changes it."""

    connect: Connect
    put: Callable[[Sequence[Document]], object]
    delete: Callable[[Sequence[str]], object]


DOCUMENTS = [Document(id_, text) for id_, text in TEXTS.items()]


def ours(connect: Connect) -> Index:
    def put(documents: Sequence[Document]) -> None:
        with connect() as owner:
            owner.index(documents)

    def delete(ids: Sequence[str]) -> None:
        with connect() as owner:
            owner.delete(ids)

    put(DOCUMENTS)
    return Index(connect, put, delete)


@contextmanager
def at_elasticsearch(version: str) -> Iterator[Index]:
    server = elasticsearch(version)
    url = server.address(fresh_index(server))
    ElasticsearchConnector.create(url, encoder=ENCODER).close()
    yield ours(lambda: ElasticsearchConnector.connect(url, encoder=ENCODER))
    delete_indexes()


@contextmanager
def in_collection() -> Iterator[Index]:
    """Tensors that are another named vector of the points."""
    with serving(Stub()) as stub:
        QdrantConnector.create(stub.url, encoder=ENCODER, tensors=None).close()
        yield ours(lambda: QdrantConnector.connect(stub.url, encoder=ENCODER))


@contextmanager
def in_companion(version: str) -> Iterator[Index]:
    """Tensors beside a collection that others made, whose only vector has no name."""
    with serving(Stub()) as stub:
        stub.version = version
        stub.client.create_collection("docs", DENSE)

        def put(documents: Sequence[Document]) -> None:
            with stub.lock:
                stub.client.upsert(
                    "docs",
                    [
                        models.PointStruct(
                            id=point(each.id),
                            vector=vector(each.text),
                            payload={"id": each.id, "content": each.text, "meta": {}},
                        )
                        for each in documents
                    ],
                )

        def delete(ids: Sequence[str]) -> None:
            with stub.lock:
                stub.client.delete("docs", models.PointIdsList(points=list(map(point, ids))))

        put(DOCUMENTS)
        yield Index(lambda: QdrantConnector.connect(stub.url, encoder=ENCODER), put, delete)


def point(id_: str) -> str:
    """Tell a point's id as Haystack's store does."""
    return uuid.uuid5(HAYSTACK_NAMESPACE, id_).hex


@contextmanager
def in_local_mode() -> Iterator[Index]:
    client = QdrantClient(":memory:")
    url = "qdrant+local:///docs"
    made = QdrantConnector.create(url, encoder=ENCODER, tensors=None, client=client)
    yield ours(lambda: QdrantConnector.connect(url, encoder=ENCODER, client=client))
    made.close()


SERVERS: dict[str, Callable[[], AbstractContextManager[Index]]] = {
    "elasticsearch 9": lambda: at_elasticsearch(NEWEST),
    "elasticsearch 8": lambda: at_elasticsearch(OLDEST),
    "in a collection": in_collection,
    "in a companion": lambda: in_companion("1.20.0"),
}
PLACES = {
    **SERVERS,
    "in a companion, before metadata": lambda: in_companion("1.15.5"),
    "qdrant's local mode": in_local_mode,
}


@pytest.fixture(params=PLACES)
def index(request: pytest.FixtureRequest) -> Iterator[Index]:
    with PLACES[request.param]() as made:
        with made.connect() as store:
            add_tensors(store, ENCODER, OLD)
        yield made


class Stopping(HashingEncoder):
    """An encoder whose process is stopped after so many documents; `meanwhile` happens once."""

    def __init__(
        self, *, after: int = 10**9, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__()
        self.after = after
        self.meanwhile: Callable[[], object] | None = meanwhile

    def encode_documents(self, texts: list[str]) -> list[Encoding]:  # type: ignore[override]  # of lists alone
        if self.encoded + len(texts) > self.after:
            raise KeyboardInterrupt
        made = super().encode_documents(texts)
        if self.meanwhile:
            happen, self.meanwhile = self.meanwhile, None
            happen()
        return made


def refresh(
    store: TensorReplacing, encoder: HashingEncoder = ENCODER, settings: TensorSettings = NEW
) -> TensorReport:
    return refresh_tensors(store, encoder, settings, progress=quiet)


@contextmanager
def quiet(doing: str) -> Iterator[Callable[[int], None]]:
    yield lambda documents: None


def scores(store: TensorReplacing) -> dict[str, float]:
    return {id_: round(score, 3) for id_, score in store.max_sim(QUERY, list(TEXTS)).items()}


@pytest.mark.parametrize("index", SERVERS, indirect=True)
def test_searches_meanwhile_find_all_of_the_old_or_all_of_the_new(index: Index) -> None:
    seen: list[list[dict[str, float]]] = [[] for _ in range(3)]
    done = threading.Event()

    def search(into: list[dict[str, float]]) -> None:
        with index.connect() as reader:
            while not done.is_set():
                # A server under load may lack the shard for longer than a search waits for it.
                with suppress(ConnectionFailedError):
                    into.append(scores(reader))
                done.wait(0.01)

    with index.connect() as store:
        old = scores(store)
        readers = [threading.Thread(target=search, args=(into,)) for into in seen]
        for reader in readers:
            reader.start()
        report = refresh(store)
        new = scores(store)
        for into in seen:  # each has seen the new ones, too
            wait_for(partial(has_seen, into, new))
        done.set()
        for reader in readers:
            reader.join()
        assert report == TensorReport(documents=48, added=48)
        assert store.tensor_settings() == NEW
        assert old.keys() == new.keys() == TEXTS.keys()
        assert old != new
        for into in seen:
            switched = into.index(new)
            assert all(each == old for each in into[:switched])
            assert all(each == new for each in into[switched:])
        assert store.drafted() is None
        assert set(store.tensor_ids()) == set(TEXTS)


def has_seen(into: list[dict[str, float]], scores: dict[str, float]) -> bool:
    return bool(into) and into[-1] == scores


def wait_for(happened: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(600):
        if happened():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come about in 30 s")


def test_stopped_it_goes_on_and_what_changed_meanwhile_is_caught_up_with(index: Index) -> None:
    def change() -> None:
        index.put([Document("d3", "quite another text"), Document("new", "a new wing")])
        index.delete(["d5"])

    with index.connect() as store, pytest.raises(KeyboardInterrupt):
        refresh(store, Stopping(after=40))
    with index.connect() as store:
        assert store.tensor_settings() == OLD
        assert store.drafted() == NEW
        before = tensor_status(store)
        assert (before.present, before.stale) == (48, 0)
        encoder = Stopping(meanwhile=change)
        report = refresh(store, encoder)
        assert encoder.encoded <= 48 - 32 + 2, "the first batch was kept"
        assert report.documents == 48
        status = tensor_status(store)
        assert (status.settings, status.documents, status.present) == (NEW, 48, 48)
        assert status.orphaned == 0
        assert store.max_sim("a new wing", ["new", "d5"]).keys() == {"new"}
        assert refresh(store) == TensorReport(documents=48), "nothing is left to do"


@pytest.mark.parametrize("index", ["elasticsearch 9", "in a collection"], indirect=True)
def test_what_was_begun_is_given_up_for_another_or_for_those_that_serve(index: Index) -> None:
    third = tensor_settings(ENCODER, dtype="float16", pooling_factor=3)
    with index.connect() as store:
        with pytest.raises(KeyboardInterrupt):
            refresh(store, Stopping(after=40))
        with pytest.raises(KeyboardInterrupt):
            refresh(store, Stopping(after=40), third)
        assert store.drafted() == third
        assert refresh(store, settings=OLD) == TensorReport(documents=48)
        assert store.drafted() is None
        for settings in (NEW, third, OLD):
            refresh(store, settings=settings)
            assert store.tensor_settings() == settings
            assert tensor_status(store).present == 48
        with pytest.raises(KeyboardInterrupt):
            refresh(store, Stopping(after=40))
        store.drop_tensors()
        assert (store.tensor_settings(), store.drafted()) == (None, None)
        with pytest.raises(ConfigError, match="no token tensors to make anew; rr tensors add"):
            refresh(store)


@pytest.mark.parametrize("index", ["in a collection"], indirect=True)
def test_the_cost_is_told_from_a_sample(index: Index) -> None:
    with index.connect() as store:
        cost = refresh_cost(store, ENCODER, NEW, documents_per_s=2)
        words = sum(-(-len(text.split()) // 2) for text in TEXTS.values())
        assert cost.documents == 48
        assert cost.bytes == pytest.approx(words * 32 * 2, rel=0.1)
        assert cost.seconds >= 24
        assert store.drafted() is None
