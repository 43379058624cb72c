"""The table of `benchmarks.llm_scorers`: what rankings are worth, and what they cost."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from statistics import fmean
from typing import NamedTuple

from benchmarks.llm_forms import Form
from retrieve_rerank import Hit, Qrels
from retrieve_rerank.base import Reranker
from retrieve_rerank.evaluation.compare import deltas
from retrieve_rerank.evaluation.evaluate import StageEvaluation, evaluate_rankings
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.pipeline.stage import Stage, place
from retrieve_rerank.training.slices import interval
from retrieve_rerank.training.tuning import PRIMARY, WEIGHTS, can_tune
from retrieve_rerank.types import rescore

SHUFFLES = 50


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

    def print_head(self, by_max_sim: Rankings, depths: Set[int]) -> None:
        """Print the order that was given, MaxSim's, and what chance makes of the first hits."""
        print(
            "| form | hits | nDCG@10 | difference (95 %) | blended: weight, nDCG@10, difference"
            " (95 %) | order kept | orders | unread | queries a minute of processor time | tokens"
            " a query | tokens a second |"
        )
        print("|---|---:|---:|---|---|---:|---:|---:|---:|---:|---:|")
        given = self._given(self._test)
        print(f"| hybrid, as given | | {given.means[PRIMARY]:.4f} {'| ' * 8}|")
        max_sim = evaluate_rankings("MaxSim", by_max_sim, self._test, measures=[PRIMARY])
        print(f"| MaxSim | 100 | {difference(max_sim, given)} {'| ' * 7}|", flush=True)
        for depth in sorted(depths, reverse=True):
            means = []
            for turn in range(SHUFFLES):
                chance = random.Random(turn)
                rankings = {
                    query: self._judged.ids(
                        [*chance.sample(hits[:depth], len(hits[:depth])), *hits[depth:]]
                    )
                    for query, hits in self._hits.items()
                    if query in self._test
                }
                shuffled = evaluate_rankings("chance", rankings, self._test, measures=[PRIMARY])
                means.append(shuffled.means[PRIMARY])
            print(f"| shuffled {SHUFFLES} times | {depth} | {fmean(means):.4f} {'| ' * 8}|")

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
        if can_tune(reranker) and self._dev and all(query in told for query in self._dev):
            values = {
                weight: self._evaluation(self._dev, told, Stage(reranker, depth, weight)).means
                for weight in WEIGHTS
            }
            weight = max(WEIGHTS, key=lambda weight: round(values[weight][PRIMARY], 9))
            mixed = self._evaluation(test, told, Stage(reranker, depth, weight))
            blended = f"{weight:g}: {difference(mixed, self._given(test), between=', ')}"
        orders = [
            tuple(list(told[query].scores).index(hit.document.id) for hit in hits)
            for query, hits in ((query, self._hits[query][:depth]) for query in test)
        ]
        kept = fmean(list(order) == sorted(order) for order in orders)
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
            f"| {name} | {depth} | {difference(alone, self._given(test))} | {blended} | {kept:.0%}"
            f" | {len(set(orders))}"
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
