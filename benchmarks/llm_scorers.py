"""Measure a language model as a reranker, in every form that the product asks it in.

    python -m benchmarks.llm_scorers --model MODEL --data ../shared/data/policyqa --keep .cache/llm

The first hits of the hybrid ranking, their texts cut to some words, go to each form. Test queries,
and dev queries by which the weights of scores are chosen, are drawn by a hash of their ids. What
the model answers is kept, so that a run that was stopped goes on; `--report` prints what is kept,
and asks nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.llm_forms import FORMS, PAIRS, Form, order_bias
from benchmarks.llm_table import Table, Told
from benchmarks.machine import describe, gemm_peak
from benchmarks.quality import build
from retrieve_rerank import Hit, Qrels, Retriever
from retrieve_rerank.base import Reranker
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.evaluation.files import read_qrels, read_queries
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.models.answer_store import AnswerStore, question_key
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.metered_model import MeteredModel
from retrieve_rerank.models.metering import Meter
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.setwise import Setwise
from retrieve_rerank.training.tuning import can_tune


class Asked(NamedTuple):
    """A query with what comes to the model."""

    id: str
    text: str
    hits: Sequence[Hit]


def main() -> None:
    """Ask what is not known yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a folder or a hub id")
    parser.add_argument("--data", type=Path, required=True, help="a BEIR folder")
    parser.add_argument("--keep", type=Path, required=True, help="a folder for index and answers")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--dev", type=int, default=15, help="queries to choose weights by")
    parser.add_argument("--depth", type=int, default=10, help="hits that are scored one by one")
    parser.add_argument("--words", type=int, default=48, help="to cut texts to")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="forms whose name begins so")
    parser.add_argument("--report", action="store_true", help="ask nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    words, data = arguments.words, arguments.data
    store = AnswerStore(arguments.keep / f"{data.name}.answers.sqlite")
    loaded = load_language_model(arguments.model, device="cpu", threads=arguments.threads)
    meter = Meter()
    model = MeteredModel(loaded, store, meter)
    queries = read_queries(data / "queries.jsonl.gz")
    test = sample(read_qrels(data / "qrels" / "test.tsv.gz"), arguments.queries)
    dev = sample(read_qrels(data / "qrels" / "train.tsv.gz"), arguments.dev)
    with EmbeddedConnector.connect(str(build(data, arguments.keep / data.name))) as connector:
        judged = JudgedDocuments(connector, {**dev, **test})
        retriever = Retriever(connector)
        asked = {
            query: Asked(query, queries[query], retriever.search(queries[query], top_k=100).hits)
            for query in (*test, *dev)
        }
        max_sim = DatabaseMaxSim(connector)
        by_max_sim = {
            query: judged.ids(max_sim.rerank(asked[query].text, asked[query].hits).hits)
            for query in test
        }
    print(describe("torch", "transformers"))
    peaks = ", ".join(f"{kind} {peak:.0f}" for kind, peak in gemm_peak().items())
    print(f"GEMM peak on all cores in GFLOP/s: {peaks}; {arguments.threads} thread(s) here")
    print(f"{data.name}: {len(test)} test and {len(dev)} dev queries, texts of {words} words\n")
    table = Table(test, dev, {query: each.hits for query, each in asked.items()}, judged)
    table.print_head(by_max_sim, {arguments.depth, PAIRS})
    keeper = Keeper(meter, store, facts=(loaded.fingerprint, words))
    for form in FORMS:
        if arguments.only and not form.name.startswith(tuple(arguments.only)):
            continue
        reranker = form.make(model)
        depth = min(form.depth or arguments.depth, arguments.depth)
        told: dict[str, Told] = {}
        for query in (*test, *(dev if can_tune(reranker) else ())):
            hits = [shortened(hit, words) for hit in asked[query].hits[:depth]]
            known = keeper.find(form, asked[query], depth)
            if known is None and not arguments.report:
                known = keeper.ask(form, reranker, asked[query], hits)
            if known is not None:
                told[query] = known
        table.print_row(form, reranker, told, depth)
        if form.compared and isinstance(reranker, Pairwise | Setwise) and not arguments.report:
            pairs = [
                (asked[query].text, [shortened(hit, words) for hit in asked[query].hits])
                for query in test
            ]
            table.notes.append(
                f"{form.name}: {order_bias(reranker, pairs, compared=form.compared)}"
            )
    table.print_notes()


def sample(qrels: Qrels, count: int) -> Qrels:
    """Take so many judged queries, those with the smallest hashes."""
    ids = [query for query, grades in qrels.items() if max(grades.values()) > 0]
    chosen = sorted(ids, key=lambda query: hashlib.sha256(query.encode()).digest())[:count]
    return {query: qrels[query] for query in chosen}


def shortened(hit: Hit, words: int) -> Hit:
    """Cut a hit's text to its first words."""
    text = " ".join(hit.document.text.split()[:words])
    return replace(hit, document=replace(hit.document, text=text))


class Keeper:
    """What forms made of queries, kept with the model's answers."""

    def __init__(self, meter: Meter, store: AnswerStore, *, facts: tuple[Any, ...]) -> None:
        self._meter = meter
        self._store = store
        self._facts = facts

    def find(self, form: Form, query: Asked, depth: int) -> Told | None:
        """Return what is kept."""
        key = self._key(form, query, depth)
        kept = self._store.find([key])
        return Told(**kept[key]) if kept else None

    def ask(self, form: Form, reranker: Reranker, query: Asked, hits: Sequence[Hit]) -> Told:
        """Rerank the hits, and keep what came of it."""
        requests, known = self._meter.used.requests, self._meter.known
        with counted_tokens() as tokens:
            started = time.process_time()
            result = reranker.rerank(query.text, hits)
            seconds = time.process_time() - started
        known = self._meter.known - known
        told = Told(
            scores={hit.document.id: hit.score for hit in result.hits},
            seconds=seconds,
            tokens=sum(tokens),
            answers=self._meter.used.requests - requests + known,
            known=known,
            unread=result.unread,
            notes=list(result.notes),
        )
        self._store.keep({self._key(form, query, len(hits)): told._asdict()})
        return told

    def _key(self, form: Form, query: Asked, depth: int) -> bytes:
        return question_key(*self._facts, form.name, query.id, depth)


@contextmanager
def counted_tokens() -> Iterator[list[int]]:
    """Count the tokens that go through the network, padding and written ones included."""
    counts: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, torch.nn.Embedding):
            counts.append(inputs[0].numel())

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        yield counts
    finally:
        hook.remove()


if __name__ == "__main__":
    main()
