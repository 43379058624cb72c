"""`rr tensors train` and `refresh` as their user meets them: smaller tensors for an index."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'train'")

from retrieve_rerank.models.checkpoints.version_record import read_record
from retrieve_rerank.models.loading import load_encoder, load_pair_model
from retrieve_rerank.training.token_projection.saving import save_projected
from tests.cli.conftest import Rr
from tests.models.tiny import TEXTS, make_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

WORDS = sorted({word for text in TEXTS for word in text.split()})
QUERIES = {"train": 6, "dev": 3, "test": 4}
ENOUGH = {"train": 6, "dev": 3, "test": 31}


@pytest.fixture
def encoder(home: Path) -> Path:
    return make_model(home / "encoder", "bert")


@pytest.fixture
def judged(rr: Rr, home: Path, encoder: Path) -> Path:
    return make_judged(rr, home, encoder, documents=20, queries=QUERIES)


def make_judged(
    rr: Rr, home: Path, encoder: Path, *, documents: int, queries: Mapping[str, int]
) -> Path:
    """Index as `docs` documents of three words, and judge a query of two of some of them."""
    draw = random.Random(3)
    folder = home / "judged"
    (folder / "qrels").mkdir(parents=True)
    texts = [draw.sample(WORDS, 3) for _ in range(documents)]
    corpus = [{"_id": f"d{n}", "text": " ".join(words)} for n, words in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in corpus))
    asked, numbers = [], iter(range(documents))
    for split, count in queries.items():
        rows = ["query-id\tcorpus-id\tscore\n"]
        for n in [next(numbers) for _ in range(count)]:
            asked.append({"_id": f"q{n}", "text": " ".join(texts[n][:2])})
            rows.append(f"q{n}\td{n}\t1\n")
        (folder / "qrels" / f"{split}.tsv").write_text("".join(rows))
    (folder / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked))
    indexed = rr("index", str(folder), "--index", "docs", "--encoder", str(encoder))
    assert indexed.exit_code == 0, indexed.stderr
    return folder


def test_a_projection_is_trained_measured_and_given_to_the_index(
    rr: Rr, home: Path, judged: Path, encoder: Path
) -> None:
    train = ("tensors", "train", "--index", "docs", "--data", str(judged), "--dimensions", "6")
    trained = rr(*train, "--refresh")  # which these few queries do not earn
    assert trained.exit_code == 0, trained.stderr
    for name, dimensions in (("all dimensions", 32), ("principal axes", 6), ("trained", 6)):
        [line] = [line for line in trained.stdout.splitlines() if f"  {name} " in line]
        assert line.split()[0] == str(dimensions)
        assert line.split()[-1] == f"{60 * dimensions:,}"
    assert "4 queries are too few to tell whether it loses 0.005" in trained.stdout
    assert "rr tensors refresh --index docs --model docs-tokens@1" in trained.stdout
    assert "principal axes, dev nDCG@10" in trained.stderr

    again = json.loads(rr(*train, "--json").stdout)  # done before: nothing is trained again
    assert (again["name"], again["version"]) == ("docs-tokens", 1)
    found = {each["name"]: each for each in again["verdict"]["systems"]}
    sizes = [found[name]["document_bytes"] for name in ("trained", "all dimensions")]
    assert sizes[0] == pytest.approx(sizes[1] * 6 / 32)
    assert read_record(Path(again["folder"])).verdict == again["verdict"]["sentence"]
    other = json.loads(rr(*train[:-1], "5", "--name", "other", "--json").stdout)
    looks = [
        json.loads((Path(each["folder"]) / "provenance.json").read_text())["looks_at_test"]
        for each in (again, other)
    ]
    assert looks == [1, 2]

    query = json.loads((judged / "queries.jsonl").read_text().splitlines()[0])["text"]
    before = json.loads(rr("search", query, "--index", "docs", "--json").stdout)
    refreshed = rr("tensors", "refresh", "--index", "docs", "--model", "docs-tokens@1")
    assert refreshed.exit_code == 0, refreshed.stderr
    assert refreshed.stdout.startswith(
        "20 documents have tensors of 6 numbers a token, made by docs-tokens@1, in "
    )
    after = json.loads(rr("search", query, "--index", "docs", "--json").stdout)
    assert [stage["name"] for stage in after["stages"]] == ["first-stage", "max-sim"]
    assert len(after["hits"]) == len(before["hits"])
    index = json.loads(rr("info", "--index", "docs", "--json").stdout)["index"]
    made = index["details"]["tensors"]
    assert (made["encoder"], made["dimension"]) == ("docs-tokens@1", 6)
    assert made["fingerprint"] == load_encoder(again["folder"]).fingerprint
    assert index["encoder"] == str(encoder)

    whole = rr("tensors", "refresh", "--index", "docs", "--model", str(encoder))
    assert "of 32 numbers a token" in whole.stdout
    assert "The disk holds the index twice meanwhile" in whole.stderr


def test_tensors_are_given_to_the_index_at_once_where_they_are_proved(
    rr: Rr, home: Path, encoder: Path
) -> None:
    judged = make_judged(rr, home, encoder, documents=40, queries=ENOUGH)
    train = ("tensors", "train", "--index", "docs", "--data", str(judged), "--dimensions", "31")
    proved = rr(*train, "--margin", "0.9", "--refresh")
    assert proved.exit_code == 0, proved.stderr
    assert "It is kept as docs-tokens@1, and given to the index." in proved.stdout
    assert "40 documents have tensors of 31 numbers a token, made by docs-tokens@1" in proved.stdout
    made = json.loads(rr("info", "--index", "docs", "--json").stdout)["index"]["details"]["tensors"]
    assert (made["encoder"], made["dimension"]) == ("docs-tokens@1", 31)

    assert rr("tensors", "refresh", "--index", "docs", "--model", str(encoder)).exit_code == 0
    again = rr(*train, "--margin", "0.9", "--refresh", "--json")  # trained before
    told = json.loads(again.stdout)
    assert (told["name"], told["version"], told["refreshed"]["dimension"]) == ("docs-tokens", 1, 31)


def test_an_encoder_is_trained_and_proved_with_fewer_dimensions_and_a_teacher(
    rr: Rr, home: Path, judged: Path, encoder: Path
) -> None:
    teacher = make_model(home / "teacher", "bert", labels=1)
    whole = ("tensors", "train", "--index", "docs", "--data", str(judged), "--trainable", "encoder")
    train = (*whole, "--dimensions", "6", "--teacher", str(teacher))
    trained = rr(*train)
    assert trained.exit_code == 0, trained.stderr
    for name, dimensions in (("max-sim today", 32), ("trained", 6)):
        [line] = [line for line in trained.stdout.splitlines() if line.startswith(f"{name} ")]
        assert line.split()[-3] == str(dimensions)
        assert line.split()[-1] == f"{60 * dimensions:,}"
    assert "first stage " in trained.stdout
    assert "4 queries do not tell it from the tensors that serve" in trained.stdout
    assert "rr tensors refresh --index docs --model docs-tokens@1" in trained.stdout
    assert "dev nDCG@10" in trained.stderr

    again = json.loads(rr(*train, "--json").stdout)  # done before: nothing is trained again
    assert (again["version"], again["training"]["loss"]) == (1, "1 · kl + 1 · lce")
    folder = Path(again["folder"])
    assert read_record(folder).verdict == again["verdict"]["sentence"]
    assert again["verdict"]["sentence"] in (folder / "README.md").read_text()
    settings = json.loads((folder / "provenance.json").read_text())["settings"]
    assert (settings["base"], settings["dimensions"]) == (str(encoder), 6)
    looks = folder.parents[2] / "finetune" / "docs-tokens" / "looks.jsonl"
    assert len(looks.read_text().splitlines()) == 1
    assert (folder / "openvino").is_dir()
    assert load_encoder(str(folder), device="cpu").token_dimension == 6

    assert rr("tensors", "refresh", "--index", "docs", "--model", "docs-tokens@1").exit_code == 0
    more = home / "more.jsonl"
    more.write_text(json.dumps({"_id": "new", "text": "cat mat"}) + "\n")
    assert rr("index", str(more), "--index", "docs").exit_code == 0
    index = json.loads(rr("info", "--index", "docs", "--json").stdout)["index"]
    assert (index["encoder"], index["details"]["tensors"]["dimension"]) == (str(encoder), 6)
    found = json.loads(rr("search", "cat mat", "--index", "docs", "--json").stdout)
    assert [stage["name"] for stage in found["stages"]] == ["first-stage", "max-sim"]
    assert "new" in [hit["id"] for hit in found["hits"]]

    for wrong, said in (
        ((*whole, "--loss", "distil"), "--loss is for --trainable projection"),
        ((*whole[:-2], "--minutes", "3"), "--minutes is for --trainable encoder"),
    ):
        refused = rr(*wrong)
        assert refused.exit_code == 2
        assert said in refused.stderr
    refused = rr(*whole)
    assert refused.exit_code == 1
    assert "docs-tokens@1 has layers of its own for tokens" in refused.stderr


def test_a_cross_encoder_teaches(rr: Rr, home: Path, judged: Path) -> None:
    teacher = make_model(home / "teacher", "bert", labels=1)
    train = ("tensors", "train", "--index", "docs", "--data", str(judged), "--dimensions", "6")
    few = ("--train-queries", "3", "--dev-queries", "2", "--test-queries", "2")
    taught = rr(*train, *few, "--teacher", str(teacher), "--json")
    assert taught.exit_code == 0, taught.stderr
    model = Path(json.loads(taught.stdout)["folder"])
    made = json.loads((model / "provenance.json").read_text())["settings"]
    assert made["teacher"].startswith(load_pair_model(str(teacher)).fingerprint)
    encoder = rr(*train, "--teacher", "all-MiniLM-L6-v2")
    assert encoder.exit_code == 1
    wrong = rr(*train, "--teacher", str(teacher), "--loss", "contrast")
    assert wrong.exit_code == 2
    assert "--teacher is for --loss distil" in wrong.stderr


def test_an_index_at_a_server_is_given_a_projection_and_writes_by_it(
    rr: Rr, home: Path, judged: Path, encoder: Path
) -> None:
    url = f"qdrant+local://{home}/collections/docs"
    assert rr("index", str(judged), "--index", url, "--encoder", str(encoder)).exit_code == 0
    whole = load_encoder(str(encoder))
    save_projected(whole, np.eye(32, 6, dtype=np.float32), home / "smaller")
    refresh = ("tensors", "refresh", "--index", url, "--model", str(home / "smaller"))

    said = json.loads(rr(*refresh, "--dry-run", "--json").stdout)
    assert (said["documents"], said["settings"]["dimension"]) == (20, 6)
    assert said["bytes"] < 20 * 5 * 6 * 2
    dry = rr(*refresh, "--dry-run", "--rate", "0.5")
    assert "tensors of 6 float16 numbers a token, pooled by 2, and about 40 s\n" in dry.stdout
    assert "32 float16 numbers" in rr("tensors", "status", "--index", url).stdout

    done = rr(*refresh)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("20 documents have tensors of 6 numbers a token, made by ")
    assert "20 of them were made now; the old ones are deleted" in done.stdout
    more = home / "more.jsonl"
    more.write_text(json.dumps({"_id": "new", "text": " ".join(WORDS[:3])}) + "\n")
    assert rr("index", str(more), "--index", url).exit_code == 0
    status = json.loads(rr("tensors", "status", "--index", url, "--json").stdout)
    assert (status["settings"]["dimension"], status["present"]) == (6, 21)
    again = json.loads(rr(*refresh, "--json").stdout)
    assert (again["documents"], again["added"], again["replaced"]) == (21, 0, 0)

    other = make_model(home / "other", "roberta")  # whose vectors are not those of the index
    assert rr(*refresh[:-1], str(other)).exit_code == 0
    more.write_text(json.dumps({"_id": "new", "text": " ".join(WORDS[1:4])}) + "\n")
    assert rr("index", str(more), "--index", url).exit_code == 0
    status = json.loads(rr("tensors", "status", "--index", url, "--json").stdout)
    assert (status["settings"]["dimension"], status["present"], status["stale"]) == (32, 21, 0)
    found = json.loads(rr("search", " ".join(WORDS[1:4]), "--index", url, "--json").stdout)
    assert [stage["name"] for stage in found["stages"]] == ["first-stage", "max-sim"]
    assert found["hits"][0]["id"] == "new"


def test_what_cannot_be_projected_or_refreshed_is_said(
    rr: Rr, home: Path, judged: Path, encoder: Path
) -> None:
    wide = rr("tensors", "train", "--index", "docs", "--data", str(judged), "--dimensions", "33")
    assert wide.exit_code == 1
    assert "expected 1 to 32 dimensions" in wide.stderr

    assert rr("index", str(judged), "--index", "words", "--encoder", "none").exit_code == 0
    for command in (
        ("train", "--data", str(judged)),
        ("refresh", "--model", str(encoder)),
    ):
        refused = rr("tensors", *command, "--index", "words")
        assert refused.exit_code == 1
        assert "has no token tensors" in refused.stderr

    url = f"qdrant+local://{home}/collections/docs"
    assert rr("index", str(judged), "--index", url, "--encoder", "none").exit_code == 0
    for where, said in {
        url: f"has no token tensors to make anew; rr tensors add --model {encoder} makes the first",
        "memory://": f"rr tensors drop, then rr tensors add --model {encoder}",
    }.items():
        refused = rr("tensors", "refresh", "--index", where, "--model", str(encoder))
        assert refused.exit_code == 1
        assert said in refused.stderr
    rated = rr("tensors", "refresh", "--index", "docs", "--model", str(encoder), "--rate", "5")
    assert rated.exit_code == 1
    assert "--rate is for an index at a server" in rated.stderr
