"""Real servers for tests: started at their first use, removed when the run ends.

They need Java and the scripts in ../shared/servers. `RR_TEST_ELASTICSEARCH_URL` names a server to
use in place of one of our own; what needs a server of its own (one to kill, say) starts it anyway.
All workers of a run share one server of each version.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "shared" / "servers" / "elasticsearch.py"

VERSIONS = ("9.5.0", "8.19.21")
NEWEST, OLDEST = VERSIONS

SHARED = "RR_TEST_SHARED_SERVERS"
"""The variable by which workers learn of the folder that tells of their servers."""


class Server(NamedTuple):
    """A running Elasticsearch."""

    url: str
    """http://127.0.0.1:port"""
    version: str
    dir: str = ""
    """What the script calls it by."""
    username: str = ""
    password: str = ""
    ca: str = ""
    fingerprint: str = ""

    def address(self, index: str) -> str:
        """As a connector takes it."""
        protocol, _, rest = self.url.partition("://")
        scheme = {"http": "elasticsearch", "https": "elasticsearch+https"}[protocol]
        return f"{scheme}://{rest}/{index}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request without our own code, and without credentials."""
        data = (
            None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        request = Request(f"{self.url}{path}", data=data, method=method)
        kind = "x-ndjson" if isinstance(body, bytes) else "json"
        request.add_header("Content-Type", f"application/{kind}")
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop(self, *, kill: bool = False) -> None:
        run_script("stop", self.dir, *(["--kill"] if kill else []))

    def restart(self) -> None:
        run_script("restart", self.dir)

    def remove(self) -> None:
        run_script("remove", self.dir, "--kill")


@cache
def elasticsearch(version: str = NEWEST) -> Server:
    """Return the server of a version that tests share; skip where there can be none."""
    url = os.environ.get("RR_TEST_ELASTICSEARCH_URL")
    if url:
        with urlopen(url, timeout=10) as answer:
            running = json.load(answer)["version"]["number"]
        if version != NEWEST and version.split(".")[0] != running.split(".")[0]:
            pytest.skip(f"RR_TEST_ELASTICSEARCH_URL is {running}, not {version}")
        return Server(url.rstrip("/"), running)
    folder = Path(os.environ[SHARED])
    with (folder / f"{version}.lock").open("w") as lock:  # another worker may be starting it
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = folder / f"{version}.json"
        if not started.exists():
            started.write_text(json.dumps(start("--version", version)._asdict()))
    return Server(**json.loads(started.read_text()))


def share_servers() -> None:
    """Let this process and the workers that it starts share servers, until `remove_servers`."""
    os.environ[SHARED] = tempfile.mkdtemp(prefix="rr-test-servers-")


def remove_servers() -> None:
    """Remove the servers that were started for all."""
    folder = Path(os.environ.pop(SHARED))
    for started in folder.glob("*.json"):
        Server(**json.loads(started.read_text())).remove()
    shutil.rmtree(folder)


@contextmanager
def own_elasticsearch(*flags: str) -> Iterator[Server]:
    """Start a server for one test alone."""
    server = start(*flags)
    try:
        yield server
    finally:
        server.remove()


def start(*flags: str) -> Server:
    """Start a server; skip where that is impossible, and fail in CI."""
    if not SCRIPT.exists():
        unavailable(f"needs {SCRIPT}")
    try:
        state = json.loads(run_script("start", *flags))
    except subprocess.CalledProcessError as exc:
        if "needs Java" in exc.stderr:
            unavailable(exc.stderr.strip())
        raise
    return Server(**{name: value for name, value in state.items() if name in Server._fields})


def unavailable(message: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def run_script(*arguments: str) -> str:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout


_made: list[tuple[Server, str]] = []


def fresh_index(server: Server) -> str:
    """Name an index that is not there yet; `delete_indexes` deletes it and `{name}-anything`."""
    name = f"rr-test-{uuid.uuid4().hex[:12]}"
    _made.append((server, name))
    return name


def delete_indexes() -> None:
    """Delete what has been made under the names of `fresh_index`."""
    while _made:
        server, name = _made.pop()
        for each in server.call("GET", f"/{name}*,rr-tensors-*{name}*/_alias"):
            server.call("DELETE", f"/{each}?ignore_unavailable=true")
