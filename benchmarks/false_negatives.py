"""How many false negatives each rule of mining lets through, and how many true ones it costs.

    python -m benchmarks.false_negatives ../shared/data/stackfaq ../shared/data/policyqa

Of each training query's positives all but one, drawn by the seed, are hidden from mining. A rule
is the better the fewer of the hidden ones it admits as negatives, and the more of the other texts
it leaves. Candidates are the first 100 of the dense and lexical rankings fused, by the bundled
encoder. `--steps` trains two cross-encoders, each on the groups that are mined for half of the
queries, hidden positives among their negatives as they would be in earnest; each vetoes for the
other half.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from retrieve_rerank.base import Encoder, Encoding, Scorer, Vectors
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.max_sim import MaxSim
from retrieve_rerank.training.mining import DEFAULT_RULES, Margin, Rules, halves, mine
from retrieve_rerank.training.mining.judged_hits import tell_apart
from retrieve_rerank.training.mining.scores import Cosines, QueryScores
from retrieve_rerank.training.mining.searching import search_all
from retrieve_rerank.training.trainers import TrainerSettings, train
from retrieve_rerank.types import Qrels

SEED = 0
CANDIDATES = 100
GROUP = 15  # negatives that a user asks for
HARD = 20  # ranks of which the others are worth most


@dataclass(frozen=True, slots=True)
class Query:
    """A query's hits that are not its one known positive, best first."""

    hidden: Sequence[bool]
    ranks: Sequence[int]
    cosines: Sequence[float]
    anchor: float | None
    """The known positive's cosine."""
    scores: Mapping[str, Sequence[float]]
    """Of each veto."""
    anchors: Mapping[str, float]
    """The known positive's, of each veto."""
    half: int


