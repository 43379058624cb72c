"""The audit, on an engine whose losses are known."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from retrieve_rerank import Document
from retrieve_rerank.base import Knob, Vectors, VectorSearch
from retrieve_rerank.cli.views.audit import print_audit
from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.evaluation.audit.audit import DRAWS, audit
from retrieve_rerank.evaluation.audit.findings import advice, findings, unmeasured
from retrieve_rerank.evaluation.audit.grid import grid, recall, widths
from retrieve_rerank.evaluation.audit.report import render_audit
from retrieve_rerank.evaluation.bootstrap import bootstrap
from retrieve_rerank.evaluation.evaluate import Latency
from retrieve_rerank.evaluation.report.plots import recall_by_latency, save_recall_by_latency
from retrieve_rerank.testing import HashingEncoder

ENCODER = HashingEncoder()
EF = Knob("hnsw_ef", (4, 10, 20), 10)
OVERSAMPLE = Knob("oversample", (0, 2), 0)
DOCUMENTS = [Document(f"d{i}", f"wing number {i}") for i in range(60)]
QUERIES = {f"q{i}": f"wing number {i}" for i in range(8)}


class Lossy(MemoryConnector, VectorSearch):
    """Of ten neighbours a walk of 10 misses the fifth and the tenth, quantised vectors the first.

    A walk of 20 misses none of them, nor do quantised vectors that are looked at twice. Without
    knobs it misses nothing.
    """

    def __init__(
        self,
        knobs: Sequence[Knob] = (EF, OVERSAMPLE),
        *,
        encoder: HashingEncoder | None = ENCODER,
        documents: Sequence[Document] = DOCUMENTS,
    ) -> None:
        super().__init__(documents, encoder=encoder)
        self._knobs = list(knobs)
        self.asked: list[Mapping[str, float]] = []

    def knobs(self, *, top_k: int) -> list[Knob]:
        return self._knobs

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        return ENCODER.embed_queries(queries)

    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        settings = settings or {}
        self.asked.append(settings)
        if not self._knobs:
            return self.nearest_exact(np.stack([vector]), top_k=top_k)[0]
        missed = {4, 9} if settings.get("hnsw_ef", 10) < 20 else set()
        if settings.get("oversample", 2) < 2:
            missed = {*missed, 0}
        [exact] = self.nearest_exact(np.stack([vector]), top_k=60)
        return [hit for place, hit in enumerate(exact) if place not in missed][:top_k]

    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        documents = list(self.scan())
        rows = self.query_vectors([document.text for document in documents])
        if on_progress:
            on_progress(len(documents))
        return [
            [
                (documents[i].id, float(rows[i] @ vector))
                for i in np.argsort(-(rows @ vector), kind="stable")[:top_k]
            ]
            for vector in vectors
        ]


def test_graph_and_quantisation_losses_are_told_apart() -> None:
    with Lossy() as connector:
        found = audit(connector, QUERIES, top_ks=[10])
    measured = {
        (each.settings["hnsw_ef"], each.settings["oversample"]): each for each in found.measured
    }
    assert measured.keys() == {(10, 0), (10, 2), (20, 0), (20, 2)}
    losses = {
        key: (each.recall, each.graph_loss, each.quantisation_loss)
        for key, each in measured.items()
    }
    assert losses == {
        (10, 0): pytest.approx((0.7, 0.2, 0.1)),
        (10, 2): pytest.approx((0.8, 0.2, 0.0)),
        (20, 0): pytest.approx((0.9, 0.0, 0.1)),
        (20, 2): pytest.approx((1.0, 0.0, 0.0)),
    }
    assert [key for key, each in measured.items() if each.default] == [(10, 0)]
    assert found.default(10) is measured[10, 0]
    assert found.cheapest(10) is measured[20, 2]
    assert advice(found) == {"hnsw_ef": 20, "oversample": 2}
    assert all(each.low <= each.recall <= each.high for each in found.measured)
    assert all(0 < each.ms.p50 <= each.ms.p95 for each in found.measured)


def test_queries_of_which_only_the_beginning_is_read_are_counted() -> None:
    class Short(Lossy):
        def truncated_queries(self, queries: Sequence[str]) -> int:
            return len(queries) - 1

    with Short() as connector:
        found = audit(connector, QUERIES, top_ks=[10])
    assert found.to_dict()["truncated_queries"] == len(QUERIES) - 1
    assert "only the beginning was searched for" in findings(found)[-1]


def test_a_recall_out_of_reach_is_said() -> None:
    with Lossy([Knob("hnsw_ef", (4,), 4), OVERSAMPLE]) as connector:
        found = audit(connector, QUERIES, top_ks=[10])
    assert found.cheapest(10) is None
    assert advice(found) is None
    [said] = findings(found)
    assert "No setting tried reaches 0.99; the best, hnsw_ef " in said
    assert "oversample 2, reaches 0.8000" in said
    assert "The graph loses 0.2000, quantisation 0.1000." in said


def test_searches_take_turns() -> None:
    with Lossy() as connector:
        audit(connector, QUERIES, top_ks=[10])
        turns = connector.asked[-4 * len(QUERIES) :]
    for start in range(0, len(turns), 4):
        assert len({str(settings) for settings in turns[start : start + 4]}) == 4


def test_walks_are_widened_until_nothing_is_missed_and_once_more() -> None:
    knob = Knob("hnsw_ef", (10, 20, 40, 80, 160), 10)
    with Lossy([knob, OVERSAMPLE]) as connector:
        found = audit(connector, QUERIES, top_ks=[10])
    assert sorted({each.settings["hnsw_ef"] for each in found.measured}) == [10, 20, 40]


def test_of_equally_fast_settings_the_one_of_least_work_is_chosen() -> None:
    with Lossy() as connector:
        found = audit(connector, QUERIES, top_ks=[10], target_recall=0.5)
    same = [replace(each, ms=Latency(1.0 + i / 100, 2.0)) for i, each in enumerate(found.measured)]
    for measured in (same, same[::-1]):
        cheapest = replace(found, measured=measured).cheapest(10)
        assert cheapest is not None
        assert cheapest.settings == {"hnsw_ef": 10, "oversample": 0}
    slower = [replace(each, ms=Latency(1.0 / (i + 1), 2.0)) for i, each in enumerate(same)]
    cheapest = replace(found, measured=slower).cheapest(10)
    assert cheapest is not None
    assert cheapest.settings == {"hnsw_ef": 20, "oversample": 2}


def test_progress_tells_searches_and_how_many_there_will_be() -> None:
    exact: list[int] = []
    searches: list[tuple[int, int]] = []
    with Lossy() as connector:
        audit(
            connector,
            QUERIES,
            top_ks=[10],
            on_exact=exact.append,
            on_search=lambda count, total: searches.append((count, total)),
        )
    assert sum(exact) >= 60
    assert searches == [(4, 32)] * 8


def test_judgments_tell_what_the_encoder_misses() -> None:
    with Lossy() as connector:
        [nearest] = connector.nearest_exact(connector.query_vectors(["wing number 1"]), top_k=60)
        # the first is found by exact search only, the eleventh beyond its ten, and one nowhere
        relevant = {nearest[0][0]: 1, nearest[10][0]: 1, "gone": 1}
        found = audit(connector, QUERIES, qrels={"q1": relevant, "zz": {"x": 1}}, top_ks=[10])
    judged = found.relevance
    assert judged is not None
    assert judged.queries == 1
    assert judged.found == pytest.approx({10: 1 / 3, 100: 2 / 3, 1000: 2 / 3})
    # without the first, fifth and tenth, the eleventh comes eighth
    assert judged.found_approximate == pytest.approx({10: 1 / 3})
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert judged.ndcg_exact == pytest.approx(1 / ideal)
    assert judged.ndcg_approximate == pytest.approx(1 / np.log2(9) / ideal)
    assert "66.7% among its first 1,000" in findings(found)[-1]


@pytest.mark.parametrize("of_passages", [False, True])
@pytest.mark.parametrize("top_k", [5, 10, 100])
def test_where_every_search_is_exact_judgments_see_no_loss(top_k: int, of_passages: bool) -> None:
    texts = [f"wing number {i} of {i // 4}" for i in range(400)]
    documents = [
        Document(f"d{i // 4}#{i % 4}", text, {"parent": f"d{i // 4}", "passage": i % 4})
        if of_passages
        else Document(f"d{i}", text)
        for i, text in enumerate(texts)
    ]
    qrels = {query: {f"d{i}": 1, f"d{i + 9}": 1, "gone": 1} for i, query in enumerate(QUERIES)}
    with Lossy([], documents=documents) as connector:
        found = audit(connector, QUERIES, qrels=qrels, top_ks=[top_k])
    judged = found.relevance
    assert judged is not None
    assert judged.hits == top_k
    assert judged.ndcg_exact == judged.ndcg_approximate > 0
    assert all(judged.found[k] == share for k, share in judged.found_approximate.items())
    reached = {k for k in (10, 100) if (4 * k <= top_k if of_passages else k <= top_k)}
    assert judged.found_approximate.keys() == reached
    count_once = "passages of one document count once" in unmeasured(found)
    assert count_once is (of_passages and top_k >= 10)


def test_whatever_is_as_near_as_the_last_counts() -> None:
    exact = [("a", 0.9), ("b", 0.8), ("c", 0.8 - 5e-7), ("d", 0.7)]
    assert recall(["a", "b"], exact, 2) == 1
    assert recall(["a", "c"], exact, 2) == 1
    assert recall(["c", "b"], exact, 2) == 1
    assert recall(["a", "d"], exact, 2) == 0.5
    assert recall([], exact, 2) == 0


def test_where_there_are_fewer_documents_than_wanted_all_of_them_are() -> None:
    exact = [("a", 0.9), ("b", 0.8)]
    assert recall(["b", "a"], exact, 10) == 1
    assert recall(["b"], exact, 10) == 0.5
    assert recall([], [], 10) == 1


def test_walks_narrower_than_what_is_wanted_are_not_tried() -> None:
    assert widths(Knob("hnsw_ef", (16, 64, 128), 128), 50) == [50, 64, 128]


def test_what_is_left_to_the_server_is_a_setting_too() -> None:
    settings = grid([Knob("hnsw_ef", (64,), None), Knob("oversample", (0, 2), None)])
    assert len(settings) == 2 * 3
    assert [setting for setting, default in settings.items() if default] == [()]


def test_an_interval_is_that_of_the_resampled_mean() -> None:
    low, high = bootstrap([0.0, 1.0] * 200, draws=DRAWS)  # standard error .025
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.004)
    assert high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.004)
    assert bootstrap([0.5] * 10, draws=DRAWS) == (0.5, 0.5)


def test_an_index_that_cannot_be_audited_is_an_error() -> None:
    with (
        MemoryConnector() as connector,
        pytest.raises(ConfigError, match="an index of memory cannot be audited"),
    ):
        audit(connector, QUERIES)


def test_an_index_searched_without_vectors_is_an_error() -> None:
    with (
        Lossy(encoder=None) as connector,
        pytest.raises(ConfigError, match="searches of memory use no vectors"),
    ):
        audit(connector, QUERIES)


def test_judgments_of_other_queries_are_an_error() -> None:
    with Lossy() as connector, pytest.raises(InputError, match="judged is 'other', given 'q0'"):
        audit(connector, QUERIES, qrels={"other": {"d1": 1}})


def test_the_report_shows_every_setting_and_escapes_what_comes_from_outside(tmp_path: Path) -> None:
    with Lossy() as connector:
        found = audit(connector, QUERIES, qrels={"q1": {"d1": 1}}, top_ks=[5, 10])
    page = render_audit(found, title="<b>docs</b>")
    assert "&lt;b&gt;docs" in page
    assert "<svg" in page
    assert page.count("<td>20</td>") == 4
    assert "hnsw_ef = 20\noversample = 2\n" in page
    assert "What the encoder misses" in page
    save_recall_by_latency(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="cannot write"):
        save_recall_by_latency(found, tmp_path / "missing" / "plot.png")


def test_an_audit_becomes_json() -> None:
    with Lossy() as connector:
        found = audit(connector, QUERIES, top_ks=[10])
    values = json.loads(json.dumps(found.to_dict()))
    assert values["cheapest"] == {"10": {"hnsw_ef": 20, "oversample": 2}}
    assert len(values["measured"]) == 4
    assert values["measured"][0]["ms"].keys() == {"p50", "p95"}


def test_settings_that_are_as_good_are_left_alone_and_said_to_be() -> None:
    with Lossy() as connector:
        found = audit(connector, QUERIES, top_ks=[10], target_recall=0.5)
    a_little_faster = [
        replace(each, default=i == 3, ms=Latency(1.0 + i / 100, 2.0))
        for i, each in enumerate(found.measured)
    ]
    now = replace(found, measured=a_little_faster)
    assert now.cheapest(10) is a_little_faster[3]
    assert advice(now) is None
    assert "No setting that reaches 0.5 is faster by more than 10%." in findings(now)[0]


def test_advice_leaves_out_what_searches_use_anyway() -> None:
    with Lossy([EF._replace(default=20), OVERSAMPLE]) as connector:
        found = audit(connector, QUERIES, top_ks=[10])
    assert advice(found) == {"oversample": 2}


@pytest.mark.parametrize(("top_k", "blank"), [(10, True), (1000, False)])
def test_a_number_that_was_not_measured_is_explained(top_k: int, blank: bool) -> None:
    with Lossy() as connector:
        found = audit(connector, QUERIES, qrels={"q1": {"d1": 1}}, top_ks=[top_k])
    assert ("for 10 hits at most; --top-k 1000 measures it" in unmeasured(found)) is blank
    assert (unmeasured(found) in render_audit(found, title="docs")) is True
    assert ("<td>–</td>" in render_audit(found, title="docs")) is blank


@pytest.mark.parametrize(("top_k", "lossy"), [(10, True), (20, False)])
def test_the_picture_promises_numbers_only_where_it_draws_them(top_k: int, lossy: bool) -> None:
    with Lossy([Knob("hnsw_ef", (10, 20, 40), 20)]) as connector:
        picture = recall_by_latency(audit(connector, QUERIES, top_ks=[top_k]))
    assert ("the numbers are hnsw_ef" in picture) is lossy
    assert ("font-size: 8px" in picture) is lossy


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_of_settings_fits_the_terminal(width: int) -> None:
    knobs = [Knob("num_candidates", (10, 6400), 6400), OVERSAMPLE]
    with Lossy(knobs) as connector:
        found = audit(connector, QUERIES, qrels={"q1": {"d1": 1}}, top_ks=[10, 100])
    slow = [replace(each, ms=Latency(1234.5, 9876.5)) for each in found.measured]
    console = Console(file=io.StringIO(), width=width)
    print_audit(console, replace(found, measured=slow), name="docs")
    output: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    assert all(cell_len(line) <= width for line in output.splitlines())
    assert "…" not in output
    if width >= 80:
        assert "6400" in output
        assert "1,234 9,876" in output
        assert re.search(r"\d\.\d{4}–\d\.\d{4} ", output)
