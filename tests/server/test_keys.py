"""Keys: who may ask, how often, and which documents each sees."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.server import app
from retrieve_rerank.server.gate import OPEN
from retrieve_rerank.server.keys import Keys
from retrieve_rerank.settings.build import create_index
from retrieve_rerank.types import Document
from tests.server.conftest import DOCUMENTS, Running, SettingsOf, running
from tests.server.tiny_scorer import make_scorer

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
    described = locked.client.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in described["paths"].items():
        for its in operations.values():
            assert its["security"] == ([] if path in OPEN else [{"key": []}])
    refused = locked.client.post("/search", json={}, headers={"Origin": "https://example.org"})
    assert refused.status_code == 401
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


def test_several_indexes_and_models_and_a_key_that_rotates_while_they_are_served(
    tmp_path: Path,
    settings_in: SettingsOf,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "WATCH_S", 0.1)
    file = tmp_path / "keys.toml"
    file.write_text(FILE)
    models = {"first": str(model_folder), "second": str(make_scorer(tmp_path / "made", seed=5))}
    settings = settings_in(tmp_path / "data", keys=str(file), models=models)
    notes = [Document("n", "A wing of the museum, for nobody in particular.")]
    with create_index(settings.model_copy(update={"index": "notes"}), encoder=None) as made:
        made.index(notes)
    with running(settings) as it:
        found = it.post("/search", {"query": "wing", "index": "notes"}, **bearer(ADMIN))
        assert [hit["id"] for hit in found.json()["hits"]] == ["n"]
        # An index that knows nothing of tenants has no documents for one.
        for wanted in (None, {"not": {"tenant": "b"}}):
            asked = {"query": "wing", "index": "notes", "filter": wanted}
            found = it.post("/search", asked, **bearer(OF_A))
            assert notes[0].text not in found.text and found.status_code < 500
        body = {"query": "wing flutter", "documents": ["bread is baked"], "raw_scores": True}
        scores = [
            it.post("/rerank", {**body, **named}, **bearer(OF_B)).json()["results"]
            for named in ({}, {"model": "first"}, {"model": "second"})
        ]
        assert scores[0] == scores[1] != scores[2]
        file.write_text(FILE.replace(OF_B, "b-key-that-is-new-0123"))
        for _ in range(600):
            if it.client.get("/v1/models", headers=bearer(OF_B)).status_code == 401:
                break
            time.sleep(0.05)
        assert it.client.get("/v1/models", headers=bearer(OF_B)).status_code == 401
        assert it.client.get("/v1/models", headers=bearer("b-key-that-is-new-0123")).is_success
        assert it.client.get("/v1/models", headers=bearer(ADMIN)).is_success


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[a]\nkey = "short"', "at least 16 characters"),
        ("[a]\nquota = 3", "expected key or sha256"),
        (f'[a]\nkey = "{ADMIN}"\nfilter = {{}}', "expected a field and its value"),
        (f'[a]\nkey = "{ADMIN}"\nfilters = {{}}', "a.filters: Extra inputs"),
        (f'a = "{ADMIN}"', "keys.toml: a"),
        ("", "holds no key"),
        (f'{FILE}\n[second]\nkey = "{OF_A}"', "tenant-a and second are the same key"),
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
