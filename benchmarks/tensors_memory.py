"""Memory of `rr tensors add` against the size of the index, at a real Elasticsearch.

    python -m benchmarks.tensors_memory

Starts a server, fills indexes of growing size, and adds token tensors to each in a process of its
own, of which the peak is taken. The encoder is that of the tests, which gives each word a random
vector, as what is measured is all that surrounds it: reading, asking what is there, pooling,
packing and writing.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.machine import describe
from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings, tensor_status
from retrieve_rerank.testing import HashingEncoder
from tests.servers import own_elasticsearch

SIZES = (2_000, 8_000, 32_000)
WORDS = 60  # of a document: as many tokens
DIMENSION = 384


def documents(count: int) -> Iterator[Document]:
    """Make documents of random words."""
    randomly = np.random.default_rng(2)
    for i in range(count):
        yield Document(f"d{i}", " ".join(f"word{n}" for n in randomly.integers(9999, size=WORDS)))


def add(url: str) -> None:
    """Add tensors and print documents, seconds and the peak in MB: what the other process does."""
    encoder = HashingEncoder(DIMENSION)
    with ElasticsearchConnector.connect(url) as store:
        started = time.perf_counter()
        report = add_tensors(store, encoder, tensor_settings(encoder))
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert tensor_status(store).present == report.added
    print(f"| {report.added:,} | {report.added / seconds:,.0f} | {peak:.0f} |")


def main() -> None:
    """Fill and measure each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--add", metavar="URL", help="used by the benchmark itself")
    url = parser.parse_args().add
    if url:
        add(url)
        return
    print(describe("elasticsearch"))
    print("\n| documents | documents/s | peak memory, MB |\n|---|---|---|", flush=True)
    with own_elasticsearch() as server:
        for size in SIZES:
            url = server.address(f"docs-{size}")
            with ElasticsearchConnector.create(url, encoder=None) as store:
                store.index(documents(size))
            command = [sys.executable, "-m", "benchmarks.tensors_memory", "--add", url]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
