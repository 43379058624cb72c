"""Long documents split into passages."""

from __future__ import annotations

from retrieve_rerank.data.passages import Cut
from retrieve_rerank.types import Document


def test_a_long_text_becomes_passages_that_remember_their_document() -> None:
    document = Document("d", "One two three. Four five six. Seven.", {"title": "T"})
    assert list(Cut([document], words=4)) == [
        Document("d#0", "One two three.", {"title": "T", "parent": "d", "passage": 0}),
        Document("d#1", "Four five six. Seven.", {"title": "T", "parent": "d", "passage": 1}),
    ]


def test_a_short_text_is_one_passage() -> None:
    [passage] = Cut([Document("d", "short text")], words=5)
    assert passage == Document("d#0", "short text", {"parent": "d", "passage": 0})


def test_a_title_alone_is_one_passage() -> None:
    assert [p.id for p in Cut([Document("d", "", {"title": "T"})], words=5)] == ["d#0"]


def test_no_word_is_lost() -> None:
    text = "\n\n".join(f"Paragraph {n} has some words. It has more of them." for n in range(50))
    passages = list(Cut([Document("d", text)], words=25))
    assert " ".join(p.text for p in passages).split() == text.split()
    assert all(len(p.text.split()) <= 25 for p in passages)


def test_chinese_characters_count_as_words() -> None:
    text = "自然人从事工商业经营，经依法登记，为个体工商户。个体工商户可以起字号。"
    passages = [p.text for p in Cut([Document("d", text)], words=25)]
    assert passages == [
        "自然人从事工商业经营，经依法登记，为个体工商户。",
        "个体工商户可以起字号。",
    ]


def test_markdown_is_split_at_its_headings() -> None:
    text = "# One\n\nalpha beta gamma\n\n# Two\n\ndelta epsilon"
    passages = [p.text for p in Cut([Document("notes.md", text)], words=5)]
    assert passages == ["# One\n\nalpha beta gamma", "# Two\n\ndelta epsilon"]
