"""From an index and judged queries to an encoder with a smaller token vector, and its proof.

What was computed is kept in the run's folder; the same call goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from retrieve_rerank.base import Connector, TensorDtype
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.labelling import Teacher
from retrieve_rerank.training.provenance import index_fingerprint
from retrieve_rerank.training.queries.cut_search import CutConnector
from retrieve_rerank.training.token_projection.candidates import (
    taught_by,
    texts_of,
    to_learn_from,
)
from retrieve_rerank.training.token_projection.keeping import KeptModel, keep
from retrieve_rerank.training.token_projection.learning import (
    Epoch,
    LearningSettings,
    Learnt,
    learn,
    principal_axes,
)
from retrieve_rerank.training.token_projection.proof import (
    AXES,
    FULL,
    MARGIN,
    TRAINED,
    Verdict,
    judge,
)
from retrieve_rerank.training.token_projection.ranking import TensorRanking
from retrieve_rerank.training.token_projection.saving import check_base, save_projected

SAMPLE_TEXTS = 1000
"""Documents that principal axes are computed from."""


@dataclass(frozen=True, slots=True)
class ProjectionSettings:
    """What is trained, and on how many queries."""

    learning: LearningSettings = LearningSettings()  # noqa: RUF009 - a frozen value
    train_queries: int = 300
    dev_queries: int = 100
    test_queries: int = 300
    candidates: int = 100
    """Hits that MaxSim reranks."""
    pooling_factor: int = 2
    dtype: TensorDtype = "int8"
    margin: float = MARGIN
    teacher: str | None = None
    """Fingerprint of the cross-encoder that teaches; None for the scores of all dimensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedProjection(KeptModel):
    """An encoder whose tokens are projected; its verdict is that of `Verdict.to_dict`."""

    epochs: Sequence[Sequence[float]]
    """Number, loss and dev nDCG@10 of each round, the principal axes' first."""


def train_projection(
    connector: Connector,
    judged: SplitJudgments,
    encoder: TextEncoder,
    *,
    name: str,
    data_dir: Path,
    index: str,
    settings: ProjectionSettings = ProjectionSettings(),
    teacher: Teacher | None = None,
    watch: Watch = Watch(),  # noqa: B008 - does nothing
) -> TrainedProjection:
    """Train a projection of the tokens of `encoder`, and keep it as a version of the model `name`.

    `index` is the address of the connector's index, free of secrets. Nothing in the index changes.
    Raises ConfigError for an encoder whose tokens are projected already, InputError where nothing
    can be learnt or kept, or another run for the same model is at work.
    """
    check_base(encoder)
    judged = judged.at_most(
        train=settings.train_queries, dev=settings.dev_queries, test=settings.test_queries
    )
    fingerprint = index_fingerprint(connector.schema())
    described = {
        "index": index,
        "index_fingerprint": fingerprint,
        "judgments": judged.digests(),
        "encoder": encoder.fingerprint,
        "settings": asdict(settings),
    }
    folder = RunFolder(data_dir / "finetune" / name, described)
    with folder.locked():
        done = folder.read("result")
        if done is not None and Path(done["folder"]).is_dir():
            return TrainedProjection.from_dict(done)
        if judged.cuts.of:
            connector = CutConnector(connector, judged.queries, judged.cuts)
        ranking = TensorRanking(
            connector,
            judged,
            encoder,
            folder.runs,
            candidates=settings.candidates,
            pooling_factor=settings.pooling_factor,
            dtype=settings.dtype,
            watch=watch,
        )
        with closing(ranking):
            run = _Run(ranking, judged, folder, settings, teacher, watch)
            learnt = run.learn()
            looks = folder.count_look(judged.queries, judged.test)
            verdict = run.prove(learnt)
        model = folder.path / "model"
        save_projected(encoder, learnt.projection, model)
        version, path = keep(
            model,
            verdict.sentence,
            verdict.against_full,
            base=encoder.name,
            index=index,
            index_fingerprint=fingerprint,
            judged=judged,
            settings=asdict(settings),
            looks=looks,
            name=name,
            data_dir=data_dir,
        )
        trained = TrainedProjection(
            name=name,
            version=version,
            folder=path,
            accepted=verdict.accepted,
            verdict=verdict.to_dict(),
            epochs=learnt.epochs,
            cache_bytes=ranking.cache_bytes,
        )
        folder.write("result", trained.to_dict())
    return trained


class _Run:
    """One run, from whatever an earlier call has left."""

    def __init__(
        self,
        ranking: TensorRanking,
        judged: SplitJudgments,
        folder: RunFolder,
        settings: ProjectionSettings,
        teacher: Teacher | None,
        watch: Watch,
    ) -> None:
        self._ranking = ranking
        self._judged = judged
        self._folder = folder
        self._settings = settings
        self._teacher = teacher
        self._watch = watch

    def learn(self) -> Learnt:
        """Learn, or read what was learnt."""
        file = self._folder.path / "learnt.npz"
        if file.exists():
            kept = np.load(file, allow_pickle=False)
            return Learnt(kept["axes"], kept["projection"], [Epoch(*e) for e in kept["epochs"]])
        settings = self._settings.learning
        hits = self._ranking.search(self._judged.train, "training")
        asked = to_learn_from(hits, self._judged.queries, self._judged.train, seed=settings.seed)
        if self._teacher is not None:
            with self._watch.progress("asking the teacher", len(asked), "queries") as advance:
                asked = taught_by(self._teacher, asked, on_progress=advance)
        texts = list(dict.fromkeys(text for each in asked for text in each.texts))
        self._ranking.encode(self._judged.train, texts)
        dev = self._judged.dev
        self._ranking.encode(dev, texts_of(self._ranking.search(dev, "dev")))
        tokens = self._ranking.documents.tokens
        sample = np.concatenate([tokens(text) for text in texts[:SAMPLE_TEXTS]])
        axes = principal_axes(sample, settings.dimensions)
        doing = f"training on {len(asked):,} queries"
        with self._watch.progress(doing, settings.epochs * len(asked), "queries") as advance:
            learnt = learn(
                axes,
                asked,
                self._ranking.queries.tokens,
                tokens,
                pooling_factor=self._settings.pooling_factor,
                measure=lambda projection: self._ranking.measure("dev", projection, dev, ()).mean,
                settings=settings,
                on_progress=advance,
                on_epoch=self._watch.tell,
            )
        half = file.with_name(".learnt.npz")
        try:
            np.savez(half, axes=axes, projection=learnt.projection, epochs=np.array(learnt.epochs))
            half.replace(file)
        except OSError as exc:
            raise ModelError(f"cannot write {file}: {exc.strerror or exc}") from exc
        return learnt

    def prove(self, learnt: Learnt) -> Verdict:
        """Measure the held-out queries with all dimensions, with principal axes and as trained."""
        test = self._judged.test
        texts = texts_of(self._ranking.search(test, "held-out"))
        self._ranking.encode(test, texts)
        systems = {FULL: None, AXES: learnt.axes, TRAINED: learnt.projection}
        with self._watch.progress("measuring", len(systems) * len(test), "searches") as advance:
            measured = [
                self._ranking.measure(name, projection, test, texts, on_progress=advance)
                for name, projection in systems.items()
            ]
        return judge(*measured, margin=self._settings.margin)
