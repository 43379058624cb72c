from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Rr
from tests.commands import RR
from tests.models.tiny import make_model


def line(query: str, *documents: str | dict[str, Any], **more: Any) -> str:
    return json.dumps({"query": query, "documents": documents, **more}) + "\n"


def answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_documents_come_back_in_their_new_order_with_all_they_had(rr: Rr) -> None:
    documents: list[str | dict[str, Any]] = [
        "Cats sleep.",
        {"id": "x", "contents": "Heat in a pipe.", "tag": [1]},
    ]
    result = rr("rerank", input=line("heat transfer", *documents, qid=7))
    assert (result.exit_code, result.stderr) == (0, "")
    [answer] = answers(result)
    assert (answer["query"], answer["qid"]) == ("heat transfer", 7)
    first, second = answer["documents"]
    assert first.pop("score") > second.pop("score")
    assert first == {
        "id": "x",
        "contents": "Heat in a pipe.",
        "tag": [1],
        "rank": 1,
        "position": 1,
    }
    assert second == {"text": "Cats sleep.", "rank": 2, "position": 0}


def test_the_output_can_be_reranked_again(rr: Rr) -> None:
    first = rr("rerank", input=line("heat", "cats", "heat", "pipes"))
    second = rr("rerank", "--top-k", "1", input=first.stdout)
    [document] = answers(second)[0]["documents"]
    assert (document["rank"], document["position"]) == (1, 0)
    assert document["previous"].keys() == {"rank", "score", "position"}
    assert document["previous"]["position"] == 1


def test_half_a_surrogate_pair_is_answered_wherever_it_stands(rr: Rr) -> None:
    lines = line("heat \ud83d", "cats", "heat in pipes") + line(
        "heat", {"text": "cats \udc4d", "note": "\udc4d"}, "heat in pipes", trace="a\ud800b"
    )
    result = rr("rerank", input=lines + line("cats", "cats", "heat"))
    assert (result.exit_code, result.stderr) == (0, "")
    first, second, third = answers(result)
    assert (first["query"], second["trace"], third["query"]) == ("heat ?", "a?b", "cats")
    assert [each["position"] for each in second["documents"]] == [1, 0]
    assert second["documents"][1]["note"] == "?"


def test_documents_without_a_text_are_named(rr: Rr) -> None:
    lacking: list[str | dict[str, Any]] = ["cats", {"id": "b", "snippet": "heat"}, {"text": ""}]
    result = rr("rerank", input=line("heat", "cats") + line("heat", *lacking) * 2)
    assert (result.exit_code, len(answers(result))) == (0, 3)
    without, unread, *again = result.stderr.splitlines()
    assert without.startswith("Note: line 2: 1 of 3 documents without a text, at position 1: ")
    assert without.endswith("passage or body; the first has 'id, snippet'")
    assert unread.startswith("Note: line 2: 2 of 3 documents have no field of the template")
    assert unread.endswith("scored as empty: '1', '2'")
    assert [each[:33] for each in again] == [
        "Note: the same of 2 lines: 1 of 3",
        "Note: the same of 2 lines: 2 of 3",
    ]


