"""Whatever answers in place of Elasticsearch: a result, or an error of ours, in few words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.errors import LimitExceededError, RetrieveRerankError, UnsupportedServerError
from retrieve_rerank.testing import HashingEncoder
from retrieve_rerank.types import Document
from tests.hostile import ANSWERS, LONGEST_MESSAGE, Answer, before, bomb, spoiling, spoilt
from tests.servers import delete_indexes, elasticsearch, fresh_index

ENCODER = HashingEncoder()
DOCUMENTS = [Document(f"d{n}", f"the wing {n}", {"year": n, "tags": ["a"]}) for n in range(5)]


class Middle:
    """What stands before the server, and what it does to each answer."""

    url = ""
    spoil: Callable[[Answer], Answer] | None = None


@pytest.fixture(scope="module")
def running() -> Iterator[Middle]:
    middle, server = Middle(), elasticsearch()
    name = fresh_index(server)
    with before(server.url, lambda true: middle.spoil(true) if middle.spoil else true) as url:
        middle.url = f"{url.replace('http', 'elasticsearch')}/{name}"
        with ElasticsearchConnector.create(server.address(name), encoder=ENCODER) as connector:
            connector.index(DOCUMENTS)
        yield middle
    delete_indexes()


@pytest.fixture
def middle(running: Middle) -> Middle:
    running.spoil = None
    return running


def connect(middle: Middle) -> ElasticsearchConnector:
    return ElasticsearchConnector.connect(middle.url, encoder=ENCODER)


async def ask_async(connector: ElasticsearchConnector) -> None:
    try:
        await connector.asearch("wing", top_k=3)
    finally:
        await connector.aclose()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer_that_cannot_be_is_an_error_of_ours(middle: Middle, answer: Answer) -> None:
    connector = connect(middle)
    middle.spoil = lambda true: answer
    asks: list[Callable[[], Any]] = [
        lambda: connector.search("wing", top_k=3),
        lambda: connector.get(["d1"]),
        lambda: list(connector.scan()),
        lambda: asyncio.run(ask_async(connector)),
        lambda: connect(middle),
    ]
    for ask in asks:
        with pytest.raises(RetrieveRerankError) as raised:
            ask()
        assert len(str(raised.value)) < LONGEST_MESSAGE


def test_a_bomb_is_not_unpacked_beyond_a_bound(middle: Middle) -> None:
    connector, answer = connect(middle), bomb(300)
    middle.spoil = lambda true: answer
    for ask in (
        lambda: connector.search("wing", top_k=3),
        lambda: asyncio.run(ask_async(connector)),
    ):
        with pytest.raises(LimitExceededError, match=r"more than 268,435,456 bytes; ask for fewer"):
            ask()


@pytest.mark.parametrize(
    ("before_", "after", "message"),
    [
        (b'"_score":', b'"_score":null,"was":', r"hits\.hits\[0\]\._score is null; expected a num"),
        (b'"_id":"d0"', b'"_id":7', r"hits\.hits\[\d\]\._id is 7; expected a text"),
        (b'"responses":', b'"answers":', "the answer has no responses"),
        (b'"responses":[', b'"responses":[{"hits":{"hits":[]}},', "has 3 parts; expected 2"),
    ],
)
def test_what_is_wrong_is_named_and_what_to_look_at(
    middle: Middle, before_: bytes, after: bytes, message: str
) -> None:
    with connect(middle) as connector:
        middle.spoil = lambda true: true._replace(body=true.body.replace(before_, after))
        with pytest.raises(UnsupportedServerError, match=f"{message}.*a login page stand before"):
            connector.search("wing", top_k=3)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
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
    asks: list[Callable[[], Any]] = [
        lambda: connector.search("wing", top_k=3),
        lambda: connector.get(["d1", "d2"]),
        connector.count,
        lambda: list(connector.scan()),
        connector.schema,
        lambda: asyncio.run(ask_async(connector)),
    ]
    for ask in asks:
        with refused():
            ask()


@contextmanager
def refused() -> Iterator[None]:
    with suppress(RetrieveRerankError):
        yield
