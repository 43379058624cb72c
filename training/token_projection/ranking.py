"""Judged queries ranked as an index does: by its first stage, and MaxSim of an encoder's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from retrieve_rerank.base import Connector, TensorDtype, Vectors
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.token_projection.candidates import search_all
from retrieve_rerank.training.token_projection.proof import Measured, StoredMaxSim, measure
from retrieve_rerank.training.token_projection.token_cache import TokenCache
from retrieve_rerank.types import Hit, Qrels


class TensorRanking:
    """An index with the tensors that an encoder would give it; its tokens are kept on disk."""

    def __init__(
        self,
        connector: Connector,
        judged: SplitJudgments,
        encoder: TextEncoder,
        runs: Path,
        *,
        candidates: int,
        pooling_factor: int,
        dtype: TensorDtype,
        watch: Watch,
    ) -> None:
        """Keep tokens in `runs`, for all runs with this encoder; `candidates` hits are reranked."""
        self._connector = connector
        self._judged = judged
        self._candidates = candidates
        self._pooling_factor = pooling_factor
        self._dtype: TensorDtype = dtype
        self._watch = watch
        tokens = runs / f"tokens-{encoder.fingerprint}"
        dimension = encoder.token_dimension
        self.queries = TokenCache(tokens / "queries", encoder.encode_queries, dimension)
        self.documents = TokenCache(tokens / "documents", encoder.encode_documents, dimension)

    @property
    def cache_bytes(self) -> int:
        """What the kept token vectors take on the disk."""
        return self.queries.bytes + self.documents.bytes

    def close(self) -> None:
        """Close the files."""
        self.queries.close()
        self.documents.close()

    def search(self, qrels: Qrels, which: str) -> Mapping[str, Sequence[Hit]]:
        """Return the candidates of each judged query."""
        with self._watch.progress(f"searching, {which}", len(qrels), "queries") as advance:
            return search_all(
                self._connector,
                self._judged.queries,
                qrels,
                top_k=self._candidates,
                on_progress=advance,
            )

    def encode(self, qrels: Qrels, texts: Sequence[str]) -> None:
        """Make the tokens of judged queries and of these texts, and keep them."""
        self.queries.add(self._judged.queries[query] for query in self._asked(qrels))
        with self._watch.progress("encoding tokens", len(texts), "documents") as advance:
            self.documents.add(texts, on_progress=advance)

    def measure(
        self,
        name: str,
        projection: Vectors | None,
        qrels: Qrels,
        texts: Sequence[str],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Measured:
        """Measure judged queries whose candidates are encoded, by tokens that may be projected."""
        max_sim = StoredMaxSim(
            self.queries.tokens,
            self.documents.tokens,
            projection=projection,
            pooling_factor=self._pooling_factor,
            dtype=self._dtype,
        )
        return measure(
            name,
            self._connector,
            max_sim,
            self._judged.queries,
            qrels,
            dimensions=self.queries.dimension if projection is None else projection.shape[1],
            texts=texts,
            pooling_factor=self._pooling_factor,
            candidates=self._candidates,
            on_progress=on_progress,
        )

    def _asked(self, qrels: Qrels) -> list[str]:
        return [query for query in qrels if query in self._judged.queries]
