"""Answers of models that were paid for, or took long: kept in a file, so that none is asked twice.

Each answer is there whole or not at all, whenever the process is killed; processes may share one
file. It holds hashes of questions, and answers.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.text.template import readable

_BUSY_S = 30.0  # to wait for another process that writes
_KEYS_AT_ONCE = 1000  # SQLite takes 32,766 at most
_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL)"


def question_key(*facts: Any) -> bytes:
    """Return the key of a question: a hash of all that its answer depends on, as JSON has it."""
    said = readable(json.dumps(facts, ensure_ascii=False))
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


class AnswerStore:
    """Question -> answer, a value of JSON; safe to share between threads.

    Raises ConfigError where its file cannot be read or written: what was paid for must not be lost
    without a word.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
            weakref.finalize(self, self._file.close)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise self._failed(exc) from exc

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """Return the answers that are known."""
        found: dict[bytes, Any] = {}
        try:
            with self._lock:
                for start in range(0, len(keys), _KEYS_AT_ONCE):
                    some = keys[start : start + _KEYS_AT_ONCE]
                    marks = ",".join("?" * len(some))
                    select = f"SELECT key, answer FROM answers WHERE key IN ({marks})"
                    found |= {
                        key: json.loads(said) for key, said in self._file.execute(select, some)
                    }
        except (ValueError, sqlite3.Error) as exc:
            raise self._failed(exc) from exc
        return found

    def keep(self, answers: Mapping[bytes, Any]) -> None:
        """Keep answers."""
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        try:
            with self._lock, self._file:
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
        except sqlite3.Error as exc:
            raise self._failed(exc) from exc

    def forget(self, keys: Sequence[bytes]) -> None:
        """Forget answers that turned out to say nothing, so that they are asked for again."""
        try:
            with self._lock, self._file:
                self._file.executemany("DELETE FROM answers WHERE key = ?", ((k,) for k in keys))
        except sqlite3.Error as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: Exception) -> ConfigError:
        return ConfigError(
            f"the file of answers {self._path} cannot be used: {exc}; name another, or remove it"
            " (what it holds is then asked again)"
        )
