"""`rr queries`, and `rr mine` on what it wrote, as their user meets them."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.training.queries import read_cuts
from tests.cli.conftest import Rr
from tests.models.embedding_server import Reply, ok, serve

ENGLISH = [
    {
        "_id": f"d{i}",
        "title": f"Keeping {animal} at home",
        "text": f"{animal.title()} need {food} and a quiet place of their own. Feed your {animal}"
        f" with {food} twice a day, in the morning and at night. Do {animal} sleep long?",
    }
    for i, (animal, food) in enumerate(
        [("cats", "fish"), ("dogs", "meat"), ("hares", "carrots"), ("goats", "hay")]
    )
]
CHINESE = [
    {
        "_id": f"z{i}",
        "title": f"{animal}的饲养方法",
        "text": f"{animal}每天需要新鲜的{food}和安静的地方睡觉休息。早晚用{food}喂{animal}两次，"
        f"不要忘记换水。{animal}睡觉的时间有多长？",
    }
    for i, (animal, food) in enumerate([("小猫", "鱼肉"), ("小狗", "骨头"), ("兔子", "萝卜")])
]


@pytest.mark.parametrize("documents", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_queries_of_an_index_are_mined_without_the_spans_they_came_from(
    rr: Rr, home: Path, documents: list[dict[str, str]]
) -> None:
    corpus, folder = home / "corpus.jsonl", home / "queries"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in documents))
    assert rr("index", str(corpus), "--index", "docs", "--encoder", "none").exit_code == 0
    made = rr("queries", "--index", "docs", "-o", str(folder), "--top-k", "3", "--json")
    assert made.exit_code == 0, made.output
    report = json.loads(made.stdout)
    assert report["yields"]["title"]["kept"] and report["yields"]["sentence"]["kept"]
    [split, *_] = report["splits"]
    groups = home / "groups.jsonl"
    command = ("mine", "--index", "docs", "--data", str(folder), "--split", split)
    assert rr(*command, "-o", str(groups), "--first-rank", "1").exit_code == 0
    cuts = {c["query-id"]: c for c in lines(folder / "cuts.jsonl")}
    mined = lines(groups)
    assert mined
    for group in mined:
        cut = cuts[group["query_id"]]
        [positive] = [hit for hit in group["hits"] if hit["label"] > 0]
        assert (cut["span"] in positive["content"]) is cut["whole"]
    again = rr("queries", "--index", "docs", "-o", str(folder))
    assert again.exit_code == 1
    assert "holds queries already; name another folder" in again.stderr


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_index_whose_documents_say_too_little_is_told_so(rr: Rr, lexical: None) -> None:
    made = rr("queries", "--index", "docs", "-o", "queries")
    assert made.exit_code == 1
    assert "the 4 documents of the index give no queries" in made.stderr
    assert not Path("queries").exists()


def test_a_language_model_writes_queries_that_find_their_documents_again(
    rr: Rr, lexical: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = count()

    def writing(path: str, body: Any) -> Reply:
        said = body["messages"][-1]["content"]
        query = 'Query: "lift wing thin"\nIt asks about lift.' if "thin" in said else "submarines"
        told = [{"message": {"content": query}}]
        return ok({"id": f"chatcmpl-{next(ids)}", "choices": told})

    long = [
        {"_id": "lift", "title": "", "text": "The lift of a thin wing grows with its angle. " * 3},
        {"_id": "heat", "title": "", "text": "Heat flows through the walls of a narrow pipe. " * 3},
    ]
    (home / "long.jsonl").write_text("".join(json.dumps(each) + "\n" for each in long))
    assert rr("index", "long.jsonl", "--index", "long", "--encoder", "none").exit_code == 0
    command = ["queries", "--index", "long", "--source", "llm", "--model", "openai:writer", "-o"]
    with serve(writing) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        plan = json.loads(rr(*command, "made", "--dry-run", "--json").stdout)
        assert plan["estimate"]["requests"] == 2
        refused = rr(*command, "made", "--input-price", "1000", "--max-cost", "0.01")
        assert "more than the 0.01 of --max-cost" in refused.stderr
        assert not server.requests
        made = rr(*command, "made", "--json")
        assert made.exit_code == 0, made.stderr
        told = json.loads(made.stdout)["yields"]["llm"]
        assert (told["proposed"], told["kept"]) == (2, 1)
        assert told["examples"] == [["lift wing thin", "lift"]]
        assert rr(*command, "again").exit_code == 0
        assert len(server.requests) == 2
        finetune = ["finetune", "--index", "long", "--queries", "llm"]
        refused = rr(*finetune, "--query-model", "openai:writer-2")
        assert "openai:writer-2: about 2 requests" in refused.stderr
        assert refused.exit_code == 1  # one query is too few
    assert read_cuts(home / "made").generated
    assert "needs the --model" in rr("queries", "--source", "llm", "-o", "x").stderr
