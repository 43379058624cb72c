"""A promoted model serves its index, wherever that is searched."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retrieve_rerank import connect
from retrieve_rerank.cli import main
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.version_record import Record, Serving, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.settings.build import locate
from retrieve_rerank.settings.promoted import index_address, stages_digest
from retrieve_rerank.settings.sources import load_settings

tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")

DOCUMENTS = [f"document {n}: wings and lift, drag of {n} tails" for n in range(8)]


def rr(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="rr", catch_exceptions=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tiny.make_model(tmp_path_factory.mktemp("trained"), "bert", labels=1)
    return folder


@pytest.fixture
def index(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An index, embedded unless told otherwise, by a name of rr.toml."""
    monkeypatch.setenv("RR_DATA_DIR", str(home / "data"))
    lines = (json.dumps({"_id": f"d{n}", "text": text}) for n, text in enumerate(DOCUMENTS))
    (home / "corpus.jsonl").write_text("\n".join(lines))
    local = getattr(request, "param", "embedded") == "qdrant+local"
    url = f"qdrant+local://{home}/local/docs" if local else "own"
    (home / "rr.toml").write_text(f'[indexes.docs]\nurl = "{url}"\n')
    result = rr("index", "corpus.jsonl", "--index", "docs", "--encoder", "none")
    assert result.exit_code == 0, result.stderr
    return "docs"


def promote(
    model: Path, index: str, name: str = "docs-reranker", **serving: object
) -> ModelVersions:
    """Make the model a version that was measured on the index as it is set now."""
    settings = load_settings(index=index)
    found = {"replaces": stages_digest(settings.stages), "depth": 5, "weight": 0.75, **serving}
    write_record(
        model,
        Record(
            "2026-01-02T03:04:05+00:00",
            "better: nDCG@10 +0.100 on 300 held-out queries",
            0.1,
            0.05,
            0.15,
            Serving(index_address(locate(settings)), **found),  # type: ignore[arg-type]  # the test's own
        ),
    )
    versions = ModelVersions(settings.data_dir, name)
    versions.promote(versions.add(model))
    return versions


def stages(index: str, **given: object) -> list[tuple[str, int | None, float]]:
    with connect(index, **given) as retriever:  # type: ignore[arg-type]  # the test's own
        return [(each.reranker.name, each.depth, each.share) for each in retriever.stages]


def searched(*options: str, index: str = "docs") -> list[dict[str, object]]:
    result = rr("search", "lift of wings", "--index", index, "--json", *options)
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)["stages"]
    return found


@pytest.mark.parametrize("index", ["embedded", "qdrant+local"], indirect=True)
def test_nothing_changes_until_a_version_is_promoted(model: Path, index: str) -> None:
    before = stages(index)
    versions = ModelVersions(load_settings().data_dir, "docs-reranker")
    versions.add(model)
    assert stages(index) == before == []

    promote(model, index)

    assert stages(index) == [("cross-encoder", 5, 0.75)]
    assert [(s["name"], s["scored"], s["error"]) for s in searched()][1:] == [
        ("cross-encoder", 5, None)
    ]
    versions.rollback()
    assert stages(index) == []


