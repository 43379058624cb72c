"""What holds of every reranker, on all that are registered, and on one that is made for it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from retrieve_rerank import Hit, Reranker, RerankResult, Scorer, rescore
from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings
from retrieve_rerank.models.language_model import Answers, Prompt
from retrieve_rerank.registry import RERANKERS, reranker_class
from retrieve_rerank.rerankers.cached import Cached, ScoreCache
from retrieve_rerank.rerankers.collapse import Collapse
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.rerankers.diversify import Diversify
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.query_likelihood import QueryLikelihood
from retrieve_rerank.rerankers.llm.scalar_head import ScalarHead
from retrieve_rerank.rerankers.llm.setwise import Setwise
from retrieve_rerank.rerankers.llm.yes_no import YesNo
from retrieve_rerank.rerankers.max_sim import MaxSim
from retrieve_rerank.rerankers.metadata import Popularity, Recency
from retrieve_rerank.rerankers.remote import Remote
from retrieve_rerank.testing import (
    HashingEncoder,
    OverlapScorer,
    RerankerConformance,
    ScorerConformance,
)
from tests.models.embedding_server import ok, serve
from tests.models.tiny import make_model
from tests.models.tiny_language_models import make_language_model
from tests.rerankers.llm.oracle import Oracle
from tests.rerankers.rerank_server import documented

NAN = float("nan")


class NanEncoder(HashingEncoder):
    """Whose vectors are none."""

    def _encode(self, text: str) -> Encoding:
        given = super()._encode(text)
        return Encoding(given.vector * NAN, given.tokens * NAN, given.truncated)


class NanIndex(MemoryConnector):
    """Whose tensors give no number."""

    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        return dict.fromkeys(ids, NAN)


class NanLanguageModel(Oracle):
    """Which finds nothing likely or unlikely."""

    def next_token_logits(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        return Answers(np.full((len(prompts), len(words)), NAN, np.float32), [()] * len(prompts))

    def log_likelihoods(
        self, prompts: Sequence[Prompt], continuations: Sequence[str]
    ) -> Answers[list[Vectors]]:
        return Answers([np.full(2, NAN, np.float32)] * len(prompts), [()] * len(prompts))


class Countless(OverlapScorer):
    """An author's, with a fingerprint, so that it can be cached."""

    fingerprint = "1"


