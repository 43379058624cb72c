"""`rr label` as its user meets it, against a server that answers as OpenAI-compatible ones do."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Rr
from tests.commands import RR
from tests.models.embedding_server import EmbeddingServer, Reply, ok, serve

QUERIES = {"q1": "lift of a wing", "q2": "heat in a pipe", "q3": "drag of slender wings"}
LISTWISE = ["--teacher", "openai:judge", "--groups", "candidates.jsonl", "-o", "labelled.jsonl"]
PRICED = ["--input-price", "2", "--output-price", "8"]

ids = count()


def sorting(path: str, body: Any) -> Reply:
    """Order the passages of RankZephyr's prompt by length, or say yes to the short ones."""
    if path == "/v1/completions":
        likely = {"yes": -0.01 * len(body["prompt"]), "no": -1.0}
        told = [{"text": "yes", "logprobs": {"top_logprobs": [likely]}}]
        return ok({"id": f"cmpl-{next(ids)}", "choices": told})
    passages = re.findall(r"^\[(\d+)\] (.*)$", body["messages"][-1]["content"], re.MULTILINE)
    order = sorted(passages, key=lambda each: len(each[1]))
    return answer(" > ".join(f"[{n}]" for n, _ in order))


def answer(text: str) -> Reply:
    """Answer with an id of its own, as servers do."""
    return ok({"id": f"chatcmpl-{next(ids)}", "choices": [{"message": {"content": text}}]})


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    with serve(sorting) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        groups = [
            {"query": text, "query_id": id_, "hits": [], "unlabelled": [
                {"content": f"{text}, {'at length ' * n}", "id": f"d{n}"} for n in (2, 0, 1)
            ]}
            for id_, text in QUERIES.items()
        ]  # fmt: skip
        lines = "".join(json.dumps(group) + "\n" for group in groups)
        (home / "candidates.jsonl").write_text(lines)
        yield running


