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
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from benchmarks.llm_forms import FORMS, Form, order_bias
from benchmarks.machine import describe, gemm_peak
from benchmarks.quality import build
from retrieve_rerank import Hit, Qrels, Retriever
from retrieve_rerank.base import Reranker
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.evaluation.compare import deltas
from retrieve_rerank.evaluation.evaluate import StageEvaluation, evaluate_rankings
from retrieve_rerank.evaluation.files import Rankings, read_qrels, read_queries
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.models.answer_store import AnswerStore, question_key
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.metered_model import MeteredModel
from retrieve_rerank.models.metering import Meter
from retrieve_rerank.pipeline.stage import Stage, place
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.setwise import Setwise
from retrieve_rerank.training.slices import interval
from retrieve_rerank.training.tuning import PRIMARY, WEIGHTS, can_tune
from retrieve_rerank.types import rescore


class Asked(NamedTuple):
    """A query with what comes to the model."""

    id: str
    text: str
    hits: Sequence[Hit]


class Told(NamedTuple):
    """What a form made of one query, and what that cost."""

    scores: Mapping[str, float]
    seconds: float
    """Of processor time, which other work on the machine does not add to."""
    tokens: int
    """That went through the network."""
    answers: int
    known: int
    """Answers of those that another form had been given."""
    unread: int
    notes: Sequence[str]


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
    table.print_head(by_max_sim)
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


class Table:
    """Rankings of the test queries, each against the order that was given."""

    def __init__(
        self,
        test: Qrels,
        dev: Qrels,
        hits: Mapping[str, Sequence[Hit]],
        judged: JudgedDocuments,
    ) -> None:
        self.notes: list[str] = []
        self._test = test
        self._dev = dev
        self._hits = hits
        self._judged = judged

    def print_head(self, by_max_sim: Rankings) -> None:
        """Print the order that was given, and MaxSim's."""
        print(
            "| form | hits | nDCG@10 | difference (95 %) | blended: weight, nDCG@10, difference"
            " (95 %) | order kept | unread | queries a minute of processor time | tokens"
            " a query | tokens a second |"
        )
        print("|---|---:|---:|---|---|---:|---:|---:|---:|---:|")
        given = self._given(self._test)
        print(f"| hybrid, as given | | {given.means[PRIMARY]:.4f} {'| ' * 8}|")
        max_sim = evaluate_rankings("MaxSim", by_max_sim, self._test, measures=[PRIMARY])
        print(f"| MaxSim | 100 | {difference(max_sim, given)} {'| ' * 6}|", flush=True)

    def print_row(
        self, form: Form, reranker: Reranker, told: Mapping[str, Told], depth: int
    ) -> None:
        """Print what is known of a form; queries that it was not asked about are left out."""
        test = {query: grades for query, grades in self._test.items() if query in told}
        if not test:
            return
        some = [told[query] for query in test]
        alone = self._evaluation(test, told, Stage(reranker, depth, 1.0))
        blended = ""
        if can_tune(reranker) and all(query in told for query in self._dev):
            values = {
                weight: self._evaluation(self._dev, told, Stage(reranker, depth, weight)).means
                for weight in WEIGHTS
            }
            weight = max(WEIGHTS, key=lambda weight: round(values[weight][PRIMARY], 9))
            mixed = self._evaluation(test, told, Stage(reranker, depth, weight))
            blended = f"{weight:g}: {difference(mixed, self._given(test), between=', ')}"
        same = fmean(
            list(told[query].scores) == [hit.document.id for hit in self._hits[query][:depth]]
            for query in test
        )
        answers = sum(each.answers for each in some)
        written = "written" in form.name
        unread = f"{sum(each.unread for each in some) / answers:.0%}" if written else ""
        speed = "answers of a form above | | "
        if new := [each for each in some if not each.known]:
            minutes = sum(each.seconds for each in new) / 60
            tokens = sum(each.tokens for each in new)
            speed = (
                f"{len(new) / minutes:.1f} | {tokens / len(new):.0f} | {tokens / minutes / 60:.0f}"
            )
        name = form.name if len(test) == len(self._test) else f"{form.name} ({len(test)} queries)"
        print(
            f"| {name} | {depth} | {difference(alone, self._given(test))} | {blended} | {same:.0%}"
            f" | {unread} | {speed} |",
            flush=True,
        )
        flaws: Counter[str] = Counter()
        for note in (note for each in some for note in each.notes):
            if found := re.match(r"(\d+) of \d+ answers (.*)", note):
                flaws[found[2]] += int(found[1])
        self.notes += [f"{form.name}: {n} of {answers} answers {flaw}" for flaw, n in flaws.items()]

    def print_notes(self) -> None:
        """Print what else there is to say of the answers."""
        print("".join(f"\n- {note}" for note in self.notes))

    def _given(self, qrels: Qrels) -> StageEvaluation:
        rankings = {query: self._judged.ids(self._hits[query]) for query in qrels}
        return evaluate_rankings("as given", rankings, qrels, measures=[PRIMARY])

    def _evaluation(self, qrels: Qrels, told: Mapping[str, Told], stage: Stage) -> StageEvaluation:
        rankings = {}
        for query in qrels:
            hits = self._hits[query]
            head = hits[: stage.depth]
            scored = rescore(head, [told[query].scores[hit.document.id] for hit in head])
            rankings[query] = self._judged.ids(place(stage, scored, hits))
        return evaluate_rankings(stage.reranker.name, rankings, qrels, measures=[PRIMARY])


def difference(after: StageEvaluation, before: StageEvaluation, *, between: str = " | ") -> str:
    """Lay out a mean, and its paired difference with the interval."""
    changes = list(deltas(after, before, PRIMARY).values())
    low, high = interval(changes)
    mean = after.means[PRIMARY]
    return f"{mean:.4f}{between}{fmean(changes):+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
