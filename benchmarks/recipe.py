"""Choose the default recipe and the form of the stored token vectors, on train and dev queries.

    python -m benchmarks.recipe ../shared/data .cache/recipe

Encodes each collection once, into the second folder. Compares fusions of BM25 and dense, weights
of MaxSim, and ways to keep fewer numbers of the token vectors; with `--test` on test queries,
for the report: nothing is chosen on them. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple, TypeAlias

import numpy as np

from benchmarks.compaction import (
    Compaction,
    Scored,
    max_sims,
    neighbours,
    principal_axes,
    ward,
)
from benchmarks.judged import CHOOSING, DEPTH, TEST, Query, load, sample_tokens
from benchmarks.machine import describe
from retrieve_rerank.base import Vectors
from retrieve_rerank.fusion import interpolate, rrf, weighted
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder
from retrieve_rerank.types import Hit, rescore

CANDIDATES = 100
DENSE_WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Of a sum of 1, the rest being BM25's."""
MAX_SIM_WEIGHTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FUSIONS = ("rrf", "weighted")
FULL = neighbours(1).name
SHIPPABLE = ("medquad", "squad11dev", "nqg-squad-sents")
"""Collections whose licences let what is learnt from their texts be shipped."""
SAMPLE = 600
"""Documents of each that principal axes are learnt from."""


class Recipe(NamedTuple):
    """A first stage and the share of MaxSim in the final order."""

    fusion: str
    dense: float
    max_sim: float

    def __str__(self) -> str:
        return f"{self.fusion}, dense {self.dense:g}, MaxSim {self.max_sim:g}"


DEFAULT = Recipe("weighted", 0.5, 0.7)

Means: TypeAlias = Mapping[str, float]
"""Collection -> mean nDCG@10."""


class Measured(NamedTuple):
    """A collection's queries with MaxSim under each compaction."""

    name: str
    queries: Sequence[Query]
    scored: Mapping[str, Scored]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("cache", type=Path, help="a folder to keep encodings in")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--test", action="store_true", help="report the choices on test queries")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.encoder)
    chosen = TEST if arguments.test else CHOOSING
    sample = sample_tokens(arguments.data, arguments.cache, encoder, SHIPPABLE, count=SAMPLE)
    compactions = every_compaction(sample)
    measured = [
        Measured(each.name, each.queries, max_sims(each, compactions))
        for each in load(arguments.data, arguments.cache, encoder, chosen)
    ]
    print(describe("openvino", "numpy"), "·", encoder, end="\n\n")
    if not arguments.test:
        print_choice(measured)
    print_compactions(measured)


def print_choice(measured: Sequence[Measured]) -> None:
    """Compare first stages and weights of MaxSim, then choose leaving one collection out."""
    header(measured, "first stage")
    row("BM25 alone", means(measured, lambda query, _: query.rankings["bm25"]))
    row("dense alone", means(measured, lambda query, _: query.rankings["dense"]))
    for fusion, dense in product(FUSIONS, DENSE_WEIGHTS):
        row(f"{fusion}, dense {dense:g}", means(measured, partial(first_stage, fusion, dense)))

    recipes = {recipe: means(measured, partial(final, recipe, FULL)) for recipe in every_recipe()}
    best = sorted(recipes, key=lambda recipe: -fmean(recipes[recipe].values()))
    header(measured, "with MaxSim over all tokens")
    for recipe in dict.fromkeys((*best[:5], *(best_of(best, kind) for kind in FUSIONS), DEFAULT)):
        row(str(recipe), recipes[recipe])

    print(
        "\n| left out | best on the others | nDCG@10 | default | own best |\n|---|---|---|---|---|"
    )
    for left in measured:
        others = {
            recipe: fmean(value for name, value in found.items() if name != left.name)
            for recipe, found in recipes.items()
        }
        pick = max(others, key=others.__getitem__)
        own = max(found[left.name] for found in recipes.values())
        print(
            f"| {left.name} | {pick} | {recipes[pick][left.name]:.4f} "
            f"| {recipes[DEFAULT][left.name]:.4f} | {own:.4f} |"
        )


