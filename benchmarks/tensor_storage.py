"""Measure what token vectors cost in the engine: bytes, milliseconds of MaxSim, precision.

    python -m benchmarks.tensor_storage ../shared/data/scifact

Stores the token vectors of some passages in every form that the engine has, scores all of them
for a few queries, and compares with exact MaxSim. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import qdrant_edge as edge

from benchmarks.machine import describe
from retrieve_rerank import Template
from retrieve_rerank.base import Vectors
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.models.loading import DEFAULT_ENCODER, load_encoder

PASSAGES = 200
"""As many as BM25 and dense bring at most."""
QUERIES = 20
STEP = 50
FACTORS = (1, 2, 3)

QuantizationConfig = (
    edge.ScalarQuantizationConfig
    | edge.BinaryQuantizationConfig
    | edge.TurboQuantQuantizationConfig
)


class Form(NamedTuple):
    """How the engine keeps a number of a vector, and a smaller copy that it scores by."""

    datatype: edge.VectorStorageDatatype
    copy: QuantizationConfig | None = None


_TYPES = edge.VectorStorageDatatype
FORMS = {
    "float32": Form(_TYPES.Float32),
    "float16": Form(_TYPES.Float16),
    "turbo8": Form(_TYPES.Turbo8),
    "turbo16": Form(_TYPES.Turbo16),
    "turbo8 + scalar int8": Form(
        _TYPES.Turbo8, edge.ScalarQuantizationConfig(edge.ScalarType.Int8)
    ),
    "turbo8 + turbo 4 bits": Form(
        _TYPES.Turbo8, edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4)
    ),
    "turbo8 + binary": Form(_TYPES.Turbo8, edge.BinaryQuantizationConfig()),
}


def main() -> None:
    """Encode, store in every form, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.encoder)
    passages = islice(Corpus([str(arguments.data)]), PASSAGES)
    encodings = encoder.encode_documents([Template().render(each) for each in passages])
    texts, _ = read_folder(arguments.data, split="test")
    queries = [each.tokens for each in encoder.encode_queries(list(texts.values())[:QUERIES])]
    tokens = [each.tokens for each in encodings]

    print(describe("qdrant-edge-py", "numpy"), end="\n\n")
    print(
        f"{len(tokens)} passages of {statistics.fmean(map(len, tokens)):.0f} tokens, "
        f"{len(queries)} queries of {statistics.fmean(map(len, queries)):.0f}\n"
    )
    print(
        "| pooling factor | form | bytes a passage | MaxSim over all, ms (median) "
        "| mean error of MaxSim | top 10 as exact |\n|---|---|---|---|---|---|"
    )
    for factor in FACTORS:
        pooled = [pool_tokens(each, factor) for each in tokens]
        exact = [max_sim(query, pooled) for query in queries]
        for name in FORMS if factor == 1 else ("float16", "turbo8"):
            print(f"| {factor} | {name} | {measure(FORMS[name], pooled, queries, exact)} |")


def measure(
    form: Form, documents: Sequence[Vectors], queries: Sequence[Vectors], exact: Sequence[Vectors]
) -> str:
    """Store the documents, score them for each query, and return the cells of a row."""
    with tempfile.TemporaryDirectory() as folder:
        shard = build(folder, form, documents)
        ms: list[float] = []
        errors: list[float] = []
        same: list[float] = []
        for query, wanted in zip(queries, exact, strict=True):
            scores = np.zeros(len(documents), dtype=np.float32)
            started = time.perf_counter()
            hits = shard.query(request(query, len(documents)))
            ms.append((time.perf_counter() - started) * 1000)
            for hit in hits:
                scores[int(hit.id)] = hit.score / len(query)
            errors.append(float(np.abs(scores - wanted).mean()))
            best = set(np.argsort(-wanted)[:10].tolist())
            same.append(len(best & set(np.argsort(-scores)[:10].tolist())) / 10)
        shard.close()
        size = sum(
            file.stat().st_blocks * 512
            for file in Path(folder, "segments").rglob("*")
            if file.is_file() and "vector_storage-tokens" in str(file)
        )
    return (
        f"{size / len(documents):,.0f} | {statistics.median(ms):.1f} "
        f"| {statistics.fmean(errors):.5f} | {statistics.fmean(same):.3f}"
    )


def build(folder: str, form: Form, documents: Sequence[Vectors]) -> edge.EdgeShard:
    """Make a shard, write the documents, and let the engine make its smaller copies."""
    vectors = edge.EdgeVectorParams(
        documents[0].shape[1],
        edge.Distance.Cosine,
        multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
        datatype=form.datatype,
        quantization_config=form.copy,
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
    )
    shard = edge.EdgeShard.create(folder, edge.EdgeConfig(vectors={"tokens": vectors}))
    for start in range(0, len(documents), STEP):
        points = [
            edge.Point(i, {"tokens": _array(documents[i])}, {})
            for i in range(start, min(start + STEP, len(documents)))
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.flush()
    return shard


def request(query: Vectors, limit: int) -> edge.QueryRequest:
    """Ask for MaxSim with every document, by the smaller copy alone where there is one."""
    by_copy = edge.QuantizationSearchParams(rescore=False)
    return edge.QueryRequest(
        limit=limit,
        query=edge.Query.Nearest(_array(query), using="tokens"),
        params=edge.SearchParams(quantization=by_copy),
    )


def _array(vectors: Vectors) -> Any:  # the engine takes arrays, though its stub says not
    return vectors


if __name__ == "__main__":
    main()