def test_a_segment_has_a_model_of_its_own_and_others_the_one_for_all(
    model: Path, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = promote(model, index, "docs-reranker-sales", segment="sales & ads", depth=3)
    assert stages(index) == stages(index, segment="legal") == []
    promote(model, index, depth=6)  # later, and yet for the others alone

    assert stages(index) == stages(index, segment="legal") == [("cross-encoder", 6, 0.75)]
    assert stages(index, segment="sales & ads") == [("cross-encoder", 3, 0.75)]
    assert searched("--segment", "sales & ads")[1]["scored"] == 3
    assert searched()[1]["scored"] == 6
    monkeypatch.setenv("RR_SEGMENT", "sales & ads")
    assert stages(index) == [("cross-encoder", 3, 0.75)]
    assert "docs-reranker-sales@1" in rr("info", "--index", index).stdout

    own.rollback()
    assert stages(index) == [("cross-encoder", 6, 0.75)]


def test_what_a_caller_names_wins_over_what_is_promoted(model: Path, index: str) -> None:
    promote(model, index)

    assert stages(index, depth=3, weight=1.0) == [("cross-encoder", 3, 1.0)]
    assert stages(index, rerank="none") == []
    assert stages(index, stages=[{"reranker": "recency", "field": "year"}])[0][0] == "recency"
    assert stages(index, model="all-MiniLM-L6-v2")[0][0] == "max-sim"
    assert searched("--rerank", "none")[1:] == []
    assert searched("--depth", "2")[1]["scored"] == 2


def test_stages_that_were_changed_since_win_and_a_note_says_so(
    model: Path, index: str, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = home / "rr.toml"
    plain = config.read_text()
    config.write_text(plain + '[[stages]]\nreranker = "max-sim"\ndepth = 4\n')
    promote(model, index)
    assert stages(index) == [("cross-encoder", 5, 0.75)]
    promote(model, index, kept=1)
    assert [name for name, _, _ in stages(index)] == ["max-sim", "cross-encoder"]
    assert not caplog.records

    config.write_text(plain + '[[stages]]\nreranker = "max-sim"\ndepth = 6\n')

    with caplog.at_level(logging.WARNING):
        assert [stage[:2] for stage in stages(index)] == [("max-sim", 6)]
    assert "docs-reranker@2 is promoted for this index, but not used" in caplog.text
    shown = rr("info", "--index", index)
    assert "not used: it was measured in place of other stages" in " ".join(shown.stdout.split())


@pytest.mark.parametrize("damage", ["moved away", "truncated"])
def test_searches_go_on_without_a_model_that_is_gone_or_damaged(
    model: Path, index: str, home: Path, damage: str
) -> None:
    config = home / "rr.toml"
    config.write_text(config.read_text() + '[[stages]]\nreranker = "max-sim"\ndepth = 4\n')
    versions = promote(model, index)
    if damage == "moved away":
        shutil.move(versions.path(1), home / "elsewhere")
    else:
        weights = versions.path(1) / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])

    found = searched()

    assert [stage["name"] for stage in found] == ["first-stage", "max-sim", "docs-reranker@1"]
    assert found[1]["error"] is None and found[1]["scored"] == 4
    assert "promoted for this index, it cannot be used" in str(found[2]["error"])
    with connect(index) as retriever:
        result = retriever.search("lift of wings")
        assert result.degraded and len(result.hits) == len(DOCUMENTS)
        with pytest.raises(ModelError, match="rr models rollback docs-reranker"):
            retriever.search("lift of wings", on_error="raise")
    warned = rr("search", "lift of wings", "--index", index)
    assert "Warning: docs-reranker@1 left the order as it was" in " ".join(warned.stderr.split())
    if damage == "moved away":
        shown = rr("info", "--index", index)
        assert "is not there" in " ".join(shown.stdout.split())
        assert "its folder is not there" in rr("models", "list", "docs-reranker").stderr
        assert rr("models", "rollback", "docs-reranker").exit_code == 0
        assert [stage["name"] for stage in searched()] == ["first-stage", "max-sim"]


def test_langchain_and_evaluation_are_served_by_it_too(model: Path, index: str, home: Path) -> None:
    from langchain_core.documents import Document

    from retrieve_rerank.langchain import RerankDocumentCompressor, RetrieveRerankRetriever

    pytest.importorskip("ir_measures", reason="needs the extra 'eval'")
    with RetrieveRerankRetriever.from_index(index, k=3, include_report=True) as running:
        before = running.invoke("lift of wings")
        promote(model, index)
        after = running.invoke("lift of wings")  # with what it opened
    assert [document.id for document in after] == [document.id for document in before]
    assert len(after[0].metadata["search_report"]["stages"]) == 1
    with RetrieveRerankRetriever.from_index(index, k=3) as chained:
        ids = [document.id for document in chained.invoke("lift of wings")]
    texts = [Document(page_content=text) for text in DOCUMENTS]
    by_name, by_folder = (
        RerankDocumentCompressor(model=each).compress_documents(texts, "lift of wings")
        for each in ("docs-reranker", str(model))
    )
    assert by_name == by_folder
    with connect(index, top_k=3) as retriever:
        assert ids == [hit.document.id for hit in retriever.search("lift of wings")]
    (home / "queries.tsv").write_text("q1\tlift of wings\n")
    (home / "qrels.txt").write_text("q1 0 d3 1\n")
    measured = rr(
        *("eval", "--index", index, "--queries", "queries.tsv", "--qrels", "qrels.txt", "--json")
    )
    assert [s["name"] for s in json.loads(measured.stdout)["stages"]] == [
        "first-stage",
        "cross-encoder",
    ]


def test_info_shows_what_is_promoted(model: Path, index: str) -> None:
    assert json.loads(rr("info", "--index", index, "--json").stdout)["promoted"] is None
    promote(model, index)
    found = json.loads(rr("info", "--index", index, "--json").stdout)["promoted"]
    assert (found["model"], found["depth"], found["weight"]) == ("docs-reranker@1", 5, 0.75)
    assert found["problem"] is None
    assert "docs-reranker@1" in rr("info", "--index", index).stdout
