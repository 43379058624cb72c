"""Answers of servers, unpacked, read and told of within bounds."""

from __future__ import annotations

import gzip
import math
import tracemalloc
from email.utils import formatdate
from time import time

import pytest

from retrieve_rerank.network.answers import (
    LONGEST_PAUSE_S,
    SAID,
    TooLargeError,
    Unpacking,
    UnreadableError,
    pause_s,
    read_json,
    said,
)
from tests.hostile import bomb


@pytest.mark.parametrize("encoding", [None, "", "identity", "gzip", " GZIP ", "x-gzip", "deflate"])
def test_what_is_packed_as_asked_is_unpacked_piece_by_piece(encoding: str | None) -> None:
    content = b'{"a": "wing"}' * 100
    packed = content if (encoding or "identity") == "identity" else gzip.compress(content)
    unpacking = Unpacking(encoding)
    pieces = [unpacking.feed(packed[at : at + 7]) for at in range(0, len(packed), 7)]
    assert b"".join(pieces) == content


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd", "x" * 10_000])
def test_what_nobody_asked_for_is_refused_in_few_words(encoding: str) -> None:
    with pytest.raises(UnreadableError, match="which nobody asked for") as raised:
        Unpacking(encoding).feed(b"x")
    assert len(str(raised.value)) < 200


def test_nothing_is_unpacked_beyond_the_limit() -> None:
    packed = bomb(50).body
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="the answer has more than 1,000 bytes"):
        Unpacking("gzip", limit=1000).feed(packed)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_json_is_read_as_servers_write_it() -> None:
    content = b'["\\ud800", -Infinity, 1e999, %d, 7, NaN]' % (10**400)
    assert read_json(content)[:5] == ["\ud800", -math.inf, math.inf, math.inf, 7]
    assert math.isnan(read_json(content)[5])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<html>log in</html>", "it begins with '<html>log in</html>'"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1', "delimiter"),
        (b'["\xff"]', "can't decode byte 0xff"),
        (b"x" * (1 << 20), "Expecting value"),
    ],
)
def test_what_is_no_json_is_said_in_few_words(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        read_json(content)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("²", None),
        ("nan", None),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("9" * 400, LONGEST_PAUSE_S),
        ("inf", LONGEST_PAUSE_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE_S),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -9999", None),
    ],
)
def test_a_pause_is_a_number_of_seconds_or_none(header: str | None, expected: float | None) -> None:
    assert pause_s(header) == expected


def test_a_date_is_a_pause_from_now() -> None:
    assert pause_s(formatdate(time() + 60, usegmt=True)) == pytest.approx(60, abs=5)


def test_what_a_server_says_is_one_short_line_without_secrets() -> None:
    words = f"key s3cret is\n no key at http://me:pw@host {'x' * 10_000}"
    told = said(words, secrets=["s3cret"])
    assert told.startswith("key *** is no key at http://***@host xxx")
    assert len(told) == SAID + 1
