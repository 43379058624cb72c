"""A backend that goes away and comes back, without a restart of the server."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.settings.sources import settings_of
from retrieve_rerank.types import Document
from tests.connectors.qdrant.stub import Stub
from tests.connectors.qdrant.stub import serving as stub_serving
from tests.outages import relaying
from tests.server.conftest import running


def test_a_backend_that_goes_away_and_comes_back_needs_no_restart(
    tmp_path: Path, model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stub_serving(Stub()) as stub, relaying(urlsplit(stub.url).port or 0) as relay:
        url = f"qdrant://127.0.0.1:{relay.port}/docs"
        with QdrantConnector.create(url, encoder=None) as made:
            made.index([Document("1", "Wing flutter."), Document("2", "Bread is baked.")])
        given = {
            "data_dir": tmp_path,
            "stages": [],
            "indexes": {"docs": {"url": url}},
            "server": {"port": 0, "models": {"tiny": str(model_folder)}},
        }
        with running(settings_of(given, config=None, caller="test")) as it:
            assert it.post("/search", {"query": "flutter"}).json()["hits"][0]["id"] == "1"
            relay.down()
            away = it.post("/search", {"query": "flutter", "deadline_s": 2})
            assert away.status_code in (408, 503)
            assert "127.0.0.1" not in away.text  # where it is, is not the sender's to know
            told = [getattr(record, "facts", {}).get("request_id") for record in caplog.records]
            assert away.status_code == 408 or away.headers["x-request-id"] in told
            assert it.post("/rerank", {"query": "q", "documents": ["x"]}).status_code == 200
            relay.up()
            assert it.post("/search", {"query": "flutter"}).json()["hits"][0]["id"] == "1"