def print_compactions(measured: Sequence[Measured]) -> None:
    """Compare what is kept of the token vectors, under the default recipe."""
    header(measured, "kept of the tokens", "numbers a document", "ms a document")
    for name in measured[0].scored:
        scored = [one.scored[name] for one in measured]
        row(
            name,
            means(measured, partial(final, DEFAULT, name)),
            f"{fmean(one.numbers for one in scored):,.0f}",
            f"{median(ms for one in scored for ms in one.pooling_ms):.2f}",
        )


def every_compaction(sample: Vectors) -> list[Compaction]:
    """List what is compared; the first keeps all."""
    axes = {kept: principal_axes(sample, kept) for kept in (256, 192, 128)}
    return [
        *(neighbours(factor) for factor in (1, 2, 3, 4)),
        *(neighbours(factor, axes[192]) for factor in (1, 2, 3, 4)),
        neighbours(2, axes[256]),
        neighbours(1, axes[128]),
        neighbours(2, axes[128]),
        ward(2),
        ward(3),
    ]


def every_recipe() -> list[Recipe]:
    """List the grid."""
    return [Recipe(*each) for each in product(FUSIONS, DENSE_WEIGHTS, MAX_SIM_WEIGHTS)]


def best_of(recipes: Sequence[Recipe], fusion: str) -> Recipe:
    """Return the first that uses a fusion."""
    return next(recipe for recipe in recipes if recipe.fusion == fusion)


def first_stage(fusion: str, dense: float, query: Query, _: object = None) -> list[Hit]:
    """Fuse as the product does."""
    weights = {"dense": dense, "bm25": 1 - dense}
    if fusion == "rrf":
        return rrf(query.rankings, weights=weights, top_k=CANDIDATES)
    exhausted = ["bm25"] if len(query.rankings["bm25"]) < DEPTH else []
    return weighted(query.rankings, weights=weights, exhausted=exhausted, top_k=CANDIDATES)


def final(
    recipe: Recipe, compaction: str, query: Query, max_sim: Mapping[str, Mapping[str, float]]
) -> list[Hit]:
    """Fuse, rescore by MaxSim, interpolate."""
    hits = first_stage(recipe.fusion, recipe.dense, query)
    reranked = rescore(hits, [max_sim[compaction][hit.document.id] for hit in hits])
    if recipe.max_sim == 1.0:
        return reranked
    return interpolate(reranked, name="max-sim", weight=recipe.max_sim)


def means(
    measured: Sequence[Measured],
    ranking: Callable[[Query, Mapping[str, Mapping[str, float]]], Sequence[Hit]],
) -> Means:
    """Rank every query's documents and average nDCG@10 by collection."""
    return {
        each.name: fmean(
            ndcg(
                ranking(query, {name: one.scores[i] for name, one in each.scored.items()}),
                query.grades,
            )
            for i, query in enumerate(each.queries)
        )
        for each in measured
    }


def ndcg(hits: Sequence[Hit], grades: Mapping[str, int]) -> float:
    """Compute nDCG@10 with linear gain, as trec_eval does, for thousands of rankings a second."""
    gains = [max(0, grades.get(hit.document.id, 0)) for hit in hits[:10]]
    ideal = sorted((max(0, grade) for grade in grades.values()), reverse=True)[:10]
    return _discounted(gains) / _discounted(ideal)


def _discounted(gains: Sequence[int]) -> float:
    return float(np.sum(np.asarray(gains) / np.log2(np.arange(len(gains)) + 2)))


def header(measured: Sequence[Measured], *columns: str) -> None:
    """Begin a table: a column for each collection, and the mean."""
    names = [columns[0], *(f"{each.name} ({len(each.queries)})" for each in measured), "mean"]
    names += columns[1:]
    print("\n| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")


def row(name: str, found: Means, *cells: str) -> None:
    """Print a line of a table."""
    values = [f"{value:.4f}" for value in (*found.values(), fmean(found.values()))]
    print("| " + " | ".join((name, *values, *cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
