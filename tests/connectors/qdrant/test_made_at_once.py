"""Two processes that make one collection at once: the one that comes later goes on with it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from retrieve_rerank.cli import main, new_index
from retrieve_rerank.connectors.qdrant import QdrantConnector
from tests.connectors.qdrant.stub import Refused, Stub, serving


class Reserved(Stub):
    """Takes the name from the first who asks for it, and makes the collection later, if ever."""

    made_after_s: float | None = 0.3
    refused = False

    def handle(self, method: str, path: str, body: Any) -> Any:
        if (method, path) == ("PUT", "/collections/docs") and not self.refused:
            self.refused = True
            if self.made_after_s is not None:
                threading.Timer(self.made_after_s, self.make).start()
            raise Refused(400, "Wrong input: Collection `docs` already exists!")
        return super().handle(method, path, body)

    def make(self) -> None:
        with self.lock:
            QdrantConnector.create("qdrant+local:///docs", encoder=None, client=self.client)


@pytest.mark.parametrize("made_after_s", [0.3, None])
def test_the_later_of_two_goes_on_or_says_to_run_again(
    made_after_s: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_index, "_PAUSES_S", (0.1, 0.5, 0.1))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "a", "text": "the lift of a wing"}\n')
    stub = Reserved()
    stub.made_after_s = made_after_s
    with serving(stub):
        command = ["index", str(corpus), "--index", stub.url, "--encoder", "none"]
        done = CliRunner().invoke(main, command)
        if made_after_s is None:
            assert done.exit_code == 1
            assert "run the same again" in done.stderr
        else:
            assert done.exit_code == 0, done.output
            assert stub.client.count("docs").count == 1
