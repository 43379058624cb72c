"""`rr serve` as a process: started, stopped, and checked."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from retrieve_rerank.cli import main
from tests.commands import RR
from tests.server.conftest import SettingsOf


@pytest.fixture
def configured(
    home: Path, settings_in: SettingsOf, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with an index and an rr.toml, in which commands are run."""
    settings_in(home / "data")
    (home / "rr.toml").write_text(
        f'data_dir = "data"\nstages = []\n[server]\nport = 0\ndrain_s = 60\n[server.models]\n'
        f'tiny = "{model_folder}"\n'
    )
    monkeypatch.delenv("RR_DATA_DIR", raising=False)
    return home


def started() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([*RR, "serve"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"Serving at (http://\S+)", line):
            url = found[1]
            break
    else:
        raise AssertionError("it ended before it served")
    for _ in range(600):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        threading.Event().wait(0.1)
    raise AssertionError("not ready")


def test_sigterm_drops_no_request(configured: Path) -> None:
    process, url = started()
    address = urlsplit(url)
    body = json.dumps({"query": "wing", "documents": ["flutter"] * 50}).encode()
    head = "POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    slow = socket.create_connection((address.hostname or "", address.port or 0))
    slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
    statuses: list[int] = []
    told = threading.Event()

    def ask() -> None:
        """Go on until told to go elsewhere, as load balancers do."""
        with httpx.Client(timeout=30) as client:
            while not told.is_set():
                found = client.post(f"{url}/rerank", content=body, headers=JSON)
                statuses.append(found.status_code)
                if found.headers.get("connection") == "close":
                    told.set()

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    while len(statuses) < 10:
        threading.Event().wait(0.02)
    process.send_signal(signal.SIGTERM)
    assert told.wait(30)
    assert httpx.get(f"{url}/ready").status_code == 503
    assert httpx.get(f"{url}/health").status_code == 200
    for thread in asking:
        thread.join(60)
    process.send_signal(signal.SIGTERM)  # which ends the time in which others are still let in
    with pytest.raises(httpx.ConnectError):
        while True:
            httpx.get(f"{url}/health")
    slow.sendall(body[10:])  # a request that has begun is answered all the same
    assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    slow.close()
    assert process.wait(60) in (0, -signal.SIGTERM)
    assert set(statuses) == {200}
    assert process.stderr is not None
    with process.stderr as log:
        assert "Traceback" not in log.read()


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 0, "The settings can be served."),
        (["--index", "docs", "--model", "a=max-sim-model"], 1, "max-sim-model"),
        (["--host", "0.0.0.0"], 1, "keys are needed"),
        (["--model", "=x"], 1, "expected MODEL or NAME=MODEL"),
        (["--model", "x=a", "--model", "x=b"], 1, "x is given twice"),
        (["--port", "99999"], 2, "99999"),
        (["--index", "nowhere"], 1, "no index nowhere; known: docs"),
        (["--index", "./nowhere"], 1, "no index at"),
        (["--index", "docs", "--index", "docs"], 1, "index docs is given twice"),
        (["--index", "docs", "--index", "data/indexes/docs"], 1, "are the same folder"),
    ],
)
def test_check_says_what_cannot_be_served(
    configured: Path, arguments: list[str], code: int, said: str
) -> None:
    done = CliRunner().invoke(main, ["serve", "--check", *arguments])
    assert (done.exit_code, said in done.output) == (code, True), done.output


def test_check_looks_for_no_model_of_a_service_here(configured: Path) -> None:
    with (configured / "rr.toml").open("a") as settings:
        settings.write('llm = { reranker = "llm-pairwise", model = "openai:gpt-4o-mini" }\n')
    done = CliRunner().invoke(main, ["serve", "--check"])
    assert done.exit_code == 0, done.output


def test_check_finds_no_index_where_rr_toml_says(configured: Path) -> None:
    with (configured / "rr.toml").open("a") as file:
        file.write('[indexes.gone]\nurl = "./nowhere"\n')
    for arguments in (["--check"], []):  # said alike by the server itself
        done = subprocess.run([*RR, "serve", *arguments], capture_output=True, text=True)
        assert done.returncode == 1
        assert f"no index at {configured / 'nowhere'}" in done.stderr


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("prot = 3", "unknown key server.prot; did you mean port?"),
        ("port = '8000'", "server.port: expected a number, without quotes"),
        ("keys = 'gone.toml'", "cannot read the keys in"),
        ("models = { a = { reranker = 'cross-encodr' } }", "unknown reranker 'cross-encodr'"),
        ("root_path = 'x'", "expected a path that begins with /"),
    ],
)
def test_check_reads_the_table_in_rr_toml(configured: Path, written: str, said: str) -> None:
    Path("rr.toml").write_text(f'data_dir = "data"\n[server]\n{written}\n')
    done = CliRunner().invoke(main, ["serve", "--check"])
    assert done.exit_code == 1 and said in done.output, done.output
