"""Choose how far a hit of an exhausted BM25 ranking may stand out, on train and dev queries.

    python -m benchmarks.exhausted ../shared/data .cache/recipe wikiqa stackfaq

Encodes each collection once, into the second folder, as benchmarks.recipe does. Beside nDCG@10 it
counts two things: of made-up codes that one document holds and that the vectors know nothing of,
how many are found among the first 10; and of queries whose nearest document is relevant, for how
many it stays first where BM25 has a single hit elsewhere, on a word that says nothing.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmarks.judged import CHOOSING, DEPTH, Collection, load, nearest
from benchmarks.machine import describe
from benchmarks.recipe import ndcg
from retrieve_rerank import Document, Hit, fusion, rank, weighted
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import load_encoder

LIMITS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, float("inf"))
CODES = 90


class Case(NamedTuple):
    """Two rankings, and the document that must be among the first."""

    dense: Sequence[Hit]
    bm25: Sequence[Hit]
    wanted: str


def main() -> None:
    """Measure and print a table for each collection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("cache", type=Path, help="a folder to keep encodings in")
    parser.add_argument("collections", nargs="*", default=list(CHOOSING))
    arguments = parser.parse_args()
    encoder = load_encoder()
    print(describe("openvino", "numpy"), "·", encoder)
    choices = {name: CHOOSING[name] for name in arguments.collections}
    for collection in load(arguments.data, arguments.cache, encoder, choices):
        exhausted = [q for q in collection.queries if len(q.rankings["bm25"]) < DEPTH]
        print(
            f"\n| {collection.name}: {len(collection.queries)} queries, {len(exhausted)} of them"
            " exhausted | nDCG@10 | of the exhausted | codes among the first 10 | right hit stays"
            " first |\n|---|---|---|---|---|"
        )
        codes, polite = made_up(collection, encoder), uninformative(collection)
        for limit in (None, *LIMITS):
            fusion.MOST_DEVIATIONS = limit or 0.0
            known = () if limit is None else ("bm25",)
            values = [
                fmean(ndcg(fused(q.rankings, known), q.grades) for q in queries) if queries else 0
                for queries in (collection.queries, exhausted)
            ]
            values.append(fmean(found(case, known, 10) for case in codes))
            values.append(fmean(found(case, known, 1) for case in polite))
            name = (
                "absent counts as the last" if limit is None else f"absent is 0, at most {limit:g}"
            )
            print(
                f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |", flush=True
            )


def fused(rankings: Mapping[str, Sequence[Hit]], known: Sequence[str]) -> list[Hit]:
    """Fuse as the product does; `known` are rankings of which the end is known, if exhausted."""
    exhausted = [name for name in known if len(rankings[name]) < DEPTH]
    return weighted(rankings, exhausted=exhausted, top_k=DEPTH)


def found(case: Case, known: Sequence[str], depth: int) -> bool:
    """Tell whether the wanted document is among the first."""
    hits = fused({"dense": case.dense, "bm25": case.bm25}, known)
    return case.wanted in [hit.document.id for hit in hits[:depth]]


def made_up(collection: Collection, encoder: TextEncoder) -> list[Case]:
    """Give random documents a code each."""
    draw = random.Random(1)
    codes = [f"{draw.choice('ABCEKX')}{draw.randint(1000, 9999)}" for _ in range(CODES)]
    cases = []
    for encoding in encoder.encode_queries(codes):
        document = draw.choice(collection.documents)
        dense = nearest(encoding, collection.vectors, collection.documents)
        cases.append(Case(dense, alone(document), document.id))
    return cases


def uninformative(collection: Collection) -> list[Case]:
    """Give the queries that dense search answers a single BM25 hit elsewhere."""
    draw = random.Random(2)
    cases = []
    for query in collection.queries:
        dense, other = query.rankings["dense"], draw.choice(collection.documents)
        best = dense[0].document.id
        if query.grades.get(best, 0) > 0 and query.grades.get(other.id, 0) <= 0:
            cases.append(Case(dense, alone(other), best))
    return cases


def alone(document: Document) -> list[Hit]:
    """Rank one document."""
    return rank([(document, 8.0)])


if __name__ == "__main__":
    main()
