from __future__ import annotations

import gzip
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from retrieve_rerank.cli.views import progress
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from tests.cli.conftest import DOCUMENTS, Rr
from tests.commands import RR


def summary(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def texts(folder: Path) -> dict[str, str]:
    with EmbeddedConnector.connect(str(folder)) as connector:
        return {document.id: document.text for document in connector.scan()}


def test_an_index_is_made_added_to_and_left_alone(rr: Rr, corpus: Path, tmp_path: Path) -> None:
    command = ["index", str(corpus), "--index", "docs", "--encoder", "none", "--json"]
    first = rr(*command)
    assert (first.exit_code, first.stderr) == (0, "")
    assert (summary(first)["indexed"], summary(first)["documents"]) == (4, 4)
    assert summary(first)["bytes_per_document"] > 0
    again = summary(rr(*command))
    assert (again["indexed"], again["unchanged"], again["documents"]) == (0, 4, 4)
    with corpus.open("a") as file:
        file.write('{"id": "new", "text": "a new one"}\n')
    more = summary(rr(*command))
    assert (more["indexed"], more["unchanged"], more["documents"]) == (1, 4, 5)
    assert Path(more["index"]) == tmp_path / "home" / "retrieve-rerank" / "indexes" / "docs"


def test_people_see_a_summary(rr: Rr, corpus: Path) -> None:
    result = rr("index", str(corpus), "--index", "./here")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("4 documents indexed, 0 unchanged, in ")
    assert second.startswith(f"{corpus.parent}/here: 4 documents, ")


def test_a_folder_of_notes_becomes_an_index_with_titles(rr: Rr, home: Path) -> None:
    (home / "notes").mkdir()
    (home / "notes" / "a.md").write_text("# Wings\n\nThey lift.")
    assert rr("index", "notes", "--index", "docs", "--encoder", "none").exit_code == 0
    hit = json.loads(rr("search", "lift", "--json").stdout)["hits"][0]
    assert (hit["id"], hit["title"]) == ("a.md", "Wings")


def test_standard_input_is_indexed(rr: Rr) -> None:
    lines = "".join(json.dumps(document) + "\n" for document in DOCUMENTS)
    result = rr("index", "-", "--index", "docs", "--encoder", "none", "--json", input=lines)
    assert summary(result)["indexed"] == 4


def test_fields_can_be_named(rr: Rr, home: Path) -> None:
    (home / "a.csv").write_text("url,headline,abstract\nu1,Wings,They lift.\n")
    names = ["--id-field", "url", "--title-field", "headline", "--text-field", "abstract"]
    assert rr("index", "a.csv", "--index", "docs", "--encoder", "none", *names).exit_code == 0
    hit = json.loads(rr("search", "lift", "--json").stdout)["hits"][0]
    assert (hit["id"], hit["title"], hit["text"]) == ("u1", "Wings", "They lift.")


def test_long_texts_are_split_into_passages_on_request(rr: Rr, home: Path) -> None:
    (home / "a.jsonl").write_text(json.dumps({"id": "a", "text": "One two three. " * 20}))
    command = ["index", "a.jsonl", "--index", "docs", "--encoder", "none", "--passages", "30"]
    assert summary(rr(*command, "--json"))["documents"] == 2
    found = json.loads(rr("search", "three", "--filter", "parent=a", "--json").stdout)
    assert {hit["id"] for hit in found["hits"]} == {"a#0", "a#1"}


def test_documents_that_a_folder_no_longer_has_are_named_and_pruned_on_request(
    rr: Rr, home: Path
) -> None:
    for name in ("a.md", "b.md", "c.md", "d.txt"):
        (home / "notes").mkdir(exist_ok=True)
        (home / "notes" / name).write_text(f"One two three {name}. " * 20)
    command = ["index", "notes", "--index", "docs", "--encoder", "none", "--passages", "30"]
    assert summary(rr(*command, "--json"))["documents"] > 8
    for name in ("a.md", "b.md"):
        (home / "notes" / name).unlink()
    (home / "notes" / "c.md").write_text("One two three.")

    result = rr(*command)
    assert result.exit_code == 0
    assert re.search(
        r"^\d+ deleted that their documents are not cut into any more$", result.stdout, re.M
    )
    [note] = result.stderr.splitlines()
    assert note.startswith(
        "Note: the index holds 2 documents that these sources do not have: 'a.md'"
    )
    assert "the same command with --prune deletes" in note
    (home / "notes" / "d.txt").write_bytes(b"\xff")
    result = rr(*command, "--prune", "--skip-bad")
    assert result.stderr.startswith("Note: nothing was pruned, since the sources could not be read")
    assert summary(rr(*command, "--json"))["absent"] == []
    (home / "notes" / "d.txt").unlink()
    pruned = summary(rr(*command, "--prune", "--json"))
    assert (pruned["documents"], pruned["absent"]) == (1, [])
    assert pruned["pruned"] > 6


def test_texts_longer_than_the_encoder_reads_are_counted(rr: Rr, home: Path) -> None:
    (home / "a.jsonl").write_text(json.dumps({"id": "a", "text": "word " * 200_000}))
    result = rr("index", "a.jsonl", "--index", "docs")
    assert result.exit_code == 0
    assert "1 are longer than the encoder reads" in result.stdout


def test_a_terminal_sees_a_bar_and_a_log_sees_lines(
    rr: Rr, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    log = rr("index", str(corpus), "--index", "log", "--encoder", "none").stderr
    assert re.fullmatch(r"4 documents, [\d,.]+/s, 100%, about 0 s left\n", log)

    reader, terminal = pty.openpty()
    command = [*RR, "index", str(corpus), "--index", "bar", "--encoder", "none"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True)
    os.close(terminal)
    bar = os.read(reader, 10_000).decode()
    os.close(reader)
    assert "100%" in bar
    assert "4 at " in bar


class Bad(NamedTuple):
    line: bytes
    message: str


BAD = [
    Bad(b'{"id": "b"', "malformed JSON: "),
    Bad(b'{"text": "no id"}', "missing id: "),
    Bad(b'{"id": "", "text": "t"}', "empty id"),
    Bad(b'{"id": "good", "text": "again"}', "duplicate id: 'good'"),
    Bad(b'{"id": "c", "text": " "}', "empty text: "),
    Bad(b'{"id": "d", "text": "\xff"}', "invalid UTF-8: "),
    Bad(b'{"id": "e", "text": "t", "n": 9223372036854775808}', "unfit metadata: "),
]


def test_bad_records_are_left_out_and_reported_by_line(rr: Rr, home: Path) -> None:
    (home / "a.jsonl").write_bytes(
        b'{"id": "good", "text": "t"}\n' + b"\n".join(bad.line for bad in BAD)
    )
    command = ["index", "a.jsonl", "--index", "docs", "--encoder", "none", "--json"]
    result = rr(*command)
    assert result.exit_code == 1
    assert (summary(result)["indexed"], sum(summary(result)["skipped"].values())) == (1, len(BAD))
    lines = result.stderr.splitlines()
    for number, (line, bad) in enumerate(zip(lines, BAD, strict=False), start=2):
        assert line.startswith(f"a.jsonl:{number}: {bad.message}")
    assert lines[-2].startswith("Left out: 1 malformed JSON, 1 missing id")
    assert lines[-1] == f"Error: {len(BAD)} records were left out; --skip-bad accepts that"
    assert rr(*command, "--skip-bad").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.jsonl"], 1, "cannot read gone.jsonl: No such file or directory"),
        (["empty.jsonl"], 1, "there is no document to index"),
        (["bad.jsonl"], 1, "there is no document to index"),
        (["other"], 1, "holds neither corpus.jsonl nor .txt"),
        (["broken.jsonl.gz"], 1, "cannot read broken.jsonl.gz: Not a gzipped file"),
        (["corpus.jsonl", "gone.jsonl"], 1, "cannot read gone.jsonl"),
        (["corpus.jsonl", "--encoder", "./gone"], 1, "./gone"),
        (["corpus.jsonl", "--passages", "0"], 2, "Invalid value for '--passages'"),
        ([], 2, "Missing argument 'SOURCE...'"),
    ],
)
@pytest.mark.usefixtures("corpus")
def test_what_cannot_be_read_is_said_before_anything_is_made(
    rr: Rr, home: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (home / "other").mkdir()
    (home / "empty.jsonl").touch()
    (home / "bad.jsonl").write_text("{")
    (home / "broken.jsonl.gz").write_bytes(b"no gzip")
    result = rr("index", *arguments, "--index", "docs")
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr.splitlines()[-1]
    assert not list((tmp_path / "home").rglob("manifest.json"))


def test_the_index_must_be_named(rr: Rr, corpus: Path) -> None:
    result = rr("index", str(corpus))
    assert result.exit_code == 2
    assert "--index NAME" in result.stderr


def test_a_file_that_breaks_off_is_indexed_as_far_as_it_goes(rr: Rr, home: Path) -> None:
    lines = "".join(f'{{"id": {n}, "text": "{os.urandom(20).hex()}"}}\n' for n in range(5000))
    (home / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:-1000])
    result = rr("index", "a.jsonl.gz", "--index", "docs", "--encoder", "none", "--json")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: cannot read a.jsonl.gz beyond line ")
    assert f"beyond line {summary(result)['documents']}:" in last


