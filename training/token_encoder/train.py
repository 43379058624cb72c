"""From an index and judged queries to an encoder trained for what MaxSim compares, and its proof.

What was computed is kept in the run's folder; the same call goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from retrieve_rerank.base import Connector, Scorer, Vectors
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.training.finetuning.data import SplitJudgments, by_hash
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.trying import TRIED
from retrieve_rerank.training.finishing import finish
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.labelling import Teacher
from retrieve_rerank.training.launching import alone
from retrieve_rerank.training.mining import Mining, mine_to_file
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.provenance import index_fingerprint
from retrieve_rerank.training.queries.cut_search import CutConnector
from retrieve_rerank.training.token_encoder.network import open_max_sim, relevant_texts
from retrieve_rerank.training.token_encoder.plan import DEPTHS, Plan, Speed, make_plan
from retrieve_rerank.training.token_encoder.proof import (
    TRAINED,
)
from retrieve_rerank.training.token_encoder.proving import prove
from retrieve_rerank.training.token_encoder.settings import EncoderSettings
from retrieve_rerank.training.token_projection.candidates import (
    check_teacher,
    search_all,
    texts_of,
)
from retrieve_rerank.training.token_projection.keeping import KeptModel, keep
from retrieve_rerank.training.token_projection.learning import principal_axes
from retrieve_rerank.training.token_projection.train import SAMPLE_TEXTS
from retrieve_rerank.training.trainers import Progress, Trained, measure_speed, train
from retrieve_rerank.training.trainers.opening import Opens
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.tuning import PRIMARY, find_candidates
from retrieve_rerank.types import Hit, Qrels


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEncoder(KeptModel):
    """An encoder trained for MaxSim; its verdict is that of `GainVerdict.to_dict`."""

    training: Mapping[str, Any]
    """See `Trained.as_dict`: the curve, and the speed in texts a second."""
    notes: Sequence[str]
    """What to mind, a sentence each."""


def train_encoder(
    connector: Connector,
    judged: SplitJudgments,
    encoder: TextEncoder,
    *,
    name: str,
    data_dir: Path,
    index: str,
    settings: EncoderSettings,
    teacher: Teacher | None = None,
    spent_s: float = 0.0,
    watch: Watch = Watch(),  # noqa: B008 - does nothing
) -> TrainedEncoder:
    """Train an encoder for MaxSim, prove it, and keep it as a version of the model `name`.

    `encoder` has made the tensors that serve, which it is compared with. `index` is the address of
    the connector's index, free of secrets; nothing in it changes. `spent_s` seconds of the minutes
    were gone before this call. Raises ConfigError for minutes that do not suffice and for a base
    that cannot be trained, InputError where nothing can be learnt or kept, or another run for the
    same model is at work.
    """
    alone("training of token tensors")
    began = time.perf_counter() - spent_s
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
            return TrainedEncoder.from_dict(done)
        trained, groups = _Run(connector, judged, folder, settings, teacher, watch).train(began)
        with watch.wait("making the fast form"):
            finished = finish(trained.model, groups=groups, calibration=None, tokens=True)
        looks = folder.count_look(judged.queries, judged.test)
        verdict, cache_bytes = prove(
            trained.model, connector, judged, encoder, folder.path, settings=settings, watch=watch
        )
        version, path = keep(
            trained.model,
            verdict.sentence,
            verdict.over_today,
            base=settings.base,
            index=index,
            index_fingerprint=fingerprint,
            judged=judged,
            settings=asdict(settings),
            looks=looks,
            name=name,
            data_dir=data_dir,
        )
        stopped = [trained.stopped] if trained.stopped else []
        result = TrainedEncoder(
            name=name,
            version=version,
            folder=path,
            accepted=verdict.accepted,
            verdict=verdict.to_dict(),
            training=trained.as_dict(),
            notes=[*trained.warnings, *stopped, *finished.notes],
            cache_bytes=cache_bytes,
        )
        folder.write("result", result.to_dict())
    return result


class _Run:
    """One run, from whatever an earlier call has left."""

    def __init__(
        self,
        connector: Connector,
        judged: SplitJudgments,
        folder: RunFolder,
        settings: EncoderSettings,
        teacher: Teacher | None,
        watch: Watch,
    ) -> None:
        self._connector = connector
        if judged.cuts.of:
            self._connector = CutConnector(connector, judged.queries, judged.cuts)
        self._judged = judged
        self._folder = folder
        self._settings = settings
        self._teacher = teacher
        self._watch = watch

    def train(self, began: float) -> tuple[Trained, Sequence[Group]]:
        """Mine, and train from there; also what was trained on."""
        dev = self._judged.dev
        with self._watch.progress("searching, dev", len(dev), "queries") as advance:
            dev_hits = search_all(
                self._connector,
                self._judged.queries,
                dev,
                top_k=self._settings.candidates,
                on_progress=advance,
            )
        plan = self._plan(dev_hits, began)
        self._watch.tell(plan)
        groups = self._mine(plan)
        found = find_candidates(self._retriever(), self._judged.queries, dev)

        def look(scorer: Scorer) -> float:
            scored = found.scored({TRAINED: scorer}, depth=plan.dev_depth)
            at_depth = scored.evaluation(TRAINED, Stage(scorer, plan.dev_depth), TRAINED)
            return at_depth.means[PRIMARY]

        with self._watch.progress("training", plan.steps, "steps") as advance:
            taken = 0

            def stepped(told: Progress) -> None:
                nonlocal taken
                advance(told.step - taken)  # the first of a run that goes on: all that it had taken
                taken = told.step
                self._watch.tell(told)

            trained = train(
                groups,
                base=self._settings.base,
                output=self._folder.training,
                settings=replace(
                    self._trainer(),
                    max_steps=plan.steps,
                    batch_size=plan.batch_size,
                    evaluate_every=plan.evaluate_every,
                ),
                evaluator=look,
                on_progress=stepped,
                opens=self._opens(groups, self._axes(groups)),
            )
        return trained, groups

    def _plan(self, dev_hits: Mapping[str, Sequence[Hit]], began: float) -> Plan:
        """Read the plan that was made, or try out how fast this machine is and make one."""
        if (made := self._folder.read("plan")) is not None:
            return Plan(**made)
        judged = self._judged
        with self._watch.wait("trying out how fast this machine is"):
            mining = self._mining(by_hash(judged.train, judged.queries, TRIED))
            started = time.perf_counter()
            groups = [group for group, _ in mining.outcomes() if group is not None]
            searches_per_s = len(mining.qrels) / (time.perf_counter() - started)
            if not groups:
                raise InputError(
                    f"none of {len(mining.qrels)} training queries has a relevant document in the"
                    " index and a negative beside it; are these judgments of this index?"
                )
            texts_per_s = measure_speed(
                groups,
                base=self._settings.base,
                settings=replace(self._settings.trainer, loss="lce"),
                opens=self._opens(groups, None),
            )
        dev_texts = {
            depth: len(texts_of({query: hits[:depth] for query, hits in dev_hits.items()}))
            for depth in DEPTHS
        }
        each = dev_texts[DEPTHS[0]] / max(1, len(dev_hits))
        speed = Speed(
            searches_per_s=searches_per_s,
            texts_per_s=texts_per_s,
            dev_texts=dev_texts,
            test_texts=int(min(each * len(judged.test), self._connector.count())),
        )
        plan = make_plan(judged.sizes(), self._settings, speed, spent_s=time.perf_counter() - began)
        self._folder.write("plan", plan.to_dict())
        return plan

    def _mine(self, plan: Plan) -> Sequence[Group]:
        mining = self._mining(by_hash(self._judged.train, self._judged.queries, plan.mined_queries))
        with self._watch.progress("mining", len(mining.qrels), "queries") as advance:
            mined = mine_to_file(mining, self._folder.groups, on_progress=advance)
        self._watch.tell(mined)
        groups = list(read_groups(self._folder.groups))
        if self._teacher is None:
            return groups
        check_teacher(self._teacher)
        with self._watch.progress("asking the teacher", len(groups), "queries") as advance:
            return [self._taught(group, self._teacher, advance) for group in groups]

    def _taught(self, group: Group, teacher: Teacher, advance: Callable[[int], None]) -> Group:
        scores = teacher.scores(group.query, [each.text for each in group.texts])
        advance(1)
        texts = (
            replace(each, teacher_score=score)
            for each, score in zip(group.texts, scores, strict=True)
        )
        return replace(group, texts=tuple(texts))

    def _axes(self, groups: Sequence[Group]) -> Vectors | None:
        """Return the principal axes that a projection starts from; None where there is none."""
        if self._settings.dimensions is None:
            return None
        texts = list(dict.fromkeys(each.text for group in groups for each in group.texts))
        base = load_encoder(self._settings.base)
        tokens = base.embed_document_tokens(texts[:SAMPLE_TEXTS])
        return principal_axes(np.concatenate(tokens), self._settings.dimensions)

    def _opens(self, groups: Sequence[Group], axes: Vectors | None) -> Opens:
        return partial(
            open_max_sim,
            relevant=relevant_texts(groups),
            pooling_factor=self._settings.pooling_factor,
            dtype=self._settings.dtype,
            projection=axes,
        )

    def _trainer(self) -> TrainerSettings:
        # With a teacher as ColBERTv2 (https://arxiv.org/abs/2112.01488, §3.2) is trained: its
        # distribution over a query's own texts, and the judgments among all of the pass.
        losses = {"lce": 1.0} if self._teacher is None else {"kl": 1.0, "lce": 1.0}
        return replace(self._settings.trainer, loss=losses)

    def _mining(self, queries: Qrels) -> Mining:
        return Mining(
            retriever=self._retriever(),
            queries=self._judged.queries,
            qrels=queries,
            negatives=self._settings.negatives,
            rules=self._settings.rules,
            seed=self._settings.trainer.seed,
        )

    def _retriever(self) -> Retriever:
        return Retriever(self._connector, candidates=self._settings.candidates)