def rows(file: str = "labelled.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def labels(file: str = "labelled.jsonl") -> list[dict[str, float]]:
    return [{hit["id"]: hit["label"] for hit in row["hits"]} for row in rows(file)]


def test_a_chat_model_orders_candidates_once_and_says_where_labels_are_from(
    rr: Rr, server: EmbeddingServer
) -> None:
    result = rr("label", *LISTWISE, "--labels", "ranks")
    assert result.exit_code == 0, result.stderr
    assert labels() == [{"d2": -3, "d0": -1, "d1": -2}] * 3
    assert rows()[0]["hits"][1]["label_source"] == "llm-listwise openai:judge"
    assert rows()[0]["hits"][1]["teacher_score"] == 3
    assert len(server.requests) == 3
    again = rr("label", *LISTWISE, "--labels", "scores", "--json")
    assert json.loads(again.stdout)["teachers"][0]["known"] == 3
    assert len(server.requests) == 3
    assert labels() == [{"d2": 0, "d0": 1, "d1": 0.5}] * 3


def test_hits_of_the_index_are_labelled_as_it_serves_them(
    rr: Rr, lexical: None, server: EmbeddingServer
) -> None:
    Path("queries.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in QUERIES.items()))
    found = ["--index", "docs", "--queries", "queries.tsv", "--teacher", "openai:judge"]
    result = rr("label", *found, "-o", "points.jsonl.gz", "--to", "pointwise", "--depth", "3")
    assert result.exit_code == 0, result.stderr
    assert rr("data", "check", "points.jsonl.gz").exit_code == 0
    assert not list(Path().glob("*candidates-*"))


def test_a_rule_is_told_who_asks(rr: Rr, lexical: None) -> None:
    asked = [{"_id": "q1", "text": QUERIES["q1"], "user": "a pilot"}]
    asked += [{"_id": "q2", "text": QUERIES["q2"]}]
    Path("queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked))
    Path("rule.py").write_text("def label(text, group):\n    return len(group.user)\n")
    found = ["--index", "docs", "--queries", "queries.jsonl", "--rules", "rule.py"]
    result = rr("label", *found, "-o", "labelled.jsonl", "--depth", "2")
    assert result.exit_code == 0, result.stderr
    assert [row.get("user") for row in rows()] == ["a pilot", None]
    assert [set(each.values()) for each in labels()] == [{len("a pilot")}, {0}]


@pytest.mark.parametrize("output", ["queries.jsonl", "rule.py", "judged/qrels/train.tsv"])
def test_what_is_read_is_not_written_to(rr: Rr, lexical: None, output: str) -> None:
    Path("judged/qrels").mkdir(parents=True)
    for folder in ("", "judged/"):
        Path(f"{folder}queries.jsonl").write_text('{"_id": "q1", "text": "lift of a wing"}\n')
    Path("judged/qrels/train.tsv").write_text("q1\tlift\t1\n")
    Path("rule.py").write_text("def label(text, group):\n    return 1\n")
    queries = "judged" if output.startswith("judged") else "queries.jsonl"
    before = Path(output).read_bytes()
    asked = ["--index", "docs", "--queries", queries, "--rules", "rule.py:label"]
    refused = rr("label", *asked, "-o", output)
    assert "is what is read; name another file" in " ".join(refused.stderr.split())
    assert Path(output).read_bytes() == before


def test_a_rule_may_define_what_looks_its_module_up(rr: Rr, server: EmbeddingServer) -> None:
    Path("json.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Found:\n"
        "    words: int\n"
        "def label(text, group):\n"
        "    return Found(len(text.text.split())).words\n"
    )
    result = rr("label", *LISTWISE[2:], "--rules", "json.py")
    assert result.exit_code == 0, result.stderr
    assert labels()[0]["d0"] == len(QUERIES["q1"].replace(",", "").split())


def test_several_teachers_and_a_rule_label_together(rr: Rr, server: EmbeddingServer) -> None:
    Path("yes.toml").write_text(
        'reranker = "llm-yes-no"\nmodel = "openai:other"\nprompt = "qwen3-reranker"\n'
    )
    assert rr("label", *LISTWISE, "--teacher", "yes.toml").exit_code == 0
    [row, *_] = rows()
    assert row["hits"][0]["label_source"] == "llm-listwise openai:judge + llm-yes-no openai:other"
    assert sum(hit["teacher_score"] for hit in row["hits"]) == pytest.approx(0, abs=1e-6)
    assert labels()[0]["d0"] == 1
    Path("concise.py").write_text(
        "def label(text, group):\n"
        "    correct = text.teacher_score > 1\n"
        "    return 2 * correct + (len(text.text.split()) < 8)\n"
    )
    assert rr("label", *LISTWISE, "--rules", "concise.py").exit_code == 0
    assert labels() == [{"d2": 0, "d0": 3, "d1": 3}] * 3
    assert rows()[0]["hits"][0]["label_source"] == "concise.py:label"


def test_a_price_is_told_beforehand_and_never_exceeded(rr: Rr, server: EmbeddingServer) -> None:
    plan = json.loads(rr("label", *LISTWISE, *PRICED, "--dry-run", "--json").stdout)
    assert not server.requests
    [told] = plan["estimate"]
    assert (told["requests"], plan["texts"]) == (3, 9)
    exact = told["input_tokens"] * 2e-6 + told["output_tokens"] * 8e-6
    assert told["cost"] == pytest.approx(exact, abs=1e-6)
    refused = rr("label", *LISTWISE, *PRICED, "--max-cost", str(exact / 2))
    assert (refused.exit_code, len(server.requests)) == (1, 0)
    assert "more than the" in refused.stderr
    assert "nothing was asked" in refused.stderr
    unpriced = rr("label", *LISTWISE, "--max-cost", "1")
    assert "cannot hold without the price of llm-listwise openai:judge" in unpriced.stderr
    assert rr("label", *LISTWISE, *PRICED, "--max-cost", str(exact * 1.01)).exit_code == 0
    assert len(server.requests) == 3


def test_garbage_is_no_label_and_is_asked_about_again(rr: Rr, server: EmbeddingServer) -> None:
    server.replies[:] = [answer("I'd rather not say.")]
    result = rr("label", *LISTWISE)
    assert result.exit_code == 1
    assert "1 queries could not be labelled" in result.stderr
    assert "answers order no document" in result.stderr
    assert len(rows()) == 2
    assert rr("label", *LISTWISE).exit_code == 0
    assert len(rows()) == 3
    assert len(server.requests) == 4


def test_a_server_of_garbage_alone_gives_no_file(rr: Rr, server: EmbeddingServer) -> None:
    server.replies[:] = [answer("no") for _ in QUERIES]
    result = rr("label", *LISTWISE)
    assert result.exit_code == 1
    assert "none of the 3 queries could be labelled" in result.stderr
    assert not Path("labelled.jsonl").exists()


def test_a_server_that_fails_keeps_what_was_answered(rr: Rr, server: EmbeddingServer) -> None:
    server.replies[:] = [(401, {}, b'{"error": {"message": "no such key"}}')]
    result = rr("label", *LISTWISE)
    assert result.exit_code == 1
    assert "the same command goes on" in result.stderr
    assert "sk-secret" not in result.stderr
    asked = len(server.requests)
    assert rr("label", *LISTWISE).exit_code == 0
    assert len(server.requests) <= asked + 3 - (asked - 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give a --teacher, or --rules"),
        (["--rules", "missing.py"], "there are no rules in missing.py"),
        (["--rules", "wrong.py:grade"], "has no function grade(text, group); it has: label"),
        (["--rules", "wrong.py"], "ZeroDivisionError"),
        (["--teacher", "openai:judge", "--answers", "candidates.jsonl"], "file of answers"),
        (["--teacher", "openai:judge", "--labels", "probabilities"], "gives an order"),
        (["--teacher", "wrong.toml"], "the teacher wrong.toml cannot be used"),
        (["--teacher", "free.toml"], "must be numbers, 0 or above"),
    ],
)
def test_what_cannot_label_says_why(
    rr: Rr, server: EmbeddingServer, options: list[str], message: str
) -> None:
    Path("wrong.toml").write_text('model = "openai:judge"\ndepth = "all"\n')
    Path("free.toml").write_text('model = "openai:judge"\ninput_price = "free"\n')
    Path("wrong.py").write_text("def label(text, group):\n    return 1 / 0\n")
    result = rr("label", "--groups", "candidates.jsonl", "-o", "labelled.jsonl", *options)
    assert result.exit_code != 0
    assert message in result.stderr.replace("\n", " ")
    assert not Path("labelled.jsonl").exists()


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(
    rr: Rr, server: EmbeddingServer, home: Path
) -> None:
    lines = [
        json.dumps({"query": f"wing {n}", "hits": [{"content": f"{'long ' * k}text {n}", "label": 0}
                    for k in (2, 1)]})
        for n in range(40)
    ]  # fmt: skip
    (home / "candidates.jsonl").write_text("\n".join(lines))

    def slowly() -> Reply:
        time.sleep(0.05)
        return answer("[2] > [1]")

    server.replies[:] = [slowly] * 40
    process = subprocess.Popen([*RR, "label", *LISTWISE], stderr=subprocess.DEVNULL)
    while len(server.requests) < 12 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (home / "labelled.jsonl").exists()
    before = len(server.requests)
    server.replies.clear()
    assert rr("label", *LISTWISE).exit_code == 0
    whole = (home / "labelled.jsonl").read_bytes()
    assert len(server.requests) - before <= 40 - (before - 4)  # but for those under way
    unbroken = [*LISTWISE[:-1], "unbroken.jsonl", "--answers", "new.db"]
    assert rr("label", *unbroken).exit_code == 0
    assert (home / "unbroken.jsonl").read_bytes() == whole