class Remembering:
    """The encoder, which encodes each document once: collections are small, and met often."""

    def __init__(self, encoder: Encoder) -> None:
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dimension = encoder.dimension
        self.embed_queries, self.encode_queries = encoder.embed_queries, encoder.encode_queries
        self._encoder = encoder
        self._known: dict[str, Encoding] = {}

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode what is new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= zip(new, self._encoder.encode_documents(new), strict=True) if new else ()
        return [self._known[text] for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of the same pass."""
        return np.stack([each.vector for each in self.encode_documents(texts)])


def main() -> None:
    """Print a table for each collection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+", help="BEIR folders with qrels/train.tsv.gz")
    parser.add_argument("--queries", type=int, default=200, help="of each that are judged")
    parser.add_argument("--steps", type=int, default=0, help="of training the vetoes of 8 groups")
    parser.add_argument("--base", default="bundled", help="what they are trained from")
    arguments = parser.parse_args()
    print(describe("retrieve-rerank"))
    for folder in arguments.data:
        queries = look(folder, arguments.queries, steps=arguments.steps, base=arguments.base)
        hidden = sum(sum(each.hidden) for each in queries)
        others = sum(len(each.hidden) for each in queries) - hidden
        print(f"\n{folder.name}: {len(queries)} queries, {hidden:,} hidden positives and")
        print(f"{others:,} other texts among their first {CANDIDATES} hits\n")
        print("| rule | hidden admitted | of ranks 1-20 | others kept | of ranks 1-20 |", end="")
        print(f" hidden in {GROUP} at random | in the top {GROUP} |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for name, admitted in rules(queries):
            print(row(name, queries, admitted))


def look(folder: Path, count: int, *, steps: int, base: str) -> list[Query]:
    """Search for the queries with several positives, one of them known, and score what is found."""
    queries, qrels = read_folder(folder, split="train")
    several = [
        query
        for query, grades in qrels.items()
        if query in queries and sum(grade > 0 for grade in grades.values()) > 1
    ]
    known: Qrels = {}
    for query in several:
        relevant = [id_ for id_, grade in qrels[query].items() if grade > 0]
        known[query] = {random.Random(f"{SEED} {query}").choice(relevant): 1}
    encoder = Remembering(load_encoder())
    connector = MemoryConnector(Corpus([str(folder)]), encoder=encoder)
    retriever = Retriever(connector, candidates=CANDIDATES)
    half = halves(queries)
    late = MaxSim(encoder)
    vetoes: dict[str, tuple[Scorer, Scorer]] = {"max-sim": (late, late)}
    if steps:
        with tempfile.TemporaryDirectory() as output:
            vetoes["cross-fitted"] = tuple(  # type: ignore[assignment]  # two of them
                trained(retriever, queries, known, half, which, steps, base, Path(output))
                for which in (0, 1)
            )
    drawn = random.Random(SEED).sample(several, min(count, len(several)))
    texts = {query: queries[query] for query in drawn}
    judged = JudgedDocuments(connector, qrels)
    found = []
    for searched in search_all(retriever, texts, own={}, filter=None):
        grades = qrels[searched.query_id]
        mine_of = tell_apart(searched, known[searched.query_id], judged, connector)
        [positive] = mine_of.positives.values()
        cosine = Cosines(searched.hits)
        documents = [hit.document for hit in mine_of.others]
        scores, anchors = {}, {}
        for name, pair in vetoes.items():
            scorer = QueryScores(pair[1 - half[searched.query_id]], searched.query)
            anchors[name], *scores[name] = scorer([positive, *documents])
        found.append(
            Query(
                [grades.get(judged.id_of(document), 0) > 0 for document in documents],
                [hit.rank for hit in mine_of.others],
                cosine(documents),
                min(cosine.known([positive]), default=None),
                scores,
                anchors,
                half[searched.query_id],
            )
        )
    return found


def trained(
    retriever: Retriever,
    queries: Mapping[str, str],
    known: Qrels,
    half: Mapping[str, int],
    which: int,
    steps: int,
    base: str,
    output: Path,
) -> Scorer:
    """Train a cross-encoder on one half of the queries."""
    own = {query: grades for query, grades in known.items() if half[query] == which}
    groups = list(mine(retriever, queries, own, negatives=7, seed=SEED))
    settings = TrainerSettings(max_steps=steps, batch_size=8, group_size=8, max_tokens=192)
    folder = output / f"half-{which}"
    return CrossEncoder(train(groups, base=base, output=folder, settings=settings).model)


def rules(queries: Sequence[Query]) -> list[tuple[str, list[list[bool]]]]:
    """Return each rule's name, and which hits of each query it admits."""

    def by(its: Rules) -> list[list[bool]]:
        return [
            [
                its.take(rank)
                and (not its.need_scores or its.against(cosine, anchor=each.anchor) is None)
                for rank, cosine in zip(each.ranks, each.cosines, strict=True)
            ]
            for each in queries
        ]

    def veto(name: str, share: float) -> list[list[bool]]:
        thresholds = [
            np.quantile([each.anchors[name] for each in queries if each.half == half], share)
            for half in (0, 1)
        ]
        return [[score < thresholds[each.half] for score in each.scores[name]] for each in queries]

    table = [("none", by(Rules()))]
    table += [(f"first rank {rank}", by(Rules(first_rank=rank))) for rank in (6, 11, 21)]
    table += [
        (f"relative margin {share}", by(Rules(margin=Margin(relative=share))))
        for share in (0.98, 0.95, 0.9)
    ]
    table += [
        (f"absolute margin {by_}", by(Rules(margin=Margin(absolute=by_)))) for by_ in (0.0, 0.05)
    ]
    table.append(("default", by(DEFAULT_RULES)))
    for name in queries[0].scores:
        table += [(f"veto {name}, share {s}", veto(name, s)) for s in (0.5, 0.25, 0.1, 0.05)]
    return table


def row(name: str, queries: Sequence[Query], admitted: Sequence[Sequence[bool]]) -> str:
    """Lay out a rule's shares: of hidden positives and of others, and what a group would hold."""
    texts = [
        (rank <= HARD, hidden, takes)
        for each, its in zip(queries, admitted, strict=True)
        for rank, hidden, takes in zip(each.ranks, each.hidden, its, strict=True)
    ]

    def share(*, hidden: bool, hard_only: bool) -> float:
        its = [takes for hard, is_, takes in texts if is_ == hidden and (hard or not hard_only)]
        return sum(its) / max(len(its), 1)

    at_random, top = [], []
    for each, its in zip(queries, admitted, strict=True):
        left = [is_ for is_, takes in zip(each.hidden, its, strict=True) if takes]
        at_random.append(min(GROUP, len(left)) * sum(left) / max(len(left), 1))
        top.append(sum(left[:GROUP]))
    shares = [
        f"{share(hidden=hidden, hard_only=hard):.1%}"
        for hidden in (True, False)
        for hard in (False, True)
    ]
    means = [f"{np.mean(counts):.2f}" for counts in (at_random, top)]
    return f"| {' | '.join([name, *shares, *means])} |"


if __name__ == "__main__":
    main()
