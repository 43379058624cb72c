"""Keys: who may ask, how often, and which documents each sees."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.server.gate import OPEN
from retrieve_rerank.server.keys import Keys
from tests.server.conftest import DOCUMENTS, Running, SettingsOf, running

ADMIN, OF_A, OF_B = "admin-key-0123456789", "a-key-0123456789abc", "b-key-0123456789abc"
FILE = f"""
[admin]
key = "{ADMIN}"

[tenant-a]
sha256 = "{hashlib.sha256(OF_A.encode()).hexdigest()}"
filter = {{ tenant = "a" }}

[tenant-b]
key = "{OF_B}"
filter = {{ tenant = "b", year = {{ gte = 2010 }} }}
quota = 100
"""
OF_TENANT = {OF_A: {"1", "4"}, OF_B: {"3"}}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(FILE)
    return file


@pytest.fixture(scope="module")
def locked(
    keys_file: Path, tmp_path_factory: pytest.TempPathFactory, settings_in: SettingsOf
) -> Iterator[Running]:
    with running(settings_in(tmp_path_factory.mktemp("data"), keys=str(keys_file))) as it:
        yield it


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def bodies() -> list[Any]:
    """What might make some endpoint return documents."""
    hidden: list[Any] = [None, {}, {"or": [{"tenant": "a"}, {"tenant": "b"}]}]
    hidden += [{"not": {"tenant": "none"}}, {"tenant": ["a", "b"]}, {"and": [{"tenant": "b"}]}]
    searches = [{"query": "wing flutter bread heart", "filter": each} for each in hidden]
    return [*searches, {"query": "wing", "texts": ["x"]}, {"query": "wing", "documents": ["x"]}]


@pytest.mark.parametrize("key", [OF_A, OF_B])
def test_a_tenant_sees_its_own_documents_at_every_route(locked: Running, key: str) -> None:
    others = [each for each in DOCUMENTS if each.id not in OF_TENANT[key]]
    seen: set[str] = set()
    for route in locked.server.routes.routes:
        path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or set()
        for method in methods:
            for body in bodies() if method == "POST" else [None]:
                answer = locked.client.request(method, path, json=body, headers=bearer(key))
                assert answer.status_code < 500
                for document in others:
                    assert document.text not in answer.text, f"{method} {path} {body}"
                if path == "/search" and answer.is_success:
                    seen |= {hit["id"] for hit in answer.json()["hits"]}
    assert seen == OF_TENANT[key]


def test_every_route_but_those_that_are_open_needs_a_key(locked: Running) -> None:
    routes = [route for route in locked.server.routes.routes if isinstance(route, APIRoute)]
    assert len(routes) > 10
    for route in routes:
        for method in route.methods or ():
            for headers in (
                {},
                bearer("wrong-key-0123456789"),
                {"Authorization": f"Basic {ADMIN}"},
            ):
                answer = locked.client.request(method, route.path, json={}, headers=headers)
                assert (answer.status_code == 401) == (route.path not in OPEN), route.path
    refused = locked.client.post("/search", json={})
    assert refused.headers["www-authenticate"] == "Bearer"
    assert locked.client.get("/no/such/path").status_code == 401


def test_a_quota_refills_evenly(tmp_path: Path, settings_in: SettingsOf) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[few]\nkey = "{ADMIN}"\nquota = 2\n')
    with running(settings_in(tmp_path / "data", keys=str(file))) as it:
        statuses = [it.client.get("/v1/models", headers=bearer(ADMIN)) for _ in range(3)]
    assert [each.status_code for each in statuses] == [200, 200, 429]
    assert 1 <= int(statuses[-1].headers["retry-after"]) <= 30


def test_keys_rotate_when_their_file_changes(
    keys_file: Path, tmp_path: Path, settings_in: SettingsOf
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(FILE)
    keys = Keys(settings_in(tmp_path / "data", keys=str(file)).server)
    before = keys.find(f"Bearer {OF_B}")
    file.write_text(FILE.replace(ADMIN, "admin-key-new-one-0123"))
    keys.refresh()
    assert keys.find("Bearer admin-key-new-one-0123").name == "admin"
    assert keys.find(f"bearer {OF_B}") is before  # with what it has used of its quota
    with pytest.raises(Exception, match="valid key"):
        keys.find(f"Bearer {ADMIN}")
    file.write_text("[broken")
    keys.refresh()
    assert keys.find("Bearer admin-key-new-one-0123").name == "admin"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[a]\nkey = "short"', "at least 16 characters"),
        ("[a]\nquota = 3", "expected key or sha256"),
        (f'[a]\nkey = "{ADMIN}"\nfilter = {{}}', "expected a field and its value"),
        (f'[a]\nkey = "{ADMIN}"\nfilters = {{}}', "a.filters: Extra inputs"),
        (f'a = "{ADMIN}"', "keys.toml: a"),
        ("", "holds no key"),
    ],
)
def test_wrong_keys_are_told_of_without_the_secret(
    tmp_path: Path, settings_in: SettingsOf, written: str, said: str
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(written)
    with pytest.raises(ConfigError, match=said) as caught:
        Keys(settings_in(tmp_path / "data", keys=str(file)).server)
    assert ADMIN not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
def test_other_hosts_need_keys(tmp_path: Path, settings_in: SettingsOf, host: str) -> None:
    with pytest.raises(ConfigError, match="keys are needed"):
        Keys(settings_in(tmp_path, host=host).server)
    assert Keys(settings_in(tmp_path, host=host, key=f"{ADMIN}, {OF_A}").server).needed
    assert not Keys(settings_in(tmp_path, host="::1").server).needed