def test_a_quote_that_is_never_closed_is_an_error_whatever_is_accepted(rr: Rr, home: Path) -> None:
    (home / "a.csv").write_text('id,text\n0,ok\n1,"unclosed\n2,ok\n3,ok\n')
    result = rr("index", "a.csv", "--index", "docs", "--encoder", "none", "--json", "--skip-bad")
    assert (result.exit_code, summary(result)["documents"]) == (1, 1)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: a.csv:3: a quote that is opened in this row is never closed")


def test_made_anew_from_a_source_that_breaks_off_the_old_index_stays(
    rr: Rr, home: Path, corpus: Path, tmp_path: Path
) -> None:
    rr("index", str(corpus), "--index", "docs", "--encoder", "none")
    before = texts(index_of(tmp_path))
    lines = "".join(f'{{"id": {n}, "text": "{os.urandom(20).hex()}"}}\n' for n in range(5000))
    (home / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:-1000])
    result = rr("index", "a.jsonl.gz", "--index", "docs", "--encoder", "none", "--recreate")
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: cannot read a.jsonl.gz beyond line ")
    assert last.endswith("The index is as it was")
    assert texts(index_of(tmp_path)) == before
    assert {each.name for each in index_of(tmp_path).iterdir()} == {
        "lock",
        "manifest.json",
        "shard",
    }


