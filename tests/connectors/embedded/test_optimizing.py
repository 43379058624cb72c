"""The graph: made in another process, which may be interrupted or killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.errors import DeadlineExceededError, IndexCorruptError
from tests.connectors.embedded.conftest import COUNT, WORDS, copy_of, texts
from tests.connectors.embedded.processes import ENCODER, start, wait_for


@pytest.fixture
def folder(large: Path, tmp_path: Path) -> Path:
    return copy_of(large, tmp_path / "index")


def assert_nothing_lost(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder), lock_timeout_s=20) as connector:
        found = list(connector.scan())
        assert len(found) == connector.count() == COUNT
        assert {document.id: document for document in found} == {each.id: each for each in texts()}


def test_the_graph_is_made_once_and_finds_what_exact_search_finds(folder: Path) -> None:
    queries = [" ".join(np.random.default_rng(seed).choice(WORDS, size=4)) for seed in range(20)]
    dense = Fusion(weights={"bm25": 0.0})
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER, fusion=dense) as connector:
        assert connector.needs_optimizing()
        assert connector.schema().details["indexed_vectors"] == COUNT  # those of BM25
        exact = [connector.search(query, top_k=10) for query in queries]
        heard: list[float] = []
        assert connector.optimize(on_progress=heard.append)
        assert heard
        assert heard == sorted(heard)
        assert not connector.needs_optimizing()
        assert connector.schema().details["indexed_vectors"] == 3 * COUNT
        by_graph = [connector.search(query, top_k=10) for query in queries]
        assert not connector.optimize()
    same = [
        len({hit.document.id for hit in one} & {hit.document.id for hit in other})
        for one, other in zip(exact, by_graph, strict=True)
    ]
    assert np.mean(same) >= 9.5
    assert_nothing_lost(folder)


def test_documents_that_take_the_place_of_others_are_seen_to_be_outside_the_graph(
    folder: Path,
) -> None:
    others = [Document(each.id, f"{each.text} again") for each in texts()]
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.optimize()
        connector.index(others[: COUNT // 2])
        assert connector.graph().walked
        assert not connector.needs_optimizing()  # they are too few for a graph of their own
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.index(others)
        assert not connector.graph().walked
        assert connector.needs_optimizing()
        assert connector.optimize()
        assert connector.graph().walked
        assert not connector.needs_optimizing()
        connector.delete([each.id for each in others[: COUNT // 10]])
        assert connector.graph().walked
        assert not connector.needs_optimizing()


def test_damage_to_an_optimized_index_is_noticed_before_it_is_opened(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        assert connector.optimize()
    shard = folder / "shard"
    [graph] = (file for file in shard.rglob("links*.bin") if "dense" in str(file))
    [largest] = sorted(shard.rglob("*.dat"), key=lambda file: file.stat().st_size)[-1:]
    for file in (graph, largest):
        content = file.read_bytes()
        for damaged in (None, content[: len(content) // 2], content[:-4] + b"\x55" * 4):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            with pytest.raises(IndexCorruptError, match=file.name):
                EmbeddedConnector.connect(str(folder))
        file.write_bytes(content)
    assert_nothing_lost(folder)


def test_a_small_index_needs_no_graph(tmp_path: Path) -> None:
    with EmbeddedConnector.create(tmp_path / "index", encoder=ENCODER) as connector:
        connector.index([Document("d", "text")])
        assert not connector.needs_optimizing()
        assert not connector.optimize()
        assert connector.search("text", top_k=1)
    with EmbeddedConnector.create(tmp_path / "lexical", encoder=None) as connector:
        assert not connector.needs_optimizing()


def test_searches_wait_while_the_graph_is_made(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        working, go_on = threading.Event(), threading.Event()

        def hold(seconds: float) -> None:
            working.set()
            assert go_on.wait(60)

        optimizing = threading.Thread(target=connector.optimize, kwargs={"on_progress": hold})
        optimizing.start()
        assert working.wait(60)
        with pytest.raises(DeadlineExceededError):
            connector.search("word1 word2", top_k=5, timeout_s=0.05)
        go_on.set()
        assert connector.search("word1 word2", top_k=5)
        assert connector.count() == COUNT
        optimizing.join()
        assert connector.schema().details["indexed_vectors"] == 3 * COUNT


def test_documents_written_after_optimizing_are_found_and_replaced(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.optimize()
        connector.index([Document("new", "zebra"), Document("d7", "giraffe")])
        assert connector.count() == COUNT + 1
        assert connector.search("zebra", top_k=1)[0].document.id == "new"
        assert connector.search("giraffe", top_k=1)[0].document == Document("d7", "giraffe")
        assert connector.delete(["d8"]) == 1
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        assert connector.count() == COUNT
        assert connector.get(["d7", "d8", "d9"]) == [
            Document("d7", "giraffe"),
            next(document for document in texts() if document.id == "d9"),
        ]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "child"])
def test_optimizing_killed_at_random_moments_loses_nothing(folder: Path, victim: str) -> None:
    with start("optimize", folder) as process:
        wait_for(process, "working")
        time.sleep(random.Random(victim).uniform(0, 1.5))
        children = psutil.Process(process.pid).children()
        if victim == "parent":
            process.kill()
        else:
            for child in children:
                child.kill()
        said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said
    # A child that was done before the signal came leaves its last word instead.
    if victim == "child" and children and "True" not in said:
        assert "ended by signal 9; the index is as it was" in said
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive  # it dies with its parent
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER, lock_timeout_s=20) as connector:
        connector.optimize()
        assert connector.schema().details["indexed_vectors"] == 3 * COUNT
    assert_nothing_lost(folder)


def test_ctrl_c_while_optimizing_leaves_a_usable_index(folder: Path) -> None:
    with start("optimize", folder) as process:
        wait_for(process, "working")
        children = psutil.Process(process.pid).children()
        assert children
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert_nothing_lost(folder)
