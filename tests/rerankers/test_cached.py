"""Scores computed once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank import Document, Hit, Retriever, TextScores, rank
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError, ScoreError
from retrieve_rerank.pipeline.cascade import Cascade
from retrieve_rerank.rerankers.cached import Cached, Known, ScoreCache
from retrieve_rerank.testing import OverlapScorer


class Counting(OverlapScorer):
    """Knows how many texts it has scored; cuts each of them."""

    def __init__(self, fingerprint: str = "v1") -> None:
        self.scored = 0
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.scored += len(texts)
        return super().score(query, texts)

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        return TextScores(self.score(query, texts), [True] * len(texts))


@pytest.fixture(params=["memory", "file"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> ScoreCache:
    return ScoreCache(tmp_path / "new" / "scores.db" if request.param == "file" else None)


def hits(*texts: str) -> list[Hit]:
    return rank((Document(f"{n} {text}", text), -float(n)) for n, text in enumerate(texts))


def test_each_text_is_scored_once_for_each_query(cache: ScoreCache) -> None:
    scorer = Counting()
    cached = Cached(scorer, cache)
    assert cached.score("wing lift", ["wing", "lift wing", "wing"]) == [1.0, 2.0, 1.0]
    assert scorer.scored == 2
    assert cached.score("wing lift", ["lift wing", "drag"]) == [2.0, 0.0]
    assert scorer.scored == 3
    assert cached.score("lift", ["lift wing"]) == [1.0]
    assert scorer.scored == 4


def test_results_say_what_came_from_the_cache(cache: ScoreCache) -> None:
    cached = Cached(Counting(), cache)
    given = hits("wing", "lift wing")
    first = cached.rerank("wing lift", given)
    assert (first.cache_hits, first.truncated) == (0, 2)
    more = hits("drag", "wing", "lift wing", "lift wing")
    second = cached.rerank("wing lift", more)
    assert (second.cache_hits, second.truncated) == (3, 4)
    assert [hit.score for hit in second.hits] == [2.0, 2.0, 1.0, 0.0]
    assert [hit.previous for hit in second.hits] == [more[2], more[3], more[1], more[0]]


class CutsLong(Counting):
    """Reads one word of a text, and two of a query."""

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        cuts = [" " in text for text in texts]
        return TextScores(self.score(query, texts), cuts, len(query.split()) > 2)


def test_what_was_cut_is_kept_with_the_score(cache: ScoreCache) -> None:
    cached = Cached(CutsLong(), cache)
    texts = ["wing", "lift wing", "drag wing"]
    for _ in range(2):
        told = cached.score_texts("wing lift drag", texts)
        assert (told.truncated, told.query_truncated) == ([False, True, True], True)
    assert not cached.score_texts("wing", texts).query_truncated


def test_scores_of_which_that_is_not_known_are_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    Cached(CutsLong(), ScoreCache(path)).score("wing", ["lift wing"])
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE scores SET text_cut = NULL")  # as earlier versions wrote them
        file.commit()
    scorer = CutsLong()
    cached = Cached(scorer, ScoreCache(path))
    assert [cached.rerank("wing", hits("lift wing")).truncated for _ in range(2)] == [1, 1]
    assert scorer.scored == 1


def test_a_score_that_is_no_number_is_not_kept(cache: ScoreCache) -> None:
    class Wavering(Counting):
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            scores = super().score(query, texts)
            return scores if self.scored > len(texts) else [math.nan] * len(texts)

    cached = Cached(Wavering(), cache)
    with pytest.raises(ScoreError, match="overlap gave NaN for a text"):
        cached.score("wing", ["lift wing"])
    assert cached.score("wing", ["lift wing"]) == [1.0]
    assert cache.problem is None


def test_a_file_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE scores (key BLOB PRIMARY KEY, score REAL NOT NULL)")
        file.execute("INSERT INTO scores VALUES (?, 0.5)", [b"old"])
        file.commit()
    assert ScoreCache(path).find([b"old"]) == {b"old": Known(0.5)}
    cached = Cached(CutsLong(), ScoreCache(path))
    assert [cached.rerank("wing", hits("lift wing")).truncated for _ in range(2)] == [1, 1]


async def test_async_calls_use_the_cache_too(cache: ScoreCache) -> None:
    cached = Cached(Counting(), cache)
    found = [await cached.arerank("wing lift", hits("wing", "lift wing")) for _ in range(2)]
    assert [each.cache_hits for each in found] == [0, 2]
    assert found[0].hits == found[1].hits


def test_a_changed_model_is_asked_anew(cache: ScoreCache) -> None:
    Cached(Counting("v1"), cache).score("wing", ["wing"])
    changed = Counting("v2")
    Cached(changed, cache).score("wing", ["wing"])
    assert changed.scored == 1


def test_query_and_text_do_not_run_together(cache: ScoreCache) -> None:
    scorer = Counting()
    cached = Cached(scorer, cache)
    cached.score("ab", ["c"])
    cached.score("a", ["bc"])
    assert scorer.scored == 2
    assert cached.score("\ud800", ["lone surrogate"]) == [0.0]
    with pytest.raises(InputError, match="expected a text; got None"):
        cached.score("a", [None])  # type: ignore[list-item]


def test_a_file_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_fill, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    scorer = Counting()
    assert Cached(scorer, ScoreCache(path)).score("wing lift", ["wing", "lift"]) == [1.0, 1.0]
    assert scorer.scored == 0
    assert b"wing" not in path.read_bytes()


def _fill(path: Path) -> None:
    Cached(Counting(), ScoreCache(path)).score("wing lift", ["wing", "lift"])


def test_numbers_of_numpy_outlive_the_process_too(tmp_path: Path) -> None:
    class Singles(Counting):
        def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
            scores = np.array(self.score(query, texts), dtype=np.float32)
            return TextScores(list(scores), list(scores > 0))

    path = tmp_path / "scores.db"
    for _ in range(2):
        told = Cached(Singles(), ScoreCache(path)).score_texts("wing", ["wing", "lift"])
        assert (told.scores, told.truncated) == ([1.0, 0.0], [True, False])
    assert told.cache_hits == 2


def test_a_score_whose_bytes_were_kept_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    Cached(Counting(), ScoreCache(path)).score("wing", ["wing"])
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE scores SET score = ?", [np.float32(1.0).tobytes()])
        file.commit()
    scorer = Counting()
    for _ in range(2):
        assert Cached(scorer, ScoreCache(path)).score("wing", ["wing"]) == [1.0]
    assert scorer.scored == 1


def test_both_kinds_are_bounded(tmp_path: Path) -> None:
    for path in (None, tmp_path / "scores.db"):
        cache = ScoreCache(path, entries=10)
        keys = [bytes([n]) * 16 for n in range(25)]
        for key in keys:
            cache.keep({key: Known(1.0)})
        found = cache.find(keys)
        assert keys[-1] in found
        assert keys[0] not in found
        assert len(found) <= 10


def test_scores_that_are_kept_again_push_no_other_out(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "scores.db", entries=10)
    keys = [bytes([n]) * 16 for n in range(10)]
    for _ in range(3):
        cache.keep(dict.fromkeys(keys, Known(1.0)))
    assert len(ScoreCache(tmp_path / "scores.db").find(keys)) == 10


def test_many_keys_are_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    scores = {n.to_bytes(16, "little"): Known(float(n), n % 2 == 0, False) for n in range(40_000)}
    ScoreCache(path).keep(scores)
    assert ScoreCache(path).find(list(scores)) == scores


def test_threads_share_a_cache(cache: ScoreCache) -> None:
    cached = Cached(Counting(), cache)
    texts = [f"wing number {n}" for n in range(50)]
    answers: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(cached.score("wing", texts)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[1.0] * 50] * 16


def test_a_pipeline_reports_cache_hits(cache: ScoreCache) -> None:
    connector = MemoryConnector([Document(str(n), f"wing number {n}") for n in range(5)])
    retriever = Retriever(connector, Cached(Counting(), cache))
    assert [retriever.search("wing").stages[1].cache_hits for _ in range(2)] == [0, 5]


@pytest.mark.parametrize("where", ["text", "text/scores.db", "."])
def test_a_file_that_cannot_be_opened_is_done_without(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text").write_text("not a database " * 100)
    path = tmp_path / where
    cached = Cached(Counting(), ScoreCache(path))
    [record] = caplog.records
    assert record.getMessage().startswith(f"scores are not kept in {path}: ")
    assert "they are kept in memory until this process ends" in record.getMessage()
    assert_serves(cached, note=f"scores are not kept in {path}: ")
    assert len(caplog.records) == 1


def test_a_file_that_is_broken_inside_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scores.db"
    keys = [n.to_bytes(16, "little") for n in range(2000)]
    filled = ScoreCache(path)
    filled.keep(dict.fromkeys(keys, Known(1.0)))
    del filled
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + b"\xa5" * (len(pages) - 4096))
    cache = ScoreCache(path)
    assert_serves(Cached(Counting(), cache), note=f"scores are not kept in {path}: ")
    assert cache.find(keys) == {}
    assert len(caplog.records) == 1


def test_a_file_that_another_process_locks_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("retrieve_rerank.rerankers.cached._BUSY_S", 0.05)
    path = tmp_path / "scores.db"
    cached = Cached(Counting(), ScoreCache(path))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert cached.score("lift", ["lift"]) == [1.0]
        [record] = caplog.records
        assert "database is locked" in record.getMessage()
        assert_serves(cached, note="database is locked")
        assert_serves(Cached(Counting(), ScoreCache(path)), note="database is locked")
    assert len(caplog.records) == 2, "once for each cache"


async def test_a_locked_file_holds_up_neither_the_event_loop_nor_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.rerankers.cached._BUSY_S", 0.5)
    path = tmp_path / "scores.db"
    cascade = Cascade(Cached(Counting(), ScoreCache(path)))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        searching = asyncio.create_task(cascade.arerank("lift", hits("lift"), deadline_s=0.2))
        turns = 0
        while not searching.done():
            await asyncio.sleep(0.01)
            turns += 1
    assert turns > 1
    result = await searching
    assert "no time left within the deadline" in str(result.stages[0].error)


def assert_serves(cached: Cached, *, note: str) -> None:
    """Scores, remembers in memory, and says what is amiss."""
    assert cached.score("wing lift", ["wing", "lift wing"]) == [1.0, 2.0]
    cached.rerank("wing lift", hits("wing", "lift wing"))
    found = cached.rerank("wing lift", hits("wing", "lift wing"))
    assert found.cache_hits == 2
    assert len([each for each in found.notes if note in each]) == 1


def test_what_cannot_be_cached_is_an_error() -> None:
    with pytest.raises(ConfigError, match="overlap cannot be cached: it has no fingerprint"):
        Cached(OverlapScorer(), ScoreCache())
    relative = Counting()
    relative.pointwise = False
    with pytest.raises(ConfigError, match="depend on which texts are scored together"):
        Cached(relative, ScoreCache())
    with pytest.raises(InputError, match="entries must be at least 1"):
        ScoreCache(entries=-1)