def test_a_corpus_in_another_language_is_indexed_by_words_and_models_are_named(
    rr: Rr, home: Path
) -> None:
    text = "自然人从事工商业经营，经依法登记，为个体工商户。个体工商户可以起字号。"
    (home / "a.jsonl").write_text(json.dumps({"id": "a", "text": text}, ensure_ascii=False))
    result = rr("index", "a.jsonl", "--index", "docs")
    assert result.exit_code == 0
    [note] = result.stderr.splitlines()
    assert note.startswith("Note: the documents look Chinese")
    assert "bge-m3" in note
    assert "multilingual-e5-small" in note
    found = json.loads(rr("search", "工商户的字号", "--json").stdout)
    assert [hit["id"] for hit in found["hits"]] == ["a"]
    assert found["hits"][0]["sources"].keys() == {"bm25"}


def test_the_language_is_told_by_no_more_text_than_is_held(
    rr: Rr, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.connectors.batches.SAMPLE_CHARACTERS", 20)
    texts = ["自然人从事工商业经营，经依法登记，为个体工商户。", *["the lift of a thin wing"] * 30]
    lines = [json.dumps({"id": f"d{n}", "text": text}) for n, text in enumerate(texts)]
    (home / "a.jsonl").write_text("\n".join(lines))
    result = rr("index", "a.jsonl", "--index", "docs", "--json")
    assert "the documents look Chinese" in result.stderr
    assert summary(result)["documents"] == 31


def test_an_encoder_that_is_asked_for_is_taken_for_any_language(rr: Rr, home: Path) -> None:
    (home / "a.jsonl").write_text(
        '{"id": "a", "text": "自然人从事工商业经营，经依法登记，为个体工商户。"}'
    )
    result = rr("index", "a.jsonl", "--index", "docs", "--encoder", "all-MiniLM-L6-v2", "--json")
    assert result.exit_code == 0
    assert "do not look English" in result.stderr
    assert summary(result)["encoder"] == "all-MiniLM-L6-v2"


@pytest.mark.usefixtures("lexical")
def test_another_encoder_needs_a_new_index(rr: Rr, corpus: Path) -> None:
    command = ["index", str(corpus), "--index", "docs", "--encoder", "all-MiniLM-L6-v2", "--json"]
    result = rr(*command)
    assert result.exit_code == 1
    assert "made with encoder none; got --encoder all-MiniLM-L6-v2" in result.stderr
    assert summary(rr(*command, "--recreate"))["encoder"] == "all-MiniLM-L6-v2"


def test_a_url_names_an_embedded_index_too(rr: Rr, corpus: Path, home: Path) -> None:
    url = f"embedded://{home}/here"
    command = ["index", str(corpus), "--index", url, "--encoder", "none", "--json"]
    assert summary(rr(*command))["indexed"] == 4
    assert summary(rr(*command, "--recreate"))["indexed"] == 4
    assert summary(rr(*command))["unchanged"] == 4


@pytest.mark.usefixtures("corpus")
def test_recreate_deletes_no_folder_that_is_no_index(rr: Rr, home: Path) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "diary.txt").touch()
    result = rr("index", "corpus.jsonl", "--index", "./mine", "--encoder", "none", "--recreate")
    assert result.exit_code == 1
    assert "holds other files (diary.txt)" in result.stderr
    assert (home / "mine" / "diary.txt").exists()


