"""A real server in a thread, with an index of two tenants and a tiny cross-encoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from retrieve_rerank.server.app import Server
from retrieve_rerank.server.running import DrainingServer, bind, url_of
from retrieve_rerank.settings.build import create_index
from retrieve_rerank.settings.sources import Settings, settings_of
from retrieve_rerank.types import Document
from tests.server.tiny_scorer import make_scorer

DOCUMENTS = [
    Document("1", "Wing flutter was measured in a wind tunnel.", {"tenant": "a", "year": 1999}),
    Document("2", "Wing flutter of a delta wing in flight.", {"tenant": "b", "year": 2005}),
    Document("3", "The flutter of a heart valve.", {"tenant": "b", "year": 2021}),
    Document("4", "Bread is baked in an oven.", {"tenant": "a", "year": 2021}),
]


class Running:
    """A server that listens, and a client of it."""

    def __init__(self, server: Server, url: str) -> None:
        self.server = server
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=30)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def until_ready(self) -> None:
        for _ in range(600):
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx.ConnectError:  # its address is taken before it listens there
                pass
            time.sleep(0.05)
        raise AssertionError("not ready within 30 s")


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    listening = bind(settings.server)
    server = Server(settings)
    listener = DrainingServer(server)
    thread = threading.Thread(target=listener.run, kwargs={"sockets": [listening]})
    thread.start()
    it = Running(server, url_of(listening))
    try:
        it.until_ready()
        yield it
    finally:
        listener.should_exit = True
        thread.join(30)
        it.client.close()
        listening.close()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scorer(tmp_path_factory.mktemp("tiny") / "model")


SettingsOf = Callable[..., Settings]


@pytest.fixture(scope="session")
def settings_in(model_folder: Path) -> SettingsOf:
    """Make the settings of a server over a fresh index in a folder."""

    def make(folder: Path, **server: Any) -> Settings:
        told = {"port": 0, "models": {"tiny": str(model_folder)}, **server}
        settings = settings_of(
            {"data_dir": folder, "server": told, "stages": []}, config=None, caller="test"
        )
        if not (folder / "indexes").exists():
            made = create_index(settings.model_copy(update={"index": "docs"}), encoder=None)
            with made:
                made.index(DOCUMENTS)
        return settings

    return make


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, settings_in: SettingsOf) -> Iterator[Running]:
    with running(settings_in(tmp_path_factory.mktemp("data"))) as it:
        yield it
