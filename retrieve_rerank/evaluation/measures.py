"""Measures of a ranking, by name, computed by ir_measures (and through it trec_eval's own code).

All take rankings, never scores: ir_measures' providers break ties each in their own way, so every
document is passed with −rank as its score.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from ctypes import c_float
from dataclasses import dataclass
from typing import Any, TypeAlias

import ir_measures

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.types import Qrels, Run

DEFAULT_MEASURES = ("nDCG@10", "MRR@10", "MAP", "Recall@100", "HR@10", "P@10")

ALIASES: Mapping[str, str] = {"HR": "Success", "HitRate": "Success"}
"""Names beyond ir_measures' own: the hit rate is the share of queries with a relevant hit."""

Scores: TypeAlias = Mapping[str, Mapping[str, float]]
"""Measure as named -> query id -> value."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure: the name that the user gave it, and ir_measures' definition."""

    name: str
    definition: Any

    def total(self, values: Iterable[float]) -> float:
        """Aggregate over queries: the mean, or the sum for counts such as NumRet."""
        aggregator = self.definition.aggregator()
        for value in values:
            aggregator.add(value)
        return float(aggregator.result())


def parse_measure(name: str) -> Measure:
    """Find the measure that an expression such as `nDCG@10` or `P(rel=2)@5` names.

    ir_measures' own parser is not used: it needs names that Python 3.14 no longer has.
    """
    try:
        node = ast.parse(name.strip(), mode="eval").body
        parameters: dict[str, Any] = {}
        at: list[Any] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            at.append(ast.literal_eval(node.right))
            node = node.left
        if isinstance(node, ast.Call) and not node.args:
            parameters = {str(key.arg): ast.literal_eval(key.value) for key in node.keywords}
            node = node.func
        if not isinstance(node, ast.Name):
            raise ValueError
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InputError(
            f"cannot read measure {name!r}; expected something like nDCG@10, MAP or P(rel=2)@5"
        ) from None
    known = ir_measures.measures.registry
    definition = known.get(ALIASES.get(node.id, node.id))
    if definition is None:
        names = ", ".join(sorted({*known, *ALIASES}, key=str.lower))
        raise InputError(f"unknown measure {node.id!r}; known: {names}")
    if at:
        parameters[definition.AT_PARAM] = at[0]
    _check(name, definition, parameters)
    measure = Measure(name.strip(), definition(**parameters))
    # Whether a package that computes it is installed shows now, not after the searches.
    score([measure], {"query": {"good": 1, "bad": 0}}, {"query": ["bad", "good"]})
    try:
        score([measure], {"query": {"good": 1}}, {"query": ["good"]})
    except InputError as exc:
        raise InputError(
            f"measure {name!r} has no value for a query of which every hit is relevant, so that it "
            "has no mean over queries; choose another"
        ) from exc
    return measure


def parse_measures(names: Sequence[str]) -> list[Measure]:
    """Parse each name once, in the order given."""
    return [parse_measure(name) for name in dict.fromkeys(names)]


def score(measures: Sequence[Measure], qrels: Qrels, rankings: Rankings) -> Scores:
    """Compute each measure for each query of `qrels`.

    A judged query without a ranking scores 0, as under trec_eval's option -c, and so does one
    without a relevant document, or any; rankings of queries that nobody judged are left out.
    Raises InputError where a measure cannot be computed.
    """
    # Some providers pass files to other programs, which want numbers as query ids and ids without
    # white space; so all are given numbers.
    numbers = {query: str(number) for number, query in enumerate(qrels, start=1)}
    documents = _Numbers()
    graded = {
        numbers[query]: {documents[id_]: grade for id_, grade in grades.items()}
        for query, grades in qrels.items()
    }
    run = {
        numbers[query]: {documents[id_]: float(-rank) for rank, id_ in enumerate(ranking, start=1)}
        for query in qrels
        if (ranking := rankings.get(query))
    }
    definitions = {measure.definition for measure in measures}
    values: dict[Any, dict[str, float]] = {definition: {} for definition in definitions}
    try:
        for metric in ir_measures.iter_calc(definitions, graded, run):
            values[metric.measure][metric.query_id] = float(metric.value)
    except Exception as exc:  # each of ir_measures' providers raises errors of its own
        names = ", ".join(measure.name for measure in measures)
        raise InputError(f"ir_measures cannot compute {names} here: {exc}") from exc
    return {
        measure.name: {
            query: values[measure.definition].get(numbers[query], 0.0) for query in qrels
        }
        for measure in measures
    }


def order(run: Run) -> Rankings:
    """Rank a run's documents as trec_eval does.

    Highest score first, as float32; tied documents in falling order of their ids.
    """
    return {
        query: sorted(scores, key=lambda id_: (c_float(scores[id_]).value, id_), reverse=True)
        for query, scores in run.items()
    }


class _Numbers(dict[str, str]):
    """Ids -> numbers, in the order in which they are first asked for."""

    def __missing__(self, id_: str) -> str:
        self[id_] = str(len(self))
        return self[id_]


def _check(name: str, definition: Any, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the measure does not have, lacks or cannot use."""
    known = definition.SUPPORTED_PARAMS
    for parameter, value in parameters.items():
        if parameter not in known:
            names = ", ".join(known) or "none"
            raise InputError(f"measure {name!r} has no {parameter!r}; its parameters: {names}")
        # ir_measures lets a cutoff of 0 pass, on which trec_eval then fails
        if not known[parameter].validate(value) or (parameter == "cutoff" and value < 1):
            raise InputError(f"measure {name!r} cannot use {parameter}={value!r}")
    for parameter, info in known.items():
        if info.required and parameter not in {**definition.params, **parameters}:
            at = f"{name.strip()}@10" if parameter == definition.AT_PARAM else f"({parameter}=…)"
            raise InputError(f"measure {name!r} needs a {parameter}, as in {at}")
