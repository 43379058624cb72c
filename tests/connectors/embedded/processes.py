"""Index in processes of their own, which tests wait for, stop or kill.

Run as a program, does what its first argument says to the index at its second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from retrieve_rerank import Document
from retrieve_rerank.base import Encoding
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.models.encoders.pooling import unit_rows
from retrieve_rerank.testing import HashingEncoder

ROOT = Path(__file__).parents[3]
ENCODER = HashingEncoder(384, max_tokens=8)


class ProjectingEncoder(HashingEncoder):
    """Gives ENCODER's vectors, and the first so many numbers of its tokens'."""

    def __init__(self, kept: int = 64) -> None:
        super().__init__(384, max_tokens=8)
        self.kept = kept
        self.vectors_of = ENCODER.fingerprint

    @property
    def fingerprint(self) -> str:
        return f"{ENCODER.fingerprint}-{self.kept}"

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        whole = super().encode_queries(texts)
        return [its._replace(tokens=unit_rows(its.tokens[:, : self.kept])) for its in whole]


def start(task: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that does a task; what it says comes line by line."""
    command = [sys.executable, "-m", "tests.connectors.embedded.processes", task, str(folder)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that a signal can be sent to it and its children alone
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read what a process says until it says `line`."""
    assert process.stdout is not None
    heard = []
    for said in process.stdout:
        if said.strip() == line:
            return
        heard.append(said)
    raise AssertionError(f"expected {line!r}, heard {''.join(heard)!r}")


def documents(count: int, *, version: int = 1) -> list[Document]:
    """Make documents whose texts and metadata can be told apart by id and version."""
    return [
        Document(f"d{i}", f"wing number {i} version {version}", {"i": i, "version": version})
        for i in range(count)
    ]


def say(line: object) -> None:
    """Say something at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _slowly(given: list[Document]) -> Iterator[Document]:
    for number, document in enumerate(given):
        if number % 256 == 0:
            time.sleep(0.02)
        yield document


def _kill_before_change(number: int, folder: str) -> None:
    """Have this process kill itself before its n-th change to what is in the folder, from 0."""
    changes = 0

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes
        writes = event == "open" and isinstance(arguments[1], str) and arguments[1] != "r"
        changed = writes or event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
        if changed and folder in str(arguments[0]):
            if changes == number:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1

    sys.addaudithook(hear)


def recreate(folder: str, count: int, version: int) -> None:
    """Make an index anew."""
    with EmbeddedConnector.recreate(folder, encoder=None) as connector:
        done = 0

        def report(more: int) -> None:
            nonlocal done
            done += more
            say(f"done {done}")

        connector.index(_slowly(documents(count, version=version)), on_progress=report)
        connector.activate()
        say("activated")


def recreate_killed(folder: str, count: int, version: int) -> None:
    """Make copies of an index anew, in a forked process each, killed before one change more."""
    for changes in range(1000):
        copy = f"{folder}-{changes}"
        subprocess.run(["cp", "-a", "--sparse=always", folder, copy], check=True)
        child = os.fork()
        if child == 0:
            _kill_before_change(changes, copy)
            recreate(copy, count, version)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say(f"{copy} {os.waitstatus_to_exitcode(status)}")
        if status == 0:
            return


def refresh(folder: str) -> None:
    """Make the token tensors of an index anew, and stop when the first are written."""

    def report(more: int) -> None:
        say("some are written")
        time.sleep(60)

    EmbeddedConnector.refresh_tensors(folder, ProjectingEncoder(), on_progress=report)


def main(task: str, folder: str, *arguments: str) -> None:
    """Do a task."""
    if task == "refresh":
        refresh(folder)
        return
    if task in ("recreate", "recreate_killed"):
        work = recreate if task == "recreate" else recreate_killed
        work(folder, *map(int, arguments))
        return
    with EmbeddedConnector.connect(folder, encoder=ENCODER) as connector:
        match task:
            case "search":
                say(connector.search(arguments[0], top_k=1)[0].document.id)
            case "hold":
                say("open")
                time.sleep(float(arguments[0]))
            case "fork":
                child = os.fork()
                if child == 0:
                    os.closerange(1, 3)  # whoever reads what is said here waits for no child
                    time.sleep(60)
                    os._exit(0)
                say(child)
                os.kill(os.getpid(), signal.SIGKILL)
            case "index":
                count, version = map(int, arguments)
                say("open")
                done = 0

                def report(more: int) -> None:
                    nonlocal done
                    done += more
                    say(f"done {done}")

                connector.index(_slowly(documents(count, version=version)), on_progress=report)
                say("finished")
            case "optimize":
                say("open")
                say(connector.optimize(on_progress=lambda _: say("working")))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # see tests/commands.py
    try:
        main(*sys.argv[1:])
    except RetrieveRerankError as exc:
        say(f"{type(exc).__name__}: {exc}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
