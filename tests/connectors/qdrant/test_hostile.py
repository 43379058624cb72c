"""Whatever answers in place of Qdrant: a result, or an error of ours, in few words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from retrieve_rerank import Document
from retrieve_rerank.connectors.qdrant import QdrantConnector, address
from retrieve_rerank.errors import (
    IndexCorruptError,
    LimitExceededError,
    RetrieveRerankError,
    UnsupportedServerError,
)
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import langchain
from tests.connectors.qdrant.grpc_stub import Service
from tests.connectors.qdrant.grpc_stub import serving as serving_grpc
from tests.connectors.qdrant.stub import Stub, serving
from tests.hostile import ANSWERS, LONGEST_MESSAGE, Answer, before, bomb, spoiling, spoilt

ENCODER = HashingEncoder()
DOCUMENTS = [Document(f"d{n}", f"the wing {n}", {"year": n, "tags": ["a"]}) for n in range(5)]
FUZZED = settings(
    deadline=None,
    derandomize=True,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Middle:
    """What stands before the server, and what it does to each answer."""

    url = ""
    spoil: Callable[[Answer], Answer] | None = None


@pytest.fixture(scope="module", params=["ours", "others"])
def running(request: pytest.FixtureRequest) -> Iterator[Middle]:
    middle, stub = Middle(), Stub()
    with serving(stub):
        target = stub.url.replace("qdrant://", "http://").removesuffix("/docs")
        if request.param == "ours":
            with QdrantConnector.create(stub.url, encoder=ENCODER) as connector:
                connector.index(DOCUMENTS)
        else:
            stub.client.close()
            stub.client = langchain(hybrid=True)
        with before(target, lambda true: middle.spoil(true) if middle.spoil else true) as url:
            middle.url = f"{url.replace('http', 'qdrant')}/docs"
            yield middle


@pytest.fixture
def middle(running: Middle) -> Middle:
    running.spoil = None
    return running


def connect(middle: Middle) -> QdrantConnector:
    return QdrantConnector.connect(middle.url, encoder=ENCODER)


async def ask_async(connector: QdrantConnector) -> None:
    try:
        await connector.asearch("wing", top_k=3, timeout_s=30)
    finally:
        await connector.aclose()


def asks(connector: QdrantConnector) -> list[Callable[[], Any]]:
    """List what reads answers of every kind."""
    return [
        lambda: connector.search("wing", top_k=3, timeout_s=1),
        lambda: connector.search_max_sim("wing", top_k=3, timeout_s=1),
        lambda: connector.get(["d1"]),
        lambda: list(connector.scan()),
        lambda: connector.schema(),
        lambda: asyncio.run(ask_async(connector)),
    ]


@contextmanager
def refused() -> Iterator[None]:
    """Let an error of ours pass, in few words, and no other."""
    try:
        yield
    except RetrieveRerankError as exc:
        assert len(str(exc)) < LONGEST_MESSAGE


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer_that_cannot_be_is_an_error_of_ours(middle: Middle, answer: Answer) -> None:
    connector = connect(middle)
    middle.spoil = lambda true: answer
    first, *_, last = asks(connector)
    for ask in (first, lambda: list(connector.scan()), last, lambda: connect(middle)):
        with pytest.raises(RetrieveRerankError) as raised:
            ask()
        assert len(str(raised.value)) < LONGEST_MESSAGE


def test_a_bomb_is_not_unpacked_beyond_a_bound(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "MAX_BYTES", 1 << 20)
    connector, answer = connect(middle), bomb(3)
    middle.spoil = lambda true: answer
    for ask in (
        lambda: connector.search("wing", top_k=3),
        lambda: asyncio.run(ask_async(connector)),
    ):
        with pytest.raises(LimitExceededError, match=r"more than 1,048,576 bytes"):
            ask()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"result":[', b'"result":[{"points":[]},', "3 rankings, where 2 were asked for"),
        (b'"score"', b'"scores"', "is not Qdrant, or a proxy"),
    ],
)
def test_what_is_wrong_is_named(middle: Middle, old: bytes, new: bytes, message: str) -> None:
    with connect(middle) as connector:
        middle.spoil = lambda true: true._replace(body=true.body.replace(old, new))
        with pytest.raises(UnsupportedServerError, match=message):
            connector.search("wing", top_k=3)


@pytest.mark.parametrize(
    ("key", "wrong"), [("fields", 7), ("bm25", {"language": "english"}), ("template", None)]
)
def test_a_record_of_something_else_is_called_corrupt(stub: Stub, key: str, wrong: Any) -> None:
    with QdrantConnector.create(stub.url, encoder=ENCODER) as connector:
        connector.index(DOCUMENTS)
    values = (stub.client.get_collection("docs").config.metadata or {})["retrieve_rerank"]
    stub.client.update_collection("docs", metadata={"retrieve_rerank": {**values, key: wrong}})
    with pytest.raises(IndexCorruptError, match=f"cannot be read.*{key}.*make it anew"):
        QdrantConnector.connect(stub.url, encoder=ENCODER)


def test_a_payload_without_end_is_refused(stub: Stub) -> None:
    stub.client.close()
    stub.client = langchain()
    deep: dict[str, Any] = {}
    for _ in range(220):
        deep = {"in": deep}
    payload = {"page_content": "wing", "metadata": deep}
    [first, *_], _ = stub.client.scroll("docs")
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        stub.client.overwrite_payload("docs", payload, [first.id])
        for ask in (lambda: connector.search("wing", top_k=9), lambda: list(connector.scan())):
            with pytest.raises(UnsupportedServerError, match="nested more than 200 levels"):
                ask()


@FUZZED
@given(spoil=spoiling(), opening=spoiling())
def test_answers_that_are_changed_anywhere_are_read_or_refused(
    middle: Middle, spoil: Callable[[Any], Any], opening: Callable[[Any], Any]
) -> None:
    middle.spoil = lambda true: spoilt(true, opening)
    with refused():
        connect(middle).close()
    middle.spoil = None
    connector = connect(middle)
    middle.spoil = lambda true: spoilt(true, spoil)
    for ask in asks(connector):
        with refused():
            ask()
    connector.close()


# --- by gRPC ---------------------------------------------------------------------------------


class Spoilt(Service):
    """A server whose answers have something else at some place, or nothing."""

    steps: list[int] | None = None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name[0].isupper() and self.steps is not None:
            return lambda request, context: self.spoilt(found(request, context))
        return found

    def spoilt(self, message: Any) -> Any:
        place = message
        for step in self.steps or ():
            fields = place.ListFields()
            if not fields:
                break
            field, value = fields[step % len(fields)]
            listed = hasattr(value, "__len__") and not isinstance(value, str | bytes)
            if listed and len(value) and not hasattr(value, "keys"):
                value = value[step % len(value)]
            if not hasattr(value, "ListFields") or step % 3 == 0:
                place.ClearField(field.name)
                break
            place = value
        return message


@pytest.fixture(scope="module")
def service() -> Iterator[Spoilt]:
    client = QdrantClient(":memory:")
    with QdrantConnector.create("qdrant+local:///docs", encoder=ENCODER, client=client) as made:
        made.index(DOCUMENTS)
    served = Spoilt(client)
    with serving_grpc(served):
        yield served


@FUZZED
@given(steps=st.lists(st.integers(0, 30), max_size=8))
def test_messages_that_lack_something_are_read_or_refused(
    service: Spoilt, steps: list[int]
) -> None:
    service.steps = steps
    with refused():
        QdrantConnector.connect(service.url, encoder=ENCODER, grpc=True).close()
    service.steps = None
    connector = QdrantConnector.connect(service.url, encoder=ENCODER, grpc=True)
    service.steps = steps
    for ask in asks(connector):
        with refused():
            ask()
    connector.close()


def test_a_message_that_is_too_large_is_refused(
    service: Spoilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "MAX_BYTES", 400)
    service.steps = None
    with pytest.raises(LimitExceededError, match="larger than max"):
        QdrantConnector.connect(service.url, encoder=ENCODER, grpc=True)


def test_words_of_a_megabyte_are_cut(service: Spoilt) -> None:
    service.steps = None
    with QdrantConnector.connect(service.url, encoder=ENCODER, grpc=True) as connector:
        service.faults = [(grpc.StatusCode.INTERNAL, "x" * 6000, ())]
        with pytest.raises(RetrieveRerankError) as raised:
            connector.search("wing", top_k=3)
        assert len(str(raised.value)) < LONGEST_MESSAGE
