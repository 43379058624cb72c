"""A thousand requests that nobody should send, made at random from a seed, with a tenant's key."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.conftest import DOCUMENTS, Running, SettingsOf, running

KEY = "tenant-key-0123456789"
REQUESTS = 1000
SECRET = "word-that-no-log-may-have"

FIELDS = [
    *("query", "documents", "texts", "model", "index", "filter", "exclude", "user", "top_n"),
    *("top_k", "deadline_s", "return_documents", "return_text", "raw_scores", "truncate"),
    *("rank_fields", "truncation", "\x00", "__proto__", "a" * 300),
]
PATHS = [
    *("/search", "/rerank", "/v1/rerank", "/v2/rerank", "/cohere/v1/rerank", "/cohere/v2/rerank"),
    *("/jina/v1/rerank", "/voyage/v1/rerank", "/tei/rerank"),
]
IDS = ["mine", "a b", "x" * 5000, "<script>", "é\u202e", SECRET * 9]
ODD_PATHS = [
    *("/search/../metrics", "/%2e%2e/%2e%2e/etc/passwd", "//search", "/search%00", "/search;x=1"),
    *("/tei/info?model=" + "x" * 5000, "/v1/models?model[]=%ff", "/SEARCH", "/search?a=\u202e"),
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, settings_in: SettingsOf) -> Iterator[Running]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(f'[a]\nkey = "{KEY}"\nfilter = {{ tenant = "a" }}\n')
    with running(settings_in(tmp_path_factory.mktemp("data"), keys=str(file))) as it:
        it.client.headers["Authorization"] = f"Bearer {KEY}"
        yield it


def value(chance: random.Random, depth: int = 0) -> Any:
    """Make something that some field does not expect."""
    plain: list[Any] = [None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 1e308, 5e-324, 0.5]
    plain += [
        "",
        " ",
        SECRET,
        "\x00\x1b[2J",
        "\r\nSet-Cookie: a=b",
        "\u202e",
        "💥" * 50,
        "x" * 5000,
    ]
    plain += ["../../etc/passwd", "{{7*7}}", "' OR 1=1 --", "2024-99-99", "NaN", "docs", "tiny"]
    if depth > 4 or chance.random() < 0.7:
        return chance.choice(plain)
    within = [value(chance, depth + 1) for _ in range(chance.randint(0, 5))]
    if chance.random() < 0.5:
        return within
    names = ["gte", "lt", "or", "and", "not", "tenant", "year", "text", "title", "colour"]
    return {chance.choice(names): each for each in within}


def body(chance: random.Random) -> bytes:
    """Make a body: a request with odd fields, written badly at times."""
    whole: dict[str, Any] = {"query": f"flutter {SECRET}"}
    whole[chance.choice(["documents", "texts", "filter"])] = value(chance)
    for _ in range(chance.randint(0, 4)):
        whole[chance.choice(FIELDS)] = value(chance)
    written = json.dumps(whole).encode()
    how = chance.random()
    if how < 0.1:
        return written[: chance.randint(0, len(written))]
    if how < 0.15:
        return written.replace(b":", b": NaN, :", 1)
    if how < 0.2:
        place = chance.randint(0, len(written))
        return written[:place] + bytes(chance.randbytes(3)) + written[place:]
    return written


def test_a_thousand_are_answered_without_an_error_of_ours(
    locked: Running, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(13)
    others = [each.text for each in DOCUMENTS if each.metadata["tenant"] != "a"]
    statuses: dict[int, int] = {}
    threads = threading.active_count()
    with caplog.at_level(logging.INFO):
        for number in range(REQUESTS):
            headers = {"Content-Type": "application/json", "X-Request-ID": chance.choice(IDS)}
            if chance.random() < 0.2:
                headers["X-Deadline-S"] = chance.choice(["nan", "-1", "1e999", "0.001", "1_0", "٣"])
            path, method = chance.choice(PATHS), "POST"
            if chance.random() < 0.1:
                path, method = (
                    chance.choice(ODD_PATHS),
                    chance.choice(["GET", "POST", "PUT", "TRACE"]),
                )
            found = locked.client.request(
                method,
                path,
                content=body(chance),
                headers=[(name.encode(), given.encode()) for name, given in headers.items()],
            )
            assert found.status_code < 500, (number, path, found.text)
            assert "Traceback" not in found.text and "set-cookie" not in found.headers
            assert not any(text in found.text for text in others)
            statuses[found.status_code] = statuses.get(found.status_code, 0) + 1
    assert statuses.keys() <= {200, 400, 404, 405, 408, 413, 415, 422}
    assert sum(count for status, count in statuses.items() if status >= 400) > REQUESTS / 2
    told = "".join(
        f"{record.getMessage()} {getattr(record, 'facts', '')}"
        for record in caplog.records
        if record.name.startswith("retrieve_rerank")
    )
    assert SECRET not in told and KEY not in told and "Traceback" not in caplog.text
    assert locked.server.admission.requests == locked.server.admission.documents == 0
    assert threading.active_count() < threads + 40
