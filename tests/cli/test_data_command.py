"""`rr data` as its user meets it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retrieve_rerank.cli import main

SOUND = {"query": "where is Lyon", "pos": ["Lyon is in France."], "neg": ["Rome is in Italy."]}
WRONG = {"query": "where is Rome", "pos": ["It is in Italy."], "neg": ["it is in Italy"]}


def rr(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    file = tmp_path / "sound.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(SOUND).encode()))
    return file


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong.jsonl"
    file.write_text(f"{json.dumps(SOUND)}\n{json.dumps(WRONG)}\n")
    return file


def test_check_says_what_is_there_and_that_nothing_is_wrong(sound: Path) -> None:
    result = rr("check", sound)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "flagembedding" in result.stdout
    assert "labels    0: 1   1: 1" in result.stdout
    assert result.stdout.endswith("Nothing found that is wrong.\n")


def test_check_shows_errors_with_their_places_and_exits_with_1(wrong: Path) -> None:
    result = rr("check", wrong, "--model", "all-MiniLM-L6-v2")

    assert result.exit_code == 1
    assert result.stderr == "Error: found 1 kind of error\n"
    assert "error  positive among the negatives: 1  (one query has" in result.stdout
    assert f"    {wrong}:2: 'it is in Italy' for 'where is Rome'\n" in result.stdout
    cut = "0 of 4 pairs are longer than the 256 tokens that the model reads; 0.0% of all tokens"
    assert cut in result.stdout


def test_check_advises_what_there_is_for_lines_that_cannot_be_read(wrong: Path) -> None:
    wrong.write_text(f"{json.dumps(SOUND)}\n{{broken\n")
    advice = "mend the line, or write the others with rr data convert --skip-bad"
    assert f"error  malformed JSON: 1  ({advice})" in rr("check", wrong).stdout
    assert rr("convert", wrong, "--to", "grouped", "-", "--skip-bad").exit_code == 0


def test_check_as_json_and_strict_about_warnings(sound: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.jsonl"
    twice.write_text(f"{json.dumps(SOUND)}\n" * 2)

    assert rr("check", twice).exit_code == 0
    result = rr("check", twice, sound, "--strict", "--json")
    assert (result.exit_code, result.stdout.count("\n")) == (1, 1)
    assert result.stderr == "Error: found 0 kinds of errors and 1 of warnings\n"
    report = json.loads(result.stdout)
    assert [source["groups"] for source in report["sources"]] == [2, 1]
    (finding,) = report["findings"]
    assert (finding["problem"], finding["severity"], finding["count"]) == (
        "same group twice",
        "warning",
        2,
    )
    assert [each["place"] for each in finding["examples"]] == [f"{twice}:2", f"{sound}:1"]


def test_check_finds_test_queries_of_a_folder_and_of_a_file(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    queries = folder / "queries.jsonl"
    queries.write_text('{"_id": "1", "text": "Where is Lyon?"}\n{"_id": "2", "text": "Rome"}\n')
    (folder / "qrels" / "test.tsv").write_text("2\td1\t1\n")

    assert rr("check", sound, "--test", folder).exit_code == 0  # no query of the test split
    (folder / "qrels" / "test.tsv").write_text("1\td1\t1\n")
    for test in (folder, queries):
        result = rr("check", sound, "--test", test)
        assert result.exit_code == 1
        assert "test query in the training data: 1" in result.stdout


def test_convert_to_each_format_and_back(sound: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl.gz"
    for format in ("triplet", "labeled-list", "grouped", "tevatron"):
        result = rr("convert", sound, "--to", format, out)
        assert result.exit_code == 0, result.stderr
        assert "1 groups of flagembedding in, 1 lines out" in result.stderr
        back = rr("convert", out, "--to", "flagembedding", "-")
        assert json.loads(back.stdout) == SOUND


def test_convert_names_what_is_left_out(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [SOUND, {"query": "q", "pos": ["a"], "neg": []}, {"query": "q", "pos": 3, "neg": []}]
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    result = rr("convert", source, "--to", "triplet", out)
    assert result.exit_code == 1
    assert "Left out: 1 × no text with a label of 0 or below" in result.stderr
    assert f"Left out: {source}:3: no list of texts in 'pos'" in result.stderr
    said = "1 of the lines in were left out, and the rest is written; --skip-bad accepts that"
    assert said in result.stderr
    assert len(out.read_text().splitlines()) == 1
    result = rr("convert", source, "--to", "triplet", out, "--skip-bad", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "groups": 2,
        "lines": 1,
        "left_out": {"no text with a label of 0 or below": 1},
        "format": "flagembedding",
        "skipped": {"no list of texts in 'pos'": 1},
    }


def test_what_is_read_is_not_written_to_by_whatever_name(wrong: Path, tmp_path: Path) -> None:
    with wrong.open("a") as file:
        file.write("{broken\n")
    before = wrong.read_bytes()
    link = tmp_path / "link.jsonl"
    link.symlink_to(wrong)

    for arguments in (
        ("convert", wrong, "--to", "grouped", wrong),
        ("convert", wrong, "--to", "grouped", link),
        ("convert", link, "--to", "grouped", wrong),
        ("pairs", link, "-o", wrong),
    ):
        result = rr(*arguments)
        assert result.exit_code == 2
        assert f"{arguments[-1]} is what is read; name another" in " ".join(result.stderr.split())
        assert wrong.read_bytes() == before
        assert link.is_symlink()


def test_convert_of_nothing_is_an_error(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    for content in ("", '{"query": "q", "pos": ["a"]}'):
        source.write_text(content)
        result = rr("convert", source, "--to", "triplet", out)
        assert result.exit_code == 1
        assert f"Error: {source} has nothing that could be written as triplet" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["check", "{wrong}", "--max-length", "9"], 2, "--max-length needs --model"),
        (["check", "{wrong}", "--min-label", "1"], 2, "--min-label needs --max-label"),
        (["check", "{wrong}", "--model", "nonsense"], 1, "no model 'nonsense'"),
        (["check", "{wrong}", "--max-label", "0"], 1, "a highest label above the lowest"),
        (["check", "{wrong}", "--max-label", "nan"], 1, "a highest label above the lowest"),
        (["check", "gone.jsonl"], 2, "'gone.jsonl' does not exist"),
        (["convert", "{wrong}", "--to", "rank-llm", "x"], 2, "'rank-llm' is not one of"),
        (["convert", "{wrong}", "--to", "triplet", "-", "--json"], 2, "cannot both go to"),
        (["convert", "{wrong}", "--to", "triplet", "gone/x"], 1, "cannot write gone/x"),
    ],
)
def test_wrong_usage_is_said(wrong: Path, arguments: list[str], code: int, said: str) -> None:
    result = rr(*(argument.format(wrong=wrong) for argument in arguments))

    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""
