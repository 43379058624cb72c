"""A server with TLS and users: whom it lets in, and whom we let answer."""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.errors import (
    AuthenticationError,
    ConnectionFailedError,
    IndexNotFoundError,
    PermissionDeniedError,
    RetrieveRerankError,
)
from retrieve_rerank.testing import HashingEncoder
from tests.servers import Server, own_elasticsearch

READING: dict[str, Any] = {
    "indices": [{"names": ["docs"], "privileges": ["read", "view_index_metadata"]}]
}


@pytest.fixture(scope="module")
def secure() -> Iterator[Server]:
    """A server with an index `docs` of one document."""
    with own_elasticsearch("--secure") as server:
        with ElasticsearchConnector.create(
            server.address("docs"), encoder=HashingEncoder(), **credentials(server)
        ) as index:
            index.index([Document("a", "wing", {"lang": "en"})])
        yield server


def credentials(server: Server) -> dict[str, Any]:
    return {
        "username": server.username,
        "password": server.password,
        "ca_certs": Path(server.ca),
    }


def call(server: Server, path: str, body: Any) -> Any:
    request = urllib.request.Request(f"{server.url}{path}", json.dumps(body).encode())
    token = base64.b64encode(f"{server.username}:{server.password}".encode()).decode()
    request.add_header("Authorization", f"Basic {token}")
    request.add_header("Content-Type", "application/json")
    context = ssl.create_default_context(cafile=server.ca)
    with closing(urllib.request.urlopen(request, context=context, timeout=30)) as answer:
        return json.load(answer)


def api_key(server: Server, role: dict[str, Any], **more: Any) -> str:
    body = {"name": "test", "role_descriptors": {"test": role}, **more}
    return str(call(server, "/_security/api_key", body)["encoded"])


def found(server: Server, **options: Any) -> list[str]:
    options = {"encoder": HashingEncoder(), "ca_certs": Path(server.ca), **options}
    with ElasticsearchConnector.connect(server.address("docs"), **options) as index:
        hits = index.search("wing", top_k=5, filter={"lang": "en"})
        assert [each.id for each in index.scan()] == [hit.document.id for hit in hits]
        return [hit.document.id for hit in hits]


def test_the_authority_or_its_fingerprint_lets_us_trust_the_server(secure: Server) -> None:
    user = {"username": secure.username, "password": secure.password}
    assert found(secure, **user) == ["a"]
    colons = re.sub("(..)(?=.)", r"\1:", secure.fingerprint.upper())
    for fingerprint in (secure.fingerprint, colons):
        assert found(secure, ca_certs=None, fingerprint=fingerprint, **user) == ["a"]


async def test_async_searches_trust_as_sync_ones_do(secure: Server) -> None:
    user: dict[str, Any] = {"username": secure.username, "password": secure.password}
    trusts: list[dict[str, Any]] = [
        {"ca_certs": Path(secure.ca)},
        {"fingerprint": secure.fingerprint},
    ]
    for trust in trusts:
        index = ElasticsearchConnector.connect(
            secure.address("docs"), encoder=HashingEncoder(), **user, **trust
        )
        assert len(await index.asearch("wing", top_k=5)) == 1
        await index.aclose()


def test_a_server_that_is_not_trusted_is_not_talked_to(secure: Server) -> None:
    user = {"username": secure.username, "password": secure.password}
    with pytest.raises(ConnectionFailedError, match="no trust between here"):
        found(secure, ca_certs=None, **user)
    with pytest.raises(ConnectionFailedError, match=f"it shows: .*{secure.fingerprint}"):
        found(secure, ca_certs=None, fingerprint="0" * 64, **user)


def test_credentials_in_the_url_let_us_in(secure: Server) -> None:
    url = secure.address("docs").replace("://", f"://{secure.username}:{secure.password}@")
    options: dict[str, Any] = {"encoder": HashingEncoder(), "ca_certs": Path(secure.ca)}
    with ElasticsearchConnector.connect(url, **options) as index:
        schema = index.schema()
        assert schema.documents == 1
        assert secure.password not in repr((index, schema))


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "elastic", "password": "s3cret"},
        {"username": "nobody", "password": "s3cret"},
        {"api_key": base64.b64encode(b"id:s3cret").decode()},
        {"bearer_token": "s3cret"},
        {},
    ],
)
def test_wrong_credentials_are_refused_and_not_shown(secure: Server, wrong: dict[str, str]) -> None:
    with pytest.raises(AuthenticationError) as caught:
        found(secure, **wrong)
    for secret in ("s3cret", *wrong.values()):
        if secret not in ("elastic", "nobody"):
            assert secret not in str(caught.value)


def test_a_key_that_may_only_read_is_enough(secure: Server) -> None:
    key = api_key(secure, READING)
    assert found(secure, api_key=key) == ["a"]
    options: dict[str, Any] = {"ca_certs": Path(secure.ca), "api_key": key}
    with ElasticsearchConnector.connect(
        secure.address("docs"), encoder=HashingEncoder(), **options
    ) as index:
        schema = index.schema()
        assert schema.details["licence"] is None
        assert schema.notes == ["these credentials may not tell whether rr-tensors-docs is there"]
        with pytest.raises(PermissionDeniedError, match="unauthorized"):
            index.index([Document("b", "drag")])
        with pytest.raises(RetrieveRerankError, match="unauthorized"):
            index.delete(["a"])


@pytest.mark.parametrize("privileges", [["read"], ["view_index_metadata"]])
def test_a_key_that_may_do_too_little_is_told_what_it_needs(
    secure: Server, privileges: list[str]
) -> None:
    key = api_key(secure, {"indices": [{"names": ["docs"], "privileges": privileges}]})
    with pytest.raises(PermissionDeniedError, match="privileges read and view_index_metadata"):
        found(secure, api_key=key)


def test_a_key_that_has_expired_is_refused(secure: Server) -> None:
    key = api_key(secure, READING, expiration="1s")
    time.sleep(1.5)
    with pytest.raises(AuthenticationError, match="may have expired"):
        found(secure, api_key=key)


def test_a_misspelt_index_is_named_with_its_nearest_as_far_as_the_key_may_see(
    secure: Server,
) -> None:
    with pytest.raises(IndexNotFoundError, match=r"dosc.*docs"):
        ElasticsearchConnector.connect(secure.address("dosc"), **credentials(secure))
    key = api_key(secure, READING)
    with pytest.raises(RetrieveRerankError) as caught:
        ElasticsearchConnector.connect(
            secure.address("dosc"), api_key=key, ca_certs=Path(secure.ca)
        )
    assert isinstance(caught.value, IndexNotFoundError | PermissionDeniedError)
    assert "dosc" in str(caught.value)
    assert key not in str(caught.value)
