"""The servers that are compared: how each is installed, started and stopped."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.serving.load import MeasurementError

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".cache" / "peers"
PORT = "PORT"
"""Stands in a command for the port."""
READY_S = 600.0
INFINITY = ("infinity_emb[torch,server]==0.0.78", "torch==2.13.0")


@dataclass(frozen=True)
class Contender:
    """A server, and how it is started."""

    name: str
    command: Sequence[str]
    folder: Path
    """In which it is started."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    process: psutil.Popen
    log: Path

    @property
    def rss_mb(self) -> float:
        """Memory of the process and its children."""
        all_of_it = [self.process, *self.process.children(recursive=True)]
        return float(sum(each.memory_info().rss for each in all_of_it)) / 2**20


def rr() -> str:
    """Return the program of this environment."""
    return str(Path(sys.executable).with_name("rr"))


def ours(
    name: str, model: Path | str, work: Path, *, threads: int, batched: bool = True
) -> Contender:
    """Describe `rr serve` of one model, which its rr.toml names."""
    folder = work / name.replace(" ", "-").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    told = f"model = {{ model = {json.dumps(str(model))}, threads = {threads} }}"
    toml = f'data_dir = "data"\n[server.models]\n{told}\n'
    (folder / "rr.toml").write_text(toml, encoding="utf-8")
    if batched:
        return Contender(name, [rr(), "serve", "--port", PORT], folder)
    command = [sys.executable, "-m", "benchmarks.serving.unbatched", PORT]
    return Contender(name, command, folder)


def infinity(model: Path, work: Path) -> Contender:
    """Describe infinity_emb with its torch engine, installed at its first use."""
    python = PEERS / "infinity" / "bin" / "python"
    if not (PEERS / "infinity" / "made").exists():
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(PEERS / "infinity")], check=True
        )
        install = [str(python), "-m", "pip", "install", "-q", "--find-links", "/opt/wheels"]
        subprocess.run([*install, *INFINITY], check=True, stdout=sys.stderr)
        (PEERS / "infinity" / "made").touch()
    command = [str(python.with_name("infinity_emb")), "v2", "--model-id", str(model)]
    command += ["--served-model-name", "model", "--engine", "torch", "--device", "cpu"]
    return Contender(
        "infinity_emb", [*command, "--no-model-warmup", "--host", "127.0.0.1", "--port", PORT], work
    )


def plain(model: Path, work: Path) -> Contender:
    """Describe FastAPI around sentence-transformers."""
    script = str(ROOT / "benchmarks" / "peers" / "rerank_server.py")
    name = "FastAPI + sentence-transformers"
    return Contender(name, [sys.executable, script, str(model), PORT], work)


def shown(contender: Contender) -> str:
    """Write the command as one types it in the repository."""
    words = [word.replace(f"{ROOT}/", "").replace(str(ROOT), ".") for word in contender.command]
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


@contextmanager
def serving(
    contender: Contender, body: str, *, threads: int, path: str = "/rerank"
) -> Iterator[Running]:
    """Start a server, wait until it answers `body`, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(ROOT),
    }
    log = contender.folder / "server.log"
    contender.folder.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        process = psutil.Popen(
            [port if word == PORT else word for word in contender.command],
            stdout=stream,
            stderr=stream,
            cwd=contender.folder,
            env={**os.environ, **told},
        )
    running = Running(f"http://127.0.0.1:{port}{path}", process, log)
    try:
        _until_answered(contender, running, body)
        yield running
    finally:
        with suppress(psutil.NoSuchProcess):  # which was stopped to see what it does then
            process.terminate()
        try:
            process.wait(60)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()


def _until_answered(contender: Contender, running: Running, body: str) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and running.process.poll() is None:
        try:
            found = httpx.post(
                running.url,
                content=body,
                headers={"Content-Type": "application/json"},
                timeout=READY_S,
            )
            if found.status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    end = running.log.read_text(encoding="utf-8")[-2000:]
    raise MeasurementError(f"{contender.name} does not serve; the end of its log:\n{end}")
