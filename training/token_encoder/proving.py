"""The held-out queries, by the tensors that the index holds and by those of a trained encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean

from retrieve_rerank.base import Connector, TensorConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.queries.cut_search import CutConnector
from retrieve_rerank.training.token_encoder.proof import TODAY, TRAINED, GainVerdict, judge_gain
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.token_projection.candidates import texts_of
from retrieve_rerank.training.token_projection.proof import (
    PASSAGE_TOKENS,
    Measured,
    both_stages,
    token_bytes,
)
from retrieve_rerank.training.token_projection.ranking import TensorRanking


def prove(
    model: Path,
    connector: Connector,
    judged: SplitJudgments,
    encoder: TextEncoder,
    folder: Path,
    *,
    settings: EncoderSettings,
    watch: Watch,
) -> tuple[GainVerdict, int]:
    """Compare a trained model with the tensors of the index, which `encoder` has made.

    Queries that were cut out of documents are asked of the tensors that both make of texts without
    spans like them, which the index's own tensors of all other documents hold.

    Also returns how many bytes of tokens are kept in `folder`, where a call that was stopped goes
    on. Raises as `measure_served` and `judge_gain` do.
    """
    cut = CutConnector(connector, judged.queries, judged.cuts) if judged.cuts.of else connector

    def ranking(maker: TextEncoder) -> TensorRanking:
        return TensorRanking(
            cut,
            judged,
            maker,
            folder,
            candidates=settings.candidates,
            pooling_factor=settings.pooling_factor,
            dtype=settings.dtype,
            watch=watch,
        )

    def measure(name: str, made: TensorRanking) -> Measured:
        made.encode(test, texts)
        with watch.progress(f"measuring, {name}", len(test), "searches") as advance:
            return made.measure(name, None, test, texts, on_progress=advance)

    test = judged.test
    kept = 0
    with closing(ranking(load_encoder(str(model)))) as after:
        texts = texts_of(after.search(test, "held-out"))
        if judged.cuts.of:
            with closing(ranking(encoder)) as before:
                today, kept = measure(TODAY, before), before.cache_bytes
        else:
            with watch.progress(f"measuring, {TODAY}", len(test), "searches") as advance:
                today = measure_served(
                    connector, judged, encoder, texts, settings=settings, on_progress=advance
                )
        return judge_gain(today, measure(TRAINED, after)), kept + after.cache_bytes


def measure_served(
    connector: Connector,
    judged: SplitJudgments,
    encoder: TextEncoder,
    texts: Sequence[str],
    *,
    settings: EncoderSettings,
    on_progress: Callable[[int], None] | None = None,
) -> Measured:
    """Measure the tensors that the index holds on the held-out queries; nothing is made anew.

    `encoder` made them, of whose tokens `texts` tell the sizes. Raises ConfigError for an index
    that scores no tensors, and as `both_stages` does.
    """
    if not isinstance(connector, TensorConnector):
        raise ConfigError(f"{connector.schema().location} has no token tensors to be compared with")
    served = Retriever(connector, DatabaseMaxSim(connector), candidates=settings.candidates)
    first, last = both_stages(served, judged.queries, judged.test, on_progress=on_progress)
    each = token_bytes(encoder.token_dimension, settings.dtype)
    read = encoder.tokenize_documents(texts)
    kept = [-(-len(tokens.ids) // settings.pooling_factor) for tokens in read]
    return Measured(
        TODAY,
        encoder.token_dimension,
        last,
        each * fmean(kept) if kept else 0.0,
        each * -(-PASSAGE_TOKENS // settings.pooling_factor),
        first,
    )
