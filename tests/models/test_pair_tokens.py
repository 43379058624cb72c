"""Pairs put together from their texts are those that the tokenizer makes of them whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from retrieve_rerank import models
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.tokenizers.pairs import shares
from retrieve_rerank.models.tokenizers.texts import TextTokenizer
from tests.models.tiny import FAMILIES, MAX_TOKENS, QUERY, TEXTS, make_tokenizer

LONG = " ".join(TEXTS)  # not longer: of two long texts the library makes all pairs of leftovers
SPECIAL = "[CLS] </s> <s> [SEP] <|endoftext|>"
TEXTS_OF_ALL_KINDS = [*TEXTS, QUERY, LONG, SPECIAL, " \n\t"]
BUNDLED = Path(models.__file__).parent / "bundled" / "all-MiniLM-L6-v2" / "tokenizer.json"

Load = Callable[..., TextTokenizer]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load the tokenizer of a family, or the real one of MiniLM."""
    folder = tmp_path_factory.mktemp("tokenizers")

    def load(family: str, *, side: str = "right", max_tokens: int = MAX_TOKENS) -> TextTokenizer:
        file = BUNDLED
        if family != "real":
            file = folder / family / "tokenizer.json"
            if not file.exists():
                make_tokenizer(family).save_pretrained(folder / family)
        return TextTokenizer(file, max_tokens=max_tokens, truncation_side=side)

    return load


def whole(tokenizer: TextTokenizer, pairs: list[tuple[str, str]]) -> list[Tokens]:
    """What the library itself makes of pairs."""

    def length(text: str) -> int:
        alone = tokenizer._tokenizer.encode(text, add_special_tokens=False)
        return sum(len(part.ids) for part in (alone, *alone.overflowing))

    return [
        Tokens(
            e.ids,
            e.type_ids,
            bool(e.overflowing),
            len(e.ids),
            first_truncated=e.sequence_ids.count(0) < length(first),
        )
        for e, (first, _) in zip(tokenizer._tokenizer.encode_batch(pairs), pairs, strict=True)
    ]


@pytest.mark.parametrize("max_tokens", [9, MAX_TOKENS, 512])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", [*FAMILIES, "real"])
def test_pairs_are_those_of_the_tokenizer_however_they_are_cut(
    load: Load, family: str, side: str, max_tokens: int
) -> None:
    tokenizer = load(family, side=side, max_tokens=max_tokens)
    pairs = [(a, b) for a in TEXTS_OF_ALL_KINDS for b in TEXTS_OF_ALL_KINDS]

    assert tokenizer._pair_tokens is not None, "put together, not tokenised whole"
    expected = whole(tokenizer, pairs)
    assert tokenizer.encode_pairs(pairs) == expected
    assert tokenizer.encode_pairs(pairs) == expected, "again, from the cache"
    assert any(pair.truncated for pair in expected) == (max_tokens <= MAX_TOKENS)


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=80), st.text(max_size=80), st.integers(6, 40))
def test_any_two_texts_are_put_together_exactly(first: str, second: str, max_tokens: int) -> None:
    tokenizer = _real(max_tokens)
    pairs = [(first, second), (second, first), (first, first)]

    assert tokenizer.encode_pairs(pairs) == whole(tokenizer, pairs)


_LOADED: dict[int, TextTokenizer] = {}


def _real(max_tokens: int) -> TextTokenizer:
    if max_tokens not in _LOADED:
        _LOADED[max_tokens] = TextTokenizer(BUNDLED, max_tokens=max_tokens)
    return _LOADED[max_tokens]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 50))
def test_the_longer_text_is_cut_first(first: int, second: int, room: int) -> None:
    one, two = shares(first, second, room=room)

    assert one <= first
    assert two <= second
    assert one + two == min(first + second, room)
    if one < first and two < second:
        assert abs(one - two) <= 1
    elif one < first:
        assert one >= two - 1
    elif two < second:
        assert two >= one - 1


def test_templates_that_cannot_be_put_together_are_tokenised_whole(tmp_path: Path) -> None:
    made = Tokenizer.from_file(str(BUNDLED))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $B [SEP] $A [SEP]",
        special_tokens=[("[CLS]", 101), ("[SEP]", 102)],
    )
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json", max_tokens=20)

    pairs = [("a wing", "in flow"), ("", "x")]
    assert tokenizer._pair_tokens is None
    assert tokenizer.encode_pairs(pairs) == whole(tokenizer, pairs)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieve_rerank.models.tokenizers.pairs.CACHED_TOKENS", 600)
    tokenizer = TextTokenizer(BUNDLED, max_tokens=512)
    assert tokenizer._pair_tokens is not None
    pairs = [(QUERY, f"text {number}") for number in range(100)]

    expected = whole(tokenizer, pairs)
    assert tokenizer.encode_pairs(pairs) == expected
    assert tokenizer._pair_tokens._known.currsize <= 600
    assert tokenizer.encode_pairs(pairs) == expected


def test_threads_share_one_cache(load: Load) -> None:
    tokenizer = load("real", max_tokens=64)
    pairs = [(QUERY, text) for text in TEXTS_OF_ALL_KINDS] * 5
    expected = whole(tokenizer, pairs)
    answers: list[list[Tokens]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(tokenizer.encode_pairs(pairs)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 16
