"""What is said of an index that a server does not have, and of an address of another kind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank.connectors.missing import missing
from retrieve_rerank.errors import ConfigError, ConnectionFailedError, IndexNotFoundError
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings
from tests.servers import delete_indexes, elasticsearch, fresh_index

pytestmark = pytest.mark.usefixtures("home")


def test_elasticsearch_names_its_nearest_indexes_and_aliases() -> None:
    server = elasticsearch()
    name = fresh_index(server)
    alias = f"{name}-alias"
    server.call("PUT", f"/{name}", {"aliases": {alias: {}}})
    with pytest.raises(IndexNotFoundError) as caught:
        open_index(load_settings(index=server.address(f"{name}x")))
    assert f"near to it: '{name}', '{alias}'" in str(caught.value)
    with pytest.raises(IndexNotFoundError, match=alias):
        open_index(load_settings(index=server.address(f"{alias}es")))
    delete_indexes()


def test_qdrant_names_its_nearest_collections_and_aliases(home: Path) -> None:
    folder = home / "qdrant"
    client = QdrantClient(path=str(folder))
    client.create_collection(
        "handbook", models.VectorParams(size=2, distance=models.Distance.COSINE)
    )
    alias = models.CreateAlias(collection_name="handbook", alias_name="papers")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.close()
    for wrong, right in (("handbok", "handbook"), ("paper", "papers")):
        with pytest.raises(IndexNotFoundError) as caught:
            open_index(load_settings(index=f"qdrant+local://{folder}/{wrong}"))
        assert f"there is no index '{wrong}' at qdrant+local://" in str(caught.value)
        assert f"near to it: '{right}'. Make it: rr index SOURCE" in str(caught.value)


def test_where_none_is_near_some_are_named_and_what_may_not_be_listed_is_said() -> None:
    there = [f"logs-{n}" for n in range(7)]
    assert "the server has: 'logs-0'" in str(missing("qdrant://h/x", "x", there))
    assert str(missing("qdrant://h/x", "x", there)).endswith(" and 2 more")
    assert "the server does not tell this user" in str(missing("qdrant://h/x", "x", None))


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://localhost:9200/faq", "expected elasticsearch://localhost:9200/faq, or qdrant://"),
        ("https://es.example.com/faq", "expected elasticsearch+https://es.example.com/faq"),
        ("http://localhost:6333/faq", "expected qdrant://localhost:6333/faq"),
    ],
)
def test_an_address_of_the_web_is_told_which_it_may_be(url: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_index(load_settings(index=url))
    assert meant in str(caught.value)


@contextmanager
def plain_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["elasticsearch", "qdrant"])
def test_https_to_a_plain_port_is_named(scheme: str) -> None:
    with plain_server() as address, pytest.raises(ConnectionFailedError) as caught:
        open_index(load_settings(index=f"{scheme}+https://{address}/faq"))
    assert "does not speak https there" in str(caught.value)
    assert f"expected {scheme}://, without +https" in str(caught.value)


@pytest.mark.parametrize("scheme", ["elasticsearch", "qdrant"])
def test_a_server_that_hangs_up_on_http_may_want_https(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test is over
                    return
                connection.recv(1000)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/faq"
        with pytest.raises(ConnectionFailedError, match="if the server speaks https, expected"):
            open_index(load_settings(index=url))
