"""Uploading to the hub: what is sent, to whom it is shown, and what is said where it fails."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import constants

from retrieve_rerank.cli import main
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.settings.sources import load_settings
from tests.models.hub_server import HubServer, Response

TOKEN = "hf_a_token_that_nobody_may_see"


class Hub(HubServer):
    """Takes uploads as the hub does."""

    def __init__(self) -> None:
        self.private = {"owner/open": False}
        self.files: dict[str, bytes] = {}
        self.refuses = ""
        """What it says to whoever wants to write."""

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> Response:
        status, answer = self._answer(request, body)
        return Response(status, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        path = request.path.partition("?")[0]
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials in Authorization header"}
        if self.refuses:
            return 403, {"error": self.refuses}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            there = name in self.private
            self.private.setdefault(
                name, asked.get("private") or asked.get("visibility") == "private"
            )
            return (409 if there else 200), {"url": f"{self.url}/{name}", "id": name, "name": name}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        name = path.removeprefix("/api/models/")
        if name in self.private:
            return 200, {"id": name, "sha": "0" * 40, "private": self.private[name], "siblings": []}
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            return 200, {"files": modes}
        if path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return 200, {"commitUrl": f"{self.url}/owner/mine/commit/1", "commitOid": "1" * 40}
        return 404, {"error": f"nothing at {path}"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub().serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "*")
        yield server


@pytest.fixture
def version(tmp_path: Path, home: Path) -> Path:
    """A version of docs-reranker that is promoted, in a data directory of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "version.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "README.md").write_text("---\nlibrary_name: sentence-transformers\n---\n# Card\n")
    versions = ModelVersions(load_settings().data_dir, "docs-reranker")
    versions.promote(versions.add(folder))
    return versions.path(1)


def push(*arguments: str) -> Result:
    run = CliRunner().invoke(main, ["models", "push", *arguments])
    assert TOKEN not in run.output
    return run


def test_a_version_is_uploaded_whole_to_a_private_repository(hub: Hub, version: Path) -> None:
    run = push("docs-reranker", "owner/mine")
    assert run.exit_code == 0, run.output
    assert f"{hub.url}/owner/mine" in run.stdout
    assert hub.private["owner/mine"] is True
    assert hub.files == {file.name: file.read_bytes() for file in version.iterdir()}
    assert "README.md" in hub.files

    hub.files.clear()
    assert push("docs-reranker@1", "owner/mine").exit_code == 0  # again, where it is by now
    assert hub.files


def test_what_all_can_read_is_written_to_only_if_that_is_meant(hub: Hub, version: Path) -> None:
    run = push("docs-reranker", "owner/open")
    assert (run.exit_code, hub.files) == (1, {})
    assert "anyone can read owner/open" in run.stderr
    assert push("docs-reranker", "owner/open", "--public", "--json").exit_code == 0
    assert hub.files


def test_failures_say_what_to_do_and_never_the_token(
    hub: Hub, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.refuses = f"the token {TOKEN} may only read"
    run = push("docs-reranker", "owner/mine")
    assert run.exit_code == 1
    assert "may only read" in run.stderr
    assert "may the token of HF_TOKEN write there?" in run.stderr
    for repository in ("no such name", "a/b/c"):
        assert "cannot be a repository" in push("docs-reranker", repository).stderr
    assert "docs-reranker@1" in push("docs-reranker@7", "owner/mine").stderr
    assert "known: docs-reranker" in push("bge-m3", "owner/mine").stderr

    hub.server.shutdown()
    hub.server.server_close()
    assert "does not answer" in push("docs-reranker", "owner/mine").stderr
    monkeypatch.setenv("HF_TOKEN", " ")
    assert "set HF_TOKEN" in push("docs-reranker", "owner/mine").stderr
