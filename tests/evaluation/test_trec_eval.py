"""Our numbers against the output of NIST's trec_eval on its own test files."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import pytest

from retrieve_rerank.evaluation.files import read_qrels, read_run
from retrieve_rerank.evaluation.measures import Measure, order, parse_measure, score
from retrieve_rerank.types import Qrels

pytestmark = pytest.mark.shared_data

NOT_IN_IR_MEASURES = {
    "runid", "gm_map", "gm_bpref", "Rprec_mult", "utility", "11pt_avg", "binG", "G", "ndcg_rel",
    "Rndcg", "relative_P", "num_nonrel_judged_ret", "rbp", "rbp_resid", "unj", "relstring",
}  # fmt: skip


@pytest.fixture(scope="module")
def fixtures(shared_data: Path) -> Path:
    return shared_data / "_trec_eval_fixtures"


def golden(path: Path) -> dict[str, dict[str, float]]:
    """trec_eval's name -> query -> value, for those measures that ir_measures knows."""
    values: dict[str, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        name, query, value = line.split("\t")
        name = name.strip()
        if name not in NOT_IN_IR_MEASURES and name.rpartition("_")[0] not in NOT_IN_IR_MEASURES:
            values.setdefault(name, {})[query] = float(value)
    return values


def measure(trec_name: str, *, level: int = 1) -> Measure:
    if trec_name.startswith("success_"):
        return parse_measure(f"HR(rel={level})@{trec_name.removeprefix('success_')}")
    if trec_name == "ndcg_1=3,2=9,4=4.5":  # the fixtures have grades 0 and 1 only
        return parse_measure("nDCG(gains={1: 3, 2: 9})")
    if trec_name == "set_F":
        return parse_measure(f"SetF(rel={level})")
    (definition,) = ir_measures.parse_trec_measure(trec_name)
    if level > 1 and "rel" in definition.SUPPORTED_PARAMS and trec_name != "num_ret":
        definition = definition(rel=level)
    return parse_measure(str(definition))


def agrees(
    expected: dict[str, dict[str, float]],
    qrels_file: Path,
    run_file: Path,
    *,
    top_k: int | None = None,
    level: int = 1,
) -> int:
    """Compare every value to the 4 decimals that trec_eval prints; return how many there were."""
    qrels = read_qrels(qrels_file)
    rankings = {query: ids[:top_k] for query, ids in order(read_run(run_file)).items()}
    compared = 0
    for name, values in expected.items():
        if name in ("num_rel", "num_q") and (level > 1 or set(qrels) > set(rankings)):
            continue  # counts of judgments: ir_measures leaves out queries without results
        if name.startswith("iprec") and not _same_recall_points(name, qrels, level):
            continue
        ours = measure(name, level=level)
        scores = score([ours], qrels, rankings)[ours.name]
        for query, value in values.items():
            got = ours.total(scores.values()) if query == "all" else scores[query]
            assert got == pytest.approx(value, abs=5.1e-5), (name, query)
            compared += 1
    return compared


def _same_recall_points(name: str, qrels: Qrels, level: int) -> bool:
    """Whether trec_eval 9, which ir_measures runs, rounds the recall point as version 10 does.

    Version 9 took floor(recall · relevant + 0.9), version 10 takes the nearest whole number:
    https://github.com/usnistgov/trec_eval/blob/main/m_iprec_at_recall.c
    """
    recall = float(name.rpartition("_")[2])
    points = [
        recall * sum(grade >= level for grade in grades.values()) for grades in qrels.values()
    ]
    return all(int(point + 0.9) == int(point + 0.5) for point in points)


def test_means_equal_trec_eval(fixtures: Path) -> None:
    expected = golden(fixtures / "out.test.a")
    assert agrees(expected, fixtures / "qrels.test", fixtures / "results.test") == 59


def test_values_of_each_query_equal_trec_eval(fixtures: Path) -> None:
    expected = golden(fixtures / "out.test.aq")
    assert agrees(expected, fixtures / "qrels.test", fixtures / "results.test") > 200


def test_queries_missing_from_the_run_count_as_zero_as_under_option_c(fixtures: Path) -> None:
    expected = golden(fixtures / "out.test.aqc")
    assert agrees(expected, fixtures / "qrels.test", fixtures / "results.trunc") > 200


def test_top_k_equals_option_M(fixtures: Path) -> None:
    expected = golden(fixtures / "out.test.aqcM")
    assert agrees(expected, fixtures / "qrels.test", fixtures / "results.trunc", top_k=100) > 200


def test_a_higher_relevance_level_equals_option_l(fixtures: Path) -> None:
    expected = golden(fixtures / "out.test.aql")
    assert agrees(expected, fixtures / "qrels.rel_level", fixtures / "results.test", level=2) > 200


def test_unusual_parameters_equal_trec_eval(fixtures: Path) -> None:
    expected = golden(fixtures / "out.test.meas_params")
    assert agrees(expected, fixtures / "qrels.test", fixtures / "results.test") > 20
