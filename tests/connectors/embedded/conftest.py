"""An index of which the engine makes a graph."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from tests.connectors.embedded.processes import ENCODER

COUNT = 7500  # a little above what the engine makes a graph for
WORDS = [f"word{i}" for i in range(500)]


def texts() -> Iterator[Document]:
    randomly = np.random.default_rng(4)
    for i in range(COUNT):
        yield Document(f"d{i}", " ".join(randomly.choice(WORDS, size=5)), {"i": i})


def copy_of(large: Path, to: Path) -> Path:
    """Copy the index; the engine's files are mostly holes, which only cp keeps as such."""
    subprocess.run(["cp", "-a", "--sparse=always", str(large), str(to)], check=True)
    return to


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index before its graph is made."""
    folder = tmp_path_factory.mktemp("optimizing") / "index"
    with EmbeddedConnector.create(folder, encoder=ENCODER) as connector:
        connector.index(texts())
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 340 MiB in memory, of which 256 are the reserve."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=340m", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a disk: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
