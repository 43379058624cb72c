"""The closed loop: from an index and judged queries to a reranker that is proved, then promoted.

Each part writes down what it has done, so that the same call goes on where any earlier one ended.
The index is open while hits are looked for, and closed while the model trains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.checkpoints.version_record import Serving
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.finetuning.data import SplitJudgments, by_hash
from retrieve_rerank.training.finetuning.doubting import doubt_positives
from retrieve_rerank.training.finetuning.keeping import keep
from retrieve_rerank.training.finetuning.placing import (
    Place,
    find_dev_candidates,
    place,
    retuned,
)
from retrieve_rerank.training.finetuning.plan import Plan, Speed, make_plan
from retrieve_rerank.training.finetuning.proof import PIPELINES, Proof, prove
from retrieve_rerank.training.finetuning.protecting import Protected
from retrieve_rerank.training.finetuning.replaying import replayed_beside
from retrieve_rerank.training.finetuning.result import Finetuned, Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.finishing import Finished, finish
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.looks import digest_of, record_look
from retrieve_rerank.training.mining import Mining, mine_to_file
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.queries import without_spans
from retrieve_rerank.training.trainers import Progress, Trained, measure_speed, train
from retrieve_rerank.training.tuning import FoundCandidates, find_candidates, tune
from retrieve_rerank.types import Qrels

_TRIED = 24  # training queries that speed is measured on


def finetune(
    open_today: Callable[[], Retriever],
    judged: SplitJudgments,
    *,
    name: str,
    data_dir: Path,
    serving: Serving,
    promoted: str = "",
    protected: Sequence[Protected] = (),
    settings: FinetuneSettings = FinetuneSettings(),  # noqa: B008 - a frozen value
    dry_run: bool = False,
    watch: Watch = Watch(),  # noqa: B008 - it keeps nothing
) -> Finetuned | Plan:
    """Mine, train, place, prove, keep, and promote where the proof holds.

    `open_today` opens the pipeline that serves; `serving` says which index that is and which
    stages are set, and `promoted` which version of a model serves it, if any: another is another
    run. `protected` are other collections, which must not lose much. The result is a version of
    the model `name` in `data_dir`. `dry_run` returns the plan alone. Raises what its parts raise,
    and InputError where another run for the same model is at work.
    """
    run = Run(
        open_today,
        judged,
        name=name,
        data_dir=data_dir,
        serving=serving,
        promoted=promoted,
        protected=protected,
        settings=settings,
    )
    with run.folder.locked():
        if (done := run.folder.read("result")) is not None:
            finetuned = Finetuned.from_dict(done)
            watch.tell(finetuned)
            return finetuned
        return run.plan(watch) if dry_run else run.whole(watch)


class Run:
    """One run of the loop, from whatever an earlier call has left."""

    def __init__(
        self,
        open_today: Callable[[], Retriever],
        judged: SplitJudgments,
        *,
        name: str,
        data_dir: Path,
        serving: Serving,
        promoted: str,
        protected: Sequence[Protected],
        settings: FinetuneSettings,
    ) -> None:
        self._open = open_today
        self.name = name
        self.data_dir = data_dir
        self.serving = serving
        self.protected = protected
        self.settings = settings
        self.judged = judged.at_most(
            train=settings.train_queries,
            dev=settings.dev_queries,
            calibration=settings.calibration_queries,
            test=settings.test_queries,
        )
        self.folder = RunFolder(
            data_dir / "finetune" / name,
            {
                "index": serving.index,
                "stages": serving.replaces,
                "promoted": promoted,
                "judgments": self.judged.digests(),
                **({"protected": [each.digest() for each in protected]} if protected else {}),
                "settings": asdict(settings),
            },
        )

    def plan(self, watch: Watch) -> Plan:
        """Make the plan, and tell it."""
        with closing(self.open()) as today:
            return self._plan(today, watch)

    def whole(self, watch: Watch) -> Finetuned:
        """Do all that is left to do."""
        with closing(self.open()) as today:
            plan = self._plan(today, watch)
            self._mine(today, plan, watch)
            dev = find_dev_candidates(
                today,
                self.judged.queries,
                self.judged.dev,
                exclude_self=self.settings.exclude_self,
            )
            calibration = self._calibration_candidates(today)
            todays_place = self._todays_place(today)
            schema = today.connector.schema()
        trained = self._train(plan, dev[0], watch)
        finished = self._finish(trained, calibration, plan, watch)
        scorer = CrossEncoder(trained.model)
        with closing(self.open()) as today:
            doubtful = doubt_positives(
                self.folder, scorer, today, at_most=plan.checked_queries, watch=watch
            )
        watch.tell(doubtful)
        with watch.progress("placing", len(dev) * len(self.judged.dev), "dev queries") as advance:
            chosen = place(scorer, dev, depth=plan.depth, on_progress=advance)
        watch.tell(chosen)
        test = digest_of(self.judged.queries, self.judged.test)
        looks = record_look(self.folder.runs, test, run=self.folder.path.name)
        proof = self._prove(scorer, chosen, todays_place, watch)
        finetuned = keep(
            self.folder,
            trained,
            finished,
            chosen,
            proof,
            doubtful,
            name=self.name,
            data_dir=self.data_dir,
            serving=self.serving,
            schema=schema,
            judged=self.judged,
            settings=self.settings,
            steps=plan.steps,
            looks=looks,
        )
        self.folder.write("result", finetuned.to_dict())
        watch.tell(finetuned)
        return finetuned

    def open(self) -> Retriever:
        """Open today's pipeline, without the spans that queries were made from."""
        today = self._open()
        if not self.judged.generated:
            return today
        return without_spans(today, self.judged.queries, self.judged.cuts)

    def _plan(self, today: Retriever, watch: Watch) -> Plan:
        """Read the plan that was made, or try out how fast this machine is and make one."""
        if (made := self.folder.read("plan")) is not None:
            plan = Plan(**made)
        else:
            with watch.wait("trying out how fast this machine is"):
                groups, searches_per_s = self._try_out(today)
                pairs_per_s = measure_speed(
                    groups, base=self.settings.base, settings=self.settings.trainer
                )
            others = sum(len(each.qrels) for each in self.protected)
            plan = make_plan(
                {**self.judged.sizes(), **({"protected": others} if others else {})},
                self.settings,
                Speed(searches_per_s, pairs_per_s),
                index=today.connector.schema().location,
                mined=self.judged.groups is None,
            )
            self.folder.write("plan", plan.to_dict())
        watch.tell(plan)
        return plan

    def _try_out(self, today: Retriever) -> tuple[Sequence[Group], float]:
        """Return some training groups, and how many searches a second end here."""
        ready = self.judged.groups
        queries = self.judged.train if ready is None else self.judged.dev
        tried = by_hash(queries, self.judged.queries, _TRIED)
        started = time.perf_counter()
        mined = [group for group, _ in self._mining(today, tried).outcomes() if group is not None]
        searches_per_s = len(tried) / (time.perf_counter() - started)
        groups = mined if ready is None else ready[:_TRIED]
        if not groups:
            raise InputError(
                f"none of {len(tried)} training queries has a relevant document in the index and a"
                " negative beside it; are these judgments of this index?"
            )
        return groups, searches_per_s

    def _mining(self, today: Retriever, queries: Qrels) -> Mining:
        return Mining(
            retriever=Retriever(today.connector, candidates=today.candidates),
            queries=self.judged.queries,
            qrels=queries,
            negatives=self.settings.negatives,
            rules=self.settings.rules,
            sampling=self.settings.sampling,
            seed=self.settings.trainer.seed,
            exclude_self=self.settings.exclude_self,
        )

    def _mine(self, today: Retriever, plan: Plan, watch: Watch) -> None:
        """Mine the groups to train on, or take those that are there already."""
        if self.judged.groups is not None:
            self.folder.write_groups(self.judged.groups)
            return
        queries = by_hash(self.judged.train, self.judged.queries, plan.mined_queries)
        with watch.progress("mining", len(queries), "queries") as advance:
            report = mine_to_file(
                self._mining(today, queries), self.folder.groups, on_progress=advance
            )
        watch.tell(report)

    def _calibration_candidates(self, today: Retriever) -> FoundCandidates | None:
        if not self.judged.calibration:
            return None
        first_stage = Retriever(today.connector, candidates=today.candidates)
        return find_candidates(
            first_stage,
            self.judged.queries,
            self.judged.calibration,
            exclude_self=self.settings.exclude_self,
        )

    def _todays_place(self, today: Retriever) -> Place | None:
        if (found := self.folder.read("today")) is not None:
            return Place.from_dict(found["place"]) if found["place"] else None
        best = retuned(
            today, self.judged.queries, self.judged.dev, exclude_self=self.settings.exclude_self
        )
        self.folder.write("today", {"place": best and asdict(best)})
        return best

    def _train(self, plan: Plan, dev: FoundCandidates, watch: Watch) -> Trained:
        """Train, looking at dev nDCG@10 behind the first stage, at the weight that is best."""
        depth = plan.dev_depth

        def look(scorer: Scorer) -> float:
            scored = dev.scored({"trained": scorer}, depth=depth)
            return tune(scored, scorer, "trained", depths=(depth,)).value

        with watch.progress("training", plan.steps, "steps") as advance:

            def stepped(told: Progress) -> None:
                advance(1)
                watch.tell(told)

            own = list(read_groups(self.folder.groups))
            trained = train(
                [*own, *replayed_beside(own, self.judged)],
                base=self.settings.base,
                output=self.folder.training,
                settings=replace(
                    self.settings.trainer,
                    max_steps=plan.steps,
                    batch_size=plan.batch_size,
                    evaluate_every=plan.evaluate_every,
                ),
                evaluator=look,
                on_progress=stepped,
            )
        watch.tell(trained)
        return trained

    def _finish(
        self, trained: Trained, calibration: FoundCandidates | None, plan: Plan, watch: Watch
    ) -> Finished:
        with watch.wait("making the fast form, and calibrating"):
            finished = finish(
                trained.model,
                groups=read_groups(self.folder.groups),
                calibration=calibration,
                depth=plan.dev_depth,
            )
        watch.tell(finished)
        return finished

    def _prove(
        self, scorer: Scorer, chosen: Place, todays_place: Place | None, watch: Watch
    ) -> Proof:
        test = self.judged.test
        searches = PIPELINES * len(test) + 2 * sum(len(each.qrels) for each in self.protected)
        with (
            closing(self.open()) as today,
            watch.progress("proving", searches, "searches") as advance,
        ):
            proof = prove(
                today,
                scorer,
                chosen,
                todays_place,
                self.judged.queries,
                test,
                min_gain=self.settings.min_gain,
                max_p95_ms=self.settings.max_p95_ms,
                exclude_self=self.settings.exclude_self,
                protected=self.protected,
                on_progress=advance,
            )
        watch.tell(proof)
        return proof
