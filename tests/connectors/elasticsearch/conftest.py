"""Real servers of both releases, and indexes on them that others might have made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.servers import VERSIONS, Server, delete_indexes, elasticsearch, fresh_index

Fill = Callable[..., str]


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each release."""
    yield elasticsearch(request.param)
    delete_indexes()


@pytest.fixture
def fill(server: Server) -> Fill:
    """Make an index of documents and return its address."""

    def fill(
        mappings: Mapping[str, Any] | None = None,
        documents: Sequence[Mapping[str, Any]] = (),
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        name = fresh_index(server)
        body = {"mappings": mappings or {}, "settings": settings or {}}
        server.call("PUT", f"/{name}", body)
        write(server, name, documents)
        return server.address(name)

    return fill


def write(server: Server, name: str, documents: Sequence[Mapping[str, Any]]) -> None:
    """Write documents, whose `_id` is taken out of them, and have searches see them."""
    lines = []
    for number, document in enumerate(documents):
        source = dict(document)
        lines.append({"index": {"_id": source.pop("_id", f"d{number}")}})
        lines.append(source)
    if lines:
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        answer = server.call("POST", f"/{name}/_bulk?refresh=true", data)
        assert not answer["errors"], answer
