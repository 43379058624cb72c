"""The report and the card of a trained model."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.evaluation.evaluate import evaluate_rankings
from retrieve_rerank.models.checkpoints.folder import ModelFolder
from retrieve_rerank.training.card import write_card
from retrieve_rerank.training.gate import judge
from retrieve_rerank.training.held_out import HeldOut
from retrieve_rerank.training.provenance import Provenance, data_hash, index_fingerprint
from retrieve_rerank.training.reporting import Outcome, write_report
from retrieve_rerank.training.trainers.result import CurvePoint
from retrieve_rerank.training.tuning import JUDGED, PRIMARY, Trial, Tuned
from retrieve_rerank.types import Document, Qrels

COUNT = 60
QUERIES = {f"q{n}": f"<b>query</b> | number {n}" for n in range(COUNT)}
QRELS: Qrels = {query: {"good": 1, "bad": 0} for query in QUERIES}
FIRST, SECOND = ["good", "bad"], ["bad", "good"]


def outcome() -> Outcome:
    """Forty queries gain, five lose, the others stay."""
    before = {q: FIRST if n >= 40 else SECOND for n, q in enumerate(QUERIES)}
    after = {q: SECOND if n >= 55 else FIRST for n, q in enumerate(QUERIES)}
    systems = [
        evaluate_rankings(name, rankings, QRELS, measures=[PRIMARY, JUDGED])
        for name, rankings in (
            ("first stage", before),
            ("today re-tuned", before),
            ("tuned", after),
        )
    ]
    return Outcome(
        name="docs-reranker",
        index="qdrant://host:6333/docs",
        verdict=judge(before, after, QRELS, slices={"late": [f"q{n}" for n in range(25, COUNT)]}),
        held_out=HeldOut(
            systems,
            systems[1],
            QUERIES,
            QRELS,
            {"good": "What is <i>asked</i> for.", "bad": "Something else."},
        ),
        tuned=Tuned(
            0.8, 20, 0.9, [Trial(w, d, 0.5 + w / 10) for d in (10, 20) for w in (0.2, 0.8)]
        ),
        curve=[CurvePoint(0, None, 0.5), CurvePoint(10, 0.7, 0.6), CurvePoint(20, 0.4, 0.65)],
        facts={"groups": "120 of 130"},
        notes=["the loss rose at the end"],
    )


def test_the_table_compares_with_the_baseline() -> None:
    first, baseline, tuned = outcome().held_out.rows()
    assert (first.gain, first.low, first.high, first.p) == (0, 0, 0, 1)
    assert baseline.gain is None
    assert tuned.gain == pytest.approx(35 / 60 * (1 - 0.63093), abs=1e-4)
    assert tuned.low is not None and tuned.gain is not None and tuned.low > 0
    assert tuned.p == pytest.approx(1 / 10_001)
    assert tuned.judged == 1


def test_examples_show_the_best_hits_before_and_after() -> None:
    gained, lost = outcome().held_out.examples()
    assert len(gained) == len(lost) == 5
    assert [(place.text, place.relevant) for place in lost[0].after] == [
        ("Something else.", False),
        ("What is <i>asked</i> for.", True),
    ]
    assert gained[0].before == lost[0].after


def test_the_report_shows_everything_and_escapes_what_comes_from_outside(tmp_path: Path) -> None:
    made = outcome()
    write_report(tmp_path / "report.html", made)
    page = (tmp_path / "report.html").read_text()
    assert "Better." in page
    for part in (
        *("today re-tuned", "Learning curve", "Protected slices", "Lost most", "late"),
        *("qdrant://host:6333/docs", "the loss rose at the end", "120 of 130", "Weight and depth"),
    ):
        assert part in page
    assert page.count("<svg ") == 2
    assert "<b>query" not in page and "<i>asked" not in page
    assert "Against today" not in page
    served = judge(before := made.held_out.baseline.rankings, before, QRELS, served=before)
    write_report(tmp_path / "served.html", replace(made, verdict=served))
    as_it_is = "Against today&#39;s pipeline as it is: +0.0000, +0.0000 to +0.0000."
    assert as_it_is.replace("&#39;", "'") in (tmp_path / "served.html").read_text()
    held = judge(before, before, QRELS)
    write_report(tmp_path / "held.html", replace(made, verdict=held, curve=()))
    page = (tmp_path / "held.html").read_text()
    assert "Not promoted." in page and "Why not, and what to try" in page
    assert "Learning curve" not in page


def test_the_card_says_what_it_is_and_where_it_hurts(tmp_path: Path) -> None:
    schema = MemoryConnector([Document("a", "text")]).schema()
    provenance = Provenance(
        base="BAAI/bge-reranker-base",
        index="qdrant://host:6333/docs",
        index_fingerprint=index_fingerprint(schema),
        data={"test": data_hash(QRELS)},
        queries={"train": 300, "test": COUNT},
        settings={"learning_rate": 2e-5},
        looks_at_test=3,
    )
    write_card(tmp_path, outcome(), provenance, licence="mit")
    provenance.write(tmp_path)

    card = (tmp_path / "README.md").read_text()

    front = card.split("---")[1]
    for line in (
        "license: mit",
        "pipeline_tag: text-ranking",
        "base_model: BAAI/bge-reranker-base",
    ):
        assert line in front
    assert "library_name: sentence-transformers" in front
    assert ModelFolder(tmp_path, tmp_path, {}, {}, 1).licence == "mit"
    assert re.search(r"\| tuned \| 0\.\d{4} \| \+0\.2\d+ \| \+", card)
    assert "5 of 60 queries lost, 40 gained" in card
    assert "looked at 3 times" in card
    assert "- Lost: &lt;b>query&lt;/b> \\| number" in card
    for part in (data_hash(QRELS), "`2e-05`", provenance.index_fingerprint, "train 300, test 60"):
        assert part in card
    written = json.loads((tmp_path / "provenance.json").read_text())
    assert written["versions"]["retrieve-rerank"] and written["looks_at_test"] == 3


def test_fingerprints_change_with_what_they_are_of() -> None:
    one = MemoryConnector([Document("a", "text")]).schema()
    two = MemoryConnector([Document("a", "text"), Document("b", "text")]).schema()
    assert index_fingerprint(one) == index_fingerprint(one) != index_fingerprint(two)
    assert data_hash({"a": 1, "b": 2}) == data_hash({"b": 2, "a": 1}) != data_hash({"a": 1})
