"""A teacher: any reranker, whose answers are kept on disk and counted."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np

from retrieve_rerank.base import Reranker, Scorer
from retrieve_rerank.errors import ConfigError, ScoreError
from retrieve_rerank.models.answer_store import AnswerStore, question_key
from retrieve_rerank.models.metered_model import MeteredModel
from retrieve_rerank.models.metering import FREE, Meter, Price, Purse, Usage, tokens_of
from retrieve_rerank.rerankers.drop_in import DropIn, sigmoid
from retrieve_rerank.rerankers.llm.comparer import Comparer
from retrieve_rerank.rerankers.llm.query_likelihood import QueryLikelihood
from retrieve_rerank.rerankers.llm.yes_no import YesNo
from retrieve_rerank.rerankers.remote import Remote
from retrieve_rerank.types import Document, rank


class Teacher:
    """A reranker that labels texts; one may be shared by many threads.

    A language model's answers are kept prompt by prompt, other rerankers' query by query, so that
    what was asked once is never asked again, by this run or another that has the same store.
    """

    def __init__(
        self,
        reranker: Reranker,
        store: AnswerStore,
        *,
        price: Price = FREE,
        purse: Purse | None = None,
    ) -> None:
        """`price` is what its model costs, and `purse` what may be spent by all who share it."""
        self.reranker = copy.copy(reranker)
        self.meter = Meter(price, purse)
        self._store = store
        self._asks = True
        if isinstance(self.reranker, YesNo | QueryLikelihood | Comparer):
            self.reranker.model = MeteredModel(self.reranker.model, store, self.meter)

    @property
    def name(self) -> str:
        """The reranker's and its model's."""
        model = getattr(self.reranker, "model", None)
        named = model if isinstance(model, str) else getattr(model, "name", None)
        return f"{self.reranker.name} {named}" if named else self.reranker.name

    @property
    def served(self) -> bool:
        """Whether its model is behind a server."""
        if isinstance(self.reranker, YesNo | QueryLikelihood | Comparer):
            return not self.reranker.model.tells_logits
        return isinstance(self.reranker, Remote)

    def counting(self) -> Teacher:
        """Return one that asks nobody, and counts what asking would amount to."""
        counts = copy.copy(self)
        counts.meter = Meter(self.meter.price)
        counts._asks = False
        counts.reranker = copy.copy(self.reranker)
        if isinstance(counts.reranker, YesNo | QueryLikelihood | Comparer):
            model = counts.reranker.model
            assert isinstance(model, MeteredModel)
            counts.reranker.model = model.counting(counts.meter)
        return counts

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score texts, higher is better; those of one that orders mean nothing elsewhere.

        Raises ScoreError or RequestError where it does not answer in a form that can be read,
        ModelError where it cannot be asked, and CostLimitError where that costs too much.
        """
        if isinstance(self.reranker, YesNo | QueryLikelihood | Comparer):
            return self._ask(query, texts)
        facts = (self.reranker.name, self._identity(), query, list(texts))
        key = question_key(*facts)
        found = self._store.find([key])
        if found:
            self.meter.find_known(1)
            scores: list[float] = found[key]
            return scores
        self.meter.ask(self._usage(query, texts))
        if not self._asks:
            return [0.0] * len(texts)
        scores = self._ask(query, texts)
        self._store.keep({key: scores})
        return scores

    def probabilities(self, scores: Sequence[float]) -> list[float]:
        """Turn scores into probabilities of relevance: calibrated ones, else by a sigmoid.

        What says probabilities itself is taken by its word. Raises ConfigError for a teacher whose
        scores compare texts of one query alone.
        """
        told = self.reranker.probabilities(scores)
        if told is not None:
            return told
        if isinstance(self.reranker, Remote) or (
            isinstance(self.reranker, YesNo)
            and self.reranker.prompt.score in ("softmax", "vocabulary")
        ):
            return [min(max(score, 0.0), 1.0) for score in scores]
        if not isinstance(self.reranker, DropIn) or isinstance(self.reranker, QueryLikelihood):
            raise ConfigError(
                f"{self.name} gives an order, or scores without a scale, and no probabilities; take"
                " --labels scores or ranks"
            )
        squeezed: list[float] = sigmoid(np.array(scores, dtype=np.float64)).tolist()
        return squeezed

    def _ask(self, query: str, texts: Sequence[str]) -> list[float]:
        if isinstance(self.reranker, Scorer):
            scores = list(self.reranker.score_texts(query, texts).scores)
        else:
            scores = self._order(query, texts)
        if not all(map(math.isfinite, scores)) or len(scores) != len(texts):
            raise ScoreError(f"{self.name} did not give a number for each of {len(texts)} texts")
        return [float(score) for score in scores]

    def _order(self, query: str, texts: Sequence[str]) -> list[float]:
        documents = [Document(str(place), text) for place, text in enumerate(texts)]
        model = getattr(self.reranker, "model", None)
        metered = model if isinstance(model, MeteredModel) else None
        if metered:
            metered.taken()
        result = self.reranker.rerank(query, rank((each, 0.0) for each in documents))
        if result.unread and self._asks:
            if metered:
                metered.forget(metered.taken())
            raise ScoreError(f"{self.name}: {'; '.join(result.notes)}")
        scores = [-math.inf] * len(texts)
        for hit in result.hits:
            scores[int(hit.document.id)] = hit.score
        return scores

    def _identity(self) -> str:
        told = self.reranker.fingerprint if isinstance(self.reranker, Scorer) else ""
        return told or self.name

    def _usage(self, query: str, texts: Sequence[str]) -> Usage:
        tokens = sum(tokens_of(text) + tokens_of(query) for text in texts)
        requests = self.reranker.requests(query, texts) if isinstance(self.reranker, Remote) else 0
        return Usage(requests, tokens)
