"""Titles and texts as pairs for weakly supervised training."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from retrieve_rerank.cli import main
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.training import read_groups
from retrieve_rerank.training.text_pairs import text_pairs
from retrieve_rerank.types import Document

BODY = "Flutter of wings at supersonic speeds was measured in a tunnel, and agrees with theory."


def test_a_title_and_its_text_are_a_pair() -> None:
    connector = MemoryConnector(encoder=None)
    connector.index(
        [
            Document("a", f"Wing flutter\n{BODY}", {"title": "Wing flutter"}),
            Document("b", BODY, {"title": "Untitled 3"}),
            Document("c", BODY),
            Document("d", "Too short.", {"title": "Wing loading"}),
        ]
    )
    left_out: Counter[str] = Counter()
    [group] = text_pairs(connector.scan(), left_out=left_out)
    assert group.query == "Wing flutter"
    assert [(text.text, text.label, text.id) for text in group.texts] == [(BODY, 1.0, "a")]
    assert left_out == {
        "title that says nothing": 1,
        "document without a title": 1,
        "text of fewer than 12 words": 1,
    }


def test_a_title_is_taken_off_at_the_end_of_a_word_alone() -> None:
    texts = {
        "Car": f"Carbon fibres. {BODY}",
        "Python 3": f"Python 3000. {BODY}",
        "Wing?": f"Wing?{BODY}",
        "Wings": f"Wings: {BODY}",
    }
    documents = [Document(title, text, {"title": title}) for title, text in texts.items()]
    found = {group.query: group.texts[0].text for group in text_pairs(documents)}
    assert found == {**texts, "Wing?": BODY, "Wings": f": {BODY}"}


def test_questions_and_answers_in_a_file_become_pairs_in_the_shell(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "question": "how fast is flutter?", "answer": BODY},
        {"id": 2, "answer": BODY},
    ]
    (tmp_path / "qa.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = tmp_path / "pairs.jsonl"
    command = ["data", "pairs", str(tmp_path / "qa.jsonl"), "-o", str(out)]
    fields = ["--title-field", "question", "--text-field", "answer"]
    done = CliRunner().invoke(main, [*command, *fields])
    assert done.exit_code == 0, done.output
    assert "1 pairs in" in done.output
    assert "Left out: 1 × document without a title" in done.output
    [group] = read_groups(out)
    assert (group.query, group.texts[0].text) == ("how fast is flutter?", BODY)