class Workshop:
    """What several rerankers need, made once."""

    def __init__(self, factory: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._factory = factory
        self._stack = stack

    @cached_property
    def pair_model(self) -> Path:
        return make_model(self._factory.mktemp("pairs"), "bert", labels=1)

    @cached_property
    def decoder(self) -> Path:
        return make_language_model(self._factory.mktemp("decoder"), "qwen3", positions=2048)

    @cached_property
    def head(self) -> Path:
        folder = self._factory.mktemp("head")
        return make_language_model(folder, "llama", labels=1, positions=2048)

    def without_numbers(self, folder: Path, weight: str) -> Path:
        """Put NaN in place of a weight."""
        file = folder / "model.safetensors"
        weights = load_file(file)
        weights[weight] = weights[weight] * NAN
        save_file(weights, file, {"format": "pt"})
        return folder

    @cached_property
    def index(self) -> MemoryConnector:
        encoder = HashingEncoder()
        index = MemoryConnector(ScorerConformance().documents(), encoder=encoder)
        add_tensors(index, encoder, tensor_settings(encoder))
        return index

    def server(self, score: float | None = None) -> str:
        answer = documented
        if score is not None:

            def answer(path: str, body: Any) -> Any:
                return ok([{"index": n, "score": score} for n in range(len(body["texts"]))])

        return self._stack.enter_context(serve(answer)).url


class Case(NamedTuple):
    """How to make a reranker, and one whose model gives NaN."""

    make: Callable[[Workshop], Reranker]
    without_numbers: Callable[[Workshop], Reranker] | None = None


def _yes_no(model: Any) -> YesNo:
    return YesNo(model, prompt="qwen3-reranker", device="cpu", threads=1, max_tokens=400)


def _likelihood(model: Any) -> QueryLikelihood:
    return QueryLikelihood(model, prompt="rankinggpt", device="cpu", threads=1, max_tokens=200)


def _head(model: Path) -> ScalarHead:
    return ScalarHead(str(model), prompt="rankllama", device="cpu", threads=1, max_tokens=200)


def _nan_pair_model(workshop: Workshop) -> Path:
    folder = make_model(workshop._factory.mktemp("nan"), "bert", labels=1)
    return workshop.without_numbers(folder, "classifier.bias")


def _nan_head(workshop: Workshop) -> Path:
    folder = make_language_model(workshop._factory.mktemp("nan"), "llama", labels=1, positions=2048)
    return workshop.without_numbers(folder, "score.weight")


SCORERS: Mapping[str, Case] = {
    "an author's": Case(lambda _: OverlapScorer()),
    "cached": Case(lambda _: Cached(Countless(), ScoreCache())),
    "cross-encoder": Case(
        lambda w: CrossEncoder(w.pair_model, threads=1),
        lambda w: CrossEncoder(_nan_pair_model(w), threads=1),
    ),
    "cross-encoder by passages": Case(
        lambda w: CrossEncoder(w.pair_model, threads=1, long_documents="passages")
    ),
    "llm-query-likelihood": Case(
        lambda w: _likelihood(str(w.decoder)), lambda _: _likelihood(NanLanguageModel())
    ),
    "llm-scalar-head": Case(lambda w: _head(w.head), lambda w: _head(_nan_head(w))),
    "llm-yes-no": Case(lambda w: _yes_no(str(w.decoder)), lambda _: _yes_no(NanLanguageModel())),
    "max-sim": Case(lambda _: MaxSim(HashingEncoder()), lambda _: MaxSim(NanEncoder())),
    "remote": Case(lambda w: Remote(f"tei:{w.server()}"), lambda w: Remote(f"tei:{w.server(NAN)}")),
}


def _without_numbers() -> Oracle:
    return Oracle(values=lambda texts: [NAN] * len(texts))


RERANKERS_BY_HITS: Mapping[str, Case] = {
    "collapse": Case(lambda _: Collapse("clicks")),
    "diversify": Case(lambda _: Diversify(HashingEncoder()), lambda _: Diversify(NanEncoder())),
    "llm-listwise": Case(
        lambda _: Listwise(Oracle(), window=4, step=2),
        lambda _: Listwise(_without_numbers(), prompt="first"),
    ),
    "llm-pairwise": Case(lambda _: Pairwise(Oracle()), lambda _: Pairwise(_without_numbers())),
    "llm-pairwise by wins": Case(lambda _: Pairwise(Oracle(), method="wins")),
    "llm-setwise": Case(lambda _: Setwise(Oracle()), lambda _: Setwise(_without_numbers())),
    "max-sim in the database": Case(
        lambda w: DatabaseMaxSim(w.index), lambda _: DatabaseMaxSim(NanIndex())
    ),
    "popularity": Case(lambda _: Popularity("clicks")),
    "recency": Case(lambda _: Recency("date", now=lambda: datetime(2024, 6, 1, tzinfo=UTC))),
}


class Made:
    """The rerankers of the cases, each made when it is first tested."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._made: dict[Callable[[Workshop], Reranker], Reranker] = {}

    def __call__(self, make: Callable[[Workshop], Reranker]) -> Any:
        if make not in self._made:
            self._made[make] = make(self._workshop)
        return self._made[make]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with ExitStack() as stack:
        yield Made(Workshop(tmp_path_factory, stack))


class Registered(RerankerConformance):
    """One of the cases after the other."""

    case: Case
    made: Made

    def reranker(self) -> Any:
        return self.made(self.case.make)

    def without_numbers(self) -> Reranker | None:
        broken = self.case.without_numbers
        return None if broken is None else self.made(broken)


class TestScorers(Registered, ScorerConformance):
    @pytest.fixture(autouse=True, params=SCORERS)
    def _case(self, request: pytest.FixtureRequest, made: Made) -> None:
        self.case, self.made = SCORERS[request.param], made


class TestOthers(Registered):
    @pytest.fixture(autouse=True, params=RERANKERS_BY_HITS)
    def _case(self, request: pytest.FixtureRequest, made: Made) -> None:
        self.case, self.made = RERANKERS_BY_HITS[request.param], made


def test_every_registered_reranker_is_exercised(made: Made) -> None:
    cases = [*SCORERS.values(), *RERANKERS_BY_HITS.values()]
    exercised = [made(case.make) for case in cases]
    kinds = {name: reranker_class(name) for name in RERANKERS}
    left = [n for n, kind in kinds.items() if not any(isinstance(r, kind) for r in exercised)]
    assert left == [], "add a case for each"


class Sloppy(Reranker):
    """Breaks what it is told to."""

    name = "sloppy"

    def __init__(self, flaw: str) -> None:
        self.flaw = flaw
        self.calls = 0

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        self.calls += 1
        scores = [float(len(hit.document.text)) for hit in hits]
        match self.flaw:
            case "the order of ties":
                return RerankResult(rescore(list(reversed(hits)), scores[::-1]))
            case "a document twice":
                return RerankResult(rescore([*hits, *hits[:1]], [*scores, *scores[:1]]))
            case "rising scores":
                return RerankResult(rescore(hits, scores)[::-1])
            case "the list":
                if isinstance(hits, list):
                    hits.sort(key=lambda hit: hit.document.text)
            case "the second answer":
                scores = [score * self.calls for score in scores]
            case "no previous":
                return RerankResult(hits)
            case "one document":
                return RerankResult(rescore(hits, scores)[1:])
        return RerankResult(rescore(hits, scores))


@pytest.mark.parametrize(
    ("flaw", "tests"),
    [
        ("the order of ties", {"test_ties_keep", "test_equal_documents"}),
        ("a document twice", {"test_every_hit"}),
        ("rising scores", {"test_scores_do_not_rise", "test_ranks_run"}),
        ("the list", {"test_what_it_is_given"}),
        ("the second answer", {"test_async_gives"}),
        ("no previous", {"test_every_hit"}),
        ("one document", {"test_one_document", "test_ranks_run"}),
        ("", set()),
    ],
)
def test_a_flaw_is_found(flaw: str, tests: set[str]) -> None:
    class Suite(RerankerConformance):
        def __init__(self) -> None:
            self._made = Sloppy(flaw)

        def reranker(self) -> Reranker:
            return self._made

    failed = set()
    for name in dir(Suite):
        if name.startswith("test_"):
            try:
                getattr(Suite(), name)()
            except (AssertionError, ValueError):
                failed.add(name)
    assert all(any(name.startswith(each) for name in failed) for each in tests), failed
    assert bool(failed) == bool(flaw)


def test_the_example_of_the_docs_conforms() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    example: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, example)
    suite = example["TestOverlap"]
    names = [name for name in dir(suite) if name.startswith("test_")]
    assert len(names) > 15
    for name in names:
        getattr(suite(), name)()


class Neighbourly(OverlapScorer):
    """Whose scores depend on the other texts."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [score / len(texts) for score in super().score(query, texts)]


def test_a_scorer_that_looks_at_its_neighbours_is_found() -> None:
    class Suite(ScorerConformance):
        def reranker(self) -> Scorer:
            return Neighbourly()

        query = "wings lift"

    with pytest.raises(AssertionError):
        Suite().test_a_score_depends_on_query_and_text_alone()
    assert not math.isnan(Neighbourly().score("lift", ["lift"])[0])