def test_empty_lists_and_empty_texts_stay_as_they_are(rr: Rr) -> None:
    empty, lone = answers(rr("rerank", input=line("heat") + line("heat", {"id": "a", "text": ""})))
    assert empty["documents"] == []
    assert [document["id"] for document in lone["documents"]] == ["a"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"query"', "malformed JSON: "),
        ("[]", "malformed JSON: expected an object; got a list"),
        ('{"documents": ["a"]}', 'no query: expected {"query": '),
        ('{"query": " ", "documents": ["a"]}', 'no query: expected {"query": '),
        ('{"query": "a", "documents": "b"}', 'no list of documents: expected {"query": '),
        ('{"query": "a", "documents": [1]}', "document 0 is neither text nor an object"),
        ('{"query": "a", "documents": [{"text": 1}]}', "document 0: text of another type"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_after_the_rest_is_done(
    rr: Rr, bad: str, message: str
) -> None:
    result = rr("rerank", input=f"{line('heat', 'a')}{bad}\n\n{line('heat', 'b')}")
    assert result.exit_code == 1
    assert len(answers(result)) == 2
    assert result.stderr.splitlines()[0].startswith(f"Error: line 2: {message}")
    assert result.stderr.splitlines()[1] == "Error: 1 line could not be reranked; the rest is done"


def test_invalid_utf_8_is_named_too(rr: Rr) -> None:
    result = rr("rerank", input=b'{"query": "\xff", "documents": []}\n')
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: line 1: invalid UTF-8: byte 12 of the line")


def test_texts_that_are_cut_are_counted(rr: Rr) -> None:
    result = rr("rerank", input=line("heat", "word " * 1000, "short"))
    assert result.exit_code == 0
    assert result.stderr == "1 of 2 texts were cut to what the model reads.\n"


def test_input_can_be_a_file(rr: Rr, home: Path) -> None:
    (home / "tasks.jsonl").write_text(line("heat", "a"))
    assert len(answers(rr("rerank", "--input", "tasks.jsonl"))) == 1
    assert rr("rerank", "--input", "gone.jsonl").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reranker", "max-sin"], "unknown reranker 'max-sin'; known: "),
        (["--model", "./gone"], "gone"),
        (
            ["--model", "all-MiniLM-L6-v2", "--reranker", "cross-encoder"],
            "all-MiniLM-L6-v2 is an encoder; expected a model that scores pairs",
        ),
    ],
)
def test_an_unusable_reranker_is_said_in_one_line(
    rr: Rr, arguments: list[str], message: str
) -> None:
    result = rr("rerank", *arguments, input=line("heat", "a"))
    assert (result.exit_code, result.stdout) == (1, "")
    [error] = result.stderr.splitlines()
    assert message in error


def test_the_model_says_which_reranker_runs_it(rr: Rr, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", "bert", labels=1)
    result = rr("rerank", "--model", str(model), input=line("heat", "word " * 100, "a"))
    assert result.exit_code == 0, result.stderr
    assert len(answers(result)[0]["documents"]) == 2
    assert result.stderr.endswith("1 of 2 texts were cut to what the model reads.\n")
    wrong = rr("rerank", "--model", str(model), "--reranker", "max-sim", input=line("heat", "a"))
    assert "expected an encoder" in wrong.stderr


def test_the_label_that_is_the_score_can_be_chosen(rr: Rr, tmp_path: Path) -> None:
    model = str(make_model(tmp_path / "model", "bert", labels=3))
    task = line("heat", "a", "b")
    unclear = rr("rerank", "--model", model, input=task)
    assert unclear.exit_code == 1
    assert "choose one with the option label" in unclear.stderr
    scores = []
    for label in ("0", "LABEL_2", "expectation"):
        [answer] = answers(rr("rerank", "--model", model, "--label", label, input=task))
        scores.append(sorted(document["score"] for document in answer["documents"]))
    assert scores[0] != scores[1] != scores[2] != scores[0]
    wrong = rr("rerank", "--label", "0", input=task)
    assert "reranker 'max-sim' has no option 'label'" in wrong.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.usefixtures("home")
def test_an_output_that_cannot_be_written_is_an_error_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from retrieve_rerank.cli import run; run()", "rerank"],
            input=line("heat", "a"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


@pytest.mark.usefixtures("home")
def test_each_line_is_answered_before_the_next_is_needed() -> None:
    with subprocess.Popen(
        [*RR, "rerank"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for query in ("heat", "lift"):
            process.stdin.write(line(query, "a", "b"))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == query
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.usefixtures("dense")
def test_what_a_search_writes_is_read_as_it_is(rr: Rr) -> None:
    found = rr("search", "lift of a wing", "--index", "docs", "--json").stdout
    done = rr("rerank", "--model", "all-MiniLM-L6-v2", "--top-k", "2", input=found)
    assert done.exit_code == 0, done.stderr
    before, after = json.loads(found), json.loads(done.stdout)
    assert after.keys() == before.keys()
    assert [hit["rank"] for hit in after["hits"]] == [1, 2]
    for hit in after["hits"]:
        was = before["hits"][hit["position"]]
        assert (hit["id"], hit["previous"]) == (
            was["id"],
            {"rank": was["rank"], "score": was["score"]},
        )
    empty = rr("rerank", input='{"query": "lift", "hits": "lift"}\n')
    assert "no list of documents" in empty.stderr