def test_a_full_disk_stops_before_anything_is_lost(
    rr: Rr, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    result = rr("index", str(corpus), "--index", "docs", "--encoder", "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "free some and run the same again" in result.stderr


def many(count: int) -> str:
    return "".join(f'{{"id": "d{n}", "text": "text number {n}"}}\n' for n in range(count))


def index_of(tmp_path: Path) -> Path:
    return tmp_path / "home" / "retrieve-rerank" / "indexes" / "docs"


@pytest.mark.usefixtures("home")
def test_ctrl_c_keeps_what_is_indexed_and_the_same_command_goes_on(tmp_path: Path) -> None:
    lines = many(3000)
    command = [*RR, "index", "-", "--index", "docs", "--encoder", "none"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(lines)
        process.stdin.flush()  # and it stays open, so that the command waits for more
        while not (index_of(tmp_path) / "manifest.json").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        said = process.stderr.read()
    assert "Traceback" not in said
    kept = re.search(r"([\d,]+) documents of the sources are in the index and stay there", said)
    assert kept, said
    assert "the same command goes on from there" in said
    assert len(texts(index_of(tmp_path))) >= int(kept[1].replace(",", ""))
    done = subprocess.run([*command, "--json"], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents"] == 3000
    assert len(texts(index_of(tmp_path))) == 3000


@pytest.mark.usefixtures("home")
def test_two_that_make_one_index_at_once_both_go_on(tmp_path: Path) -> None:
    command = [*RR, "index", "corpus.jsonl", "--index", "docs", "--encoder", "none"]
    Path("corpus.jsonl").write_text(many(300))
    racers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [racer.communicate(timeout=60)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], said
    assert len(texts(index_of(tmp_path))) == 300


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_nothing_is_lost_or_doubled(
    home: Path, tmp_path: Path
) -> None:
    (home / "corpus.jsonl").write_text(many(5000))
    command = [*RR, "index", "corpus.jsonl", "--index", "docs", "--encoder", "none", "--json"]
    for delay in (0.4, 0.8, 1.0, 1.3, 1.6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents"] == 5000
    assert texts(index_of(tmp_path)) == {f"d{n}": f"text number {n}" for n in range(5000)}
