"""Scores that were computed before: kept in memory, or in a file that processes share."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cachetools import LRUCache

from retrieve_rerank.base import Scorer, TextScores
from retrieve_rerank.errors import ConfigError, InputError, ScoreError
from retrieve_rerank.text.template import readable

logger = logging.getLogger(__name__)

MEMORY_ENTRIES = 1 << 18
"""Scores kept in memory: about 50 MB."""
FILE_ENTRIES = 1 << 24
"""Scores kept in a file: about 1 GB."""

_DELETED_AT_ONCE = 0.1  # of a full file, the oldest
_BUSY_S = 5.0  # to wait for another process that writes
_KEYS_AT_ONCE = 1000  # SQLite takes 32,766 at most
_SCHEMA = "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL)"
_COLUMNS = ("text_cut", "query_cut")  # which files made by earlier versions lack
# A row that is written anew keeps its rowid, so that the first and the last tell how many there are
# without a look at all of them.
_KEEP = (
    "INSERT INTO scores VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
    " score = excluded.score, text_cut = excluded.text_cut, query_cut = excluded.query_cut"
)
_FIRST = "SELECT min(rowid) FROM scores"
_LAST = "SELECT max(rowid) FROM scores"
_FORGET = "DELETE FROM scores WHERE rowid <= ?"


class Known(NamedTuple):
    """A score, and whether it is of the beginning of its text or query; None where not told."""

    score: float
    text_cut: bool | None = None
    query_cut: bool | None = None


class ScoreCache:
    """(scorer, query, text) → score, bounded; safe to share between threads.

    Given a file, scores outlive the process, and the oldest go first when it is full. The file
    holds hashes and numbers, no text. One that cannot be read or written is warned of once, and
    left alone from then on: a search must not fail, or wait again and again, for want of it.
    """

    def __init__(self, path: Path | None = None, *, entries: int | None = None) -> None:
        """`entries` is how many scores are kept in memory or, given a path, in the file."""
        self.entries = entries or (FILE_ENTRIES if path else MEMORY_ENTRIES)
        if self.entries < 1:
            raise InputError(f"entries must be at least 1; got {entries}")
        in_memory = min(self.entries, MEMORY_ENTRIES)
        self._recent: LRUCache[bytes, Known] = LRUCache(maxsize=in_memory)
        self._lock = threading.Lock()
        self.problem: str | None = None
        """Why scores are kept in memory alone, where they should be in a file."""
        self._path = path
        self._file: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            self._file = _open(path)
        except (OSError, sqlite3.Error) as exc:
            self._do_without(exc)
        else:
            weakref.finalize(self, self._file.close)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Known]:
        """Return the scores that are known."""
        with self._lock:
            found = {key: self._recent[key] for key in keys if key in self._recent}
            missing = [key for key in keys if key not in found]
            try:
                for start in range(0, len(missing) if self._file else 0, _KEYS_AT_ONCE):
                    found.update(self._stored(missing[start : start + _KEYS_AT_ONCE]))
            except sqlite3.Error as exc:
                self._do_without(exc)
        return found

    def keep(self, scores: Mapping[bytes, Known]) -> None:
        """Remember scores."""
        with self._lock:
            self._recent.update(scores)
            if self._file is None or not scores:
                return
            try:
                with self._file:
                    self._file.executemany(_KEEP, ((key, *known) for key, known in scores.items()))
                    [first], [last] = (self._file.execute(q).fetchone() for q in (_FIRST, _LAST))
                    if last - first >= self.entries:
                        kept = self.entries - int(_DELETED_AT_ONCE * self.entries)
                        self._file.execute(_FORGET, [last - kept])
            except sqlite3.Error as exc:
                self._do_without(exc)

    def _stored(self, keys: Sequence[bytes]) -> dict[bytes, Known]:
        assert self._file is not None
        marks = ",".join("?" * len(keys))
        select = f"SELECT key, score, text_cut, query_cut FROM scores WHERE key IN ({marks})"
        rows = self._file.execute(select, keys)
        stored = {
            key: Known(score, *(None if cut is None else bool(cut) for cut in cuts))
            for key, score, *cuts in rows
            if isinstance(score, float)  # earlier versions kept the bytes of NumPy's numbers
        }
        self._recent.update(stored)
        return stored

    def _do_without(self, exc: Exception) -> None:
        self.problem = f"scores are not kept in {self._path}: {exc}"
        logger.warning("%s; they are kept in memory until this process ends", self.problem)
        if self._file is not None:
            self._file.close()
            self._file = None


class Cached(Scorer):
    """A scorer that computes each score once.

    What was truncated is kept with the scores, and reported with them; those of which that is not
    known are computed again.
    """

    def __init__(self, scorer: Scorer, cache: ScoreCache) -> None:
        """Raise ConfigError for a scorer whose scores depend on the other texts, and for one that
        cannot tell when they change."""
        if not scorer.pointwise:
            raise ConfigError(
                f"the scores of {scorer.name} cannot be cached: they depend on which texts are "
                "scored together"
            )
        if not scorer.fingerprint:
            raise ConfigError(
                f"the scores of {scorer.name} cannot be cached: it has no fingerprint that tells "
                "when they change"
            )
        self.scorer = scorer
        self.cache = cache
        self.name = scorer.name
        self.default_weight = scorer.default_weight
        self.template = scorer.template

    @property
    def fingerprint(self) -> str:
        """The scorer's."""
        return self.scorer.fingerprint

    def probabilities(self, scores: Sequence[float]) -> list[float] | None:
        """Turn scores into probabilities as the scorer does."""
        return self.scorer.probabilities(scores)

    def for_user(self, query: str, user: str) -> str:
        """Return what the scorer reads of a query by this user."""
        return self.scorer.for_user(query, user)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text, asking the scorer for those whose score is not known."""
        return list(self.score_texts(query, texts).scores)

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Score each text as `score` does, and tell which were not read to the end."""
        keys, known, new = self._look_up(query, texts)
        told = self.scorer.score_texts(query, list(new.values())) if new else TextScores([])
        return self._put_together(keys, known, list(new), told)

    async def ascore_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Async twin of `score_texts`; a file is waited for in a thread, not in the event loop."""
        keys, known, new = await asyncio.to_thread(self._look_up, query, texts)
        asked = list(new.values())
        told = await self.scorer.ascore_texts(query, asked) if new else TextScores([])
        return await asyncio.to_thread(self._put_together, keys, known, list(new), told)

    def _look_up(
        self, query: str, texts: Sequence[str]
    ) -> tuple[list[bytes], dict[bytes, Known], dict[bytes, str]]:
        """Return the key of each text, the scores that are known, and the texts without one."""
        keys = [self._key(query, text) for text in texts]
        found = self.cache.find(keys)
        known = {key: each for key, each in found.items() if each.text_cut is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        return keys, known, new

    def _put_together(
        self,
        keys: Sequence[bytes],
        known: Mapping[bytes, Known],
        new: Sequence[bytes],
        told: TextScores,
    ) -> TextScores:
        if any(map(math.isnan, told.scores)):  # which is nothing to keep
            raise ScoreError(f"{self.name} gave NaN for a text; expected a number")
        cuts = told.truncated or [False] * len(new)
        fresh = {
            key: Known(float(score), bool(cut), bool(told.query_truncated))
            for key, score, cut in zip(new, told.scores, cuts, strict=True)
        }
        self.cache.keep(fresh)
        every = {**known, **fresh}
        scored = [every[key] for key in keys]
        return TextScores(
            [each.score for each in scored],
            [bool(each.text_cut) for each in scored],
            any(each.query_cut for each in scored),
            (*told.notes, *([self.cache.problem] if self.cache.problem else ())),
            len(keys) - len(new),
        )

    def _key(self, query: str, text: str) -> bytes:
        # Lengths first, so that no two pairs of query and text run together to the same bytes.
        parts = [readable(part).encode() for part in (self.fingerprint, query, text)]
        head = b"".join(len(part).to_bytes(8, "little") for part in parts)
        return hashlib.blake2b(head + b"".join(parts), digest_size=16).digest()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute(_SCHEMA)
        there = {name for _, name, *_ in file.execute("PRAGMA table_info(scores)")}
        for column in _COLUMNS:
            if column not in there:
                file.execute(f"ALTER TABLE scores ADD COLUMN {column} INTEGER")
    except BaseException:
        file.close()
        raise
    return file
