from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from retrieve_rerank.errors import InputError, ModelError
from retrieve_rerank.models.tokenizers.texts import TextTokenizer

WORDS = ["[CLS]", "[SEP]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "xyz")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of one token a word, but that x, y and z may go on with one."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 0), ("[SEP]", 1)],
    )
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def words(ids: Sequence[int]) -> str:
    return " ".join(WORDS[i] for i in ids)


def test_the_longer_text_of_a_pair_is_shortened_first(file: Path) -> None:
    tokenizer = TextTokenizer(file, max_tokens=7)
    fits, cut = tokenizer.encode_pairs([("a b", "c d"), ("a b", "c d e f g")])

    assert (words(fits.ids), fits.truncated) == ("[CLS] a b [SEP] c d [SEP]", False)
    assert (words(cut.ids), cut.truncated) == ("[CLS] a b [SEP] c d [SEP]", True)
    assert cut.type_ids == [0, 0, 0, 0, 1, 1, 1]


def test_the_beginning_is_cut_off_where_the_model_says_so(file: Path) -> None:
    tokenizer = TextTokenizer(file, max_tokens=4, truncation_side="left")
    assert words(tokenizer.encode(["a b c d"])[0].ids) == "[CLS] c d [SEP]"


def test_half_a_surrogate_pair_is_read_as_a_question_mark(file: Path) -> None:
    tokenizer = TextTokenizer(file, max_tokens=9)
    assert tokenizer.encode(["a \ud83d b"]) == tokenizer.encode(["a ? b"])
    with pytest.raises(InputError, match="expected a text; got None"):
        tokenizer.encode([None])  # type: ignore[list-item]


def test_texts_are_lowercased_where_the_model_says_so(file: Path) -> None:
    assert words(TextTokenizer(file, max_tokens=4).encode(["A"])[0].ids) == "[CLS] [UNK] [SEP]"
    lower = TextTokenizer(file, max_tokens=4, lowercase=True)
    assert words(lower.encode(["A"])[0].ids) == "[CLS] a [SEP]"


def test_a_text_that_fits_is_one_passage(file: Path) -> None:
    tokenizer = TextTokenizer(file, max_tokens=9)
    assert tokenizer.split(" a b  c ", beside="q", overlap=2) == [" a b  c "]
    assert tokenizer.split("", beside="q", overlap=2) == [""]


def test_passages_overlap_and_begin_with_a_word(file: Path) -> None:
    tokenizer = TextTokenizer(file, max_tokens=8)  # room for 4 tokens beside the query
    passages = tokenizer.split("a b cxy d e, fx g", beside="q", overlap=1)

    assert passages == ["a b", "b cxy", "cxy d", "d e,", ", fx g"]


@settings(deadline=None)
@given(st.permutations("abcdefghijklmnop"), st.integers(6, 16), st.integers(0, 20))
def test_passages_cover_the_text_and_fit(
    file: Path, letters: list[str], max_tokens: int, overlap: int
) -> None:
    tokenizer = TextTokenizer(file, max_tokens=max_tokens)
    end = last = 0
    for passage in tokenizer.split(" ".join(letters), beside="q", overlap=overlap):
        begin = letters.index(passage[0])
        assert last <= begin <= end
        assert passage.split() == letters[begin : begin + len(passage.split())]
        assert len(passage.split()) <= max_tokens - 4
        last, end = begin + 1, begin + len(passage.split())
    assert end == len(letters)


@settings(deadline=None)
@given(st.text(alphabet="ab xyz\n", max_size=80), st.text(alphabet="ab ", max_size=30))
def test_passages_without_overlap_are_the_text(file: Path, text: str, query: str) -> None:
    passages = TextTokenizer(file, max_tokens=9).split(text, beside=query, overlap=0)
    assert "".join("".join(passages).split()) == "".join(text.split())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"cannot read the tokenizer .*tokenizer\.json"):
        TextTokenizer(tmp_path / "tokenizer.json", max_tokens=8)
