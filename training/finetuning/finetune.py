"""The closed loop: from an index and judged queries to a reranker that is proved, then promoted.

Each part writes down what it has done, so that the same call goes on where any earlier one ended.
The index is open while hits are looked for, and closed while the model trains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.checkpoints.version_record import Serving, read_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.finetuning.data import SplitJudgments, by_hash
from retrieve_rerank.training.finetuning.doubting import doubt_positives
from retrieve_rerank.training.finetuning.finding import find
from retrieve_rerank.training.finetuning.fitting import dev_look, fit
from retrieve_rerank.training.finetuning.folding import divide_into_folds, judge_procedure
from retrieve_rerank.training.finetuning.keeping import keep, publish
from retrieve_rerank.training.finetuning.mining import GroupMiner, check_veto
from retrieve_rerank.training.finetuning.plan import Plan, make_plan
from retrieve_rerank.training.finetuning.protecting import Protected
from retrieve_rerank.training.finetuning.proving import Prover
from retrieve_rerank.training.finetuning.replaying import replayed_beside
from retrieve_rerank.training.finetuning.result import Finetuned, Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.finetuning.sweeping import with_best_rate
from retrieve_rerank.training.finetuning.trying import TRIED, try_out
from retrieve_rerank.training.mining import Mining
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.queries import without_spans
from retrieve_rerank.types import Qrels


def finetune(
    open_today: Callable[[], Retriever],
    judged: SplitJudgments,
    *,
    name: str,
    data_dir: Path,
    serving: Serving,
    searching: Mapping[str, Any] = MappingProxyType({}),
    promoted: str = "",
    protected: Sequence[Protected] = (),
    settings: FinetuneSettings = FinetuneSettings(),  # noqa: B008 - a frozen value
    accept_changes: bool = False,
    dry_run: bool = False,
    spent_s: float = 0.0,
    watch: Watch = Watch(),  # noqa: B008 - it keeps nothing
) -> Finetuned | Plan:
    """Mine, train, place, prove, keep, and promote where the proof holds.

    `open_today` opens the pipeline that serves; `serving` says which index that is and which
    stages are set, `searching` by which settings candidates are found in it, and `promoted` which
    version of a model serves it, if any: another is another run. `protected` are other collections,
    which must not lose much. The result is a version of the model `name` in `data_dir`.
    `accept_changes` goes on where the index has other documents than when mining began. `dry_run`
    returns the plan alone. `spent_s` seconds of the minutes were gone before this call. Raises what
    its parts raise, and InputError where another run for the same model is at work.
    """
    run = Run(
        open_today,
        judged,
        name=name,
        data_dir=data_dir,
        serving=serving,
        searching=searching,
        promoted=promoted,
        protected=protected,
        settings=settings,
        accept_changes=accept_changes,
        spent_s=spent_s,
    )
    with run.folder.locked():
        if (done := run.read("result")) is not None:
            watch.tell(done)
            return done
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
        searching: Mapping[str, Any],
        promoted: str,
        protected: Sequence[Protected],
        settings: FinetuneSettings,
        accept_changes: bool,
        spent_s: float,
    ) -> None:
        self._began = time.perf_counter() - spent_s
        self._open = open_today
        self._accept_changes = accept_changes
        self.name = name
        self.data_dir = data_dir
        self.serving = serving
        self.protected = protected
        if judged.whole and settings.trainer.template is None:
            # What the base records has laid out no text of these.
            settings = replace(
                settings, trainer=replace(settings.trainer, template=Template().pattern)
            )
        self.settings = settings
        self.judged = judged.folded_if_few().at_most(
            train=settings.train_queries,
            dev=settings.dev_queries,
            calibration=settings.calibration_queries,
            test=settings.test_queries,
        )
        check_veto(settings, self.judged)
        self.folds = divide_into_folds(self.judged) if self.judged.folded else []
        self.folder = RunFolder(
            data_dir / "finetune" / name,
            {
                "index": serving.index,
                "stages": serving.replaces,
                "searching": dict(searching),
                "promoted": promoted,
                "judgments": self.judged.digests(),
                **({"protected": [each.digest() for each in protected]} if protected else {}),
                "settings": asdict(settings),
            },
        )
        self.folder = self._promoted_but_untold() or self.folder

    def _promoted_but_untold(self) -> RunFolder | None:
        """Return the run that promoted what serves now, and was ended before it could say so."""
        versions = ModelVersions(self.data_dir, self.name)
        if versions.promoted not in versions.numbers:
            return None
        serves = read_record(versions.path(versions.promoted))
        for earlier in self.folder.before_promotion():
            decided = earlier.read("decided")
            untold = decided is not None and earlier.read("result") is None
            if untold and read_record(Path(decided["folder"])) == serves:
                return earlier
        return None

    def read(self, name: str) -> Finetuned | None:
        """Read what an earlier call has come to; None where it failed, or did not come so far."""
        found = self.folder.read(name)
        finetuned = None if found is None else Finetuned.from_dict(found)
        return None if finetuned is None or finetuned.failed else finetuned

    def plan(self, watch: Watch) -> Plan:
        """Make the plan, and tell it."""
        with closing(self.open()) as today:
            return self._plan(today, watch)

    def whole(self, watch: Watch) -> Finetuned:
        """Do all that is left to do."""
        if (decided := self.read("decided")) is None:
            decided = self._decide(watch)
            self.folder.write("decided", decided.to_dict())
        finetuned = publish(decided, data_dir=self.data_dir)
        self.folder.write("result", finetuned.to_dict())
        watch.tell(finetuned)
        return finetuned

    def _decide(self, watch: Watch) -> Finetuned:
        """Mine, train, place and prove."""
        with closing(self.open()) as today:
            plan = self._plan(today, watch)
        self._mine(plan, watch)
        with closing(self.open()) as today:
            found = find(
                today,
                self.judged,
                self.folder,
                depth=plan.todays_depth,
                exclude_self=self.settings.exclude_self,
            )
        own = list(read_groups(self.folder.groups))
        groups = [*own, *replayed_beside(own, self.judged)]
        settings = with_best_rate(
            self.settings,
            groups,
            dev_look(found, plan),
            plan=plan,
            folder=self.folder,
            watch=watch,
        )
        fit_on = partial(fit, found=found, plan=plan, settings=settings, watch=watch)
        prover = Prover(
            open_today=self.open,
            judged=self.judged,
            protected=self.protected,
            settings=self.settings,
            folder=self.folder,
            watch=watch,
        )
        measure_on = partial(prover.measure, found=found)
        if self.folds:
            procedure = judge_procedure(
                self.folds, groups, self.folder, fit=fit_on, measure=measure_on, watch=watch
            )
            watch.tell(procedure)
            measured, notes = procedure.measured, procedure.notes
            fitted = fit_on(groups, output=self.folder.training, steps=procedure.steps)
        else:
            fitted = fit_on(groups, output=self.folder.training)
            measured, notes = measure_on(fitted, self.judged.test), ()
        with closing(self.open()) as today:
            doubtful = doubt_positives(
                self.folder, fitted.scorer, today, at_most=plan.checked_queries, watch=watch
            )
        watch.tell(doubtful)
        proof = prover.prove(measured, fitted)
        return keep(
            self.folder,
            fitted,
            proof,
            doubtful,
            name=self.name,
            serving=self.serving,
            schema=found.schema,
            judged=self.judged,
            settings=settings,
            plan=plan,
            looks=prover.count_look(),
            notes=notes,
        )

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
            ready = self.judged.groups
            tried = self.judged.train if ready is None else self.judged.dev
            tried = by_hash(tried, self.judged.queries, TRIED)
            with watch.wait("trying out how fast this machine is"):
                speed = try_out(
                    today, self._mining(today, tried), ready=ready, settings=self.settings
                )
            others = sum(len(each.qrels) for each in self.protected)
            plan = make_plan(
                {**self.judged.sizes(), **({"protected": others} if others else {})},
                self.settings,
                speed,
                index=today.connector.schema().location,
                licence=read_folder(resolve(self.settings.base, on_gpu=True)).licence,
                mined=ready is None,
                folds=len(self.folds),
                spent_s=time.perf_counter() - self._began,
            )
            self.folder.write("plan", plan.to_dict())
        watch.tell(plan)
        return plan

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
            users=self.judged.users,
            template=self.settings.trainer.template_for(self.settings.base),
        )

    def _mine(self, plan: Plan, watch: Watch) -> None:
        """Mine the groups to train on, or take those that are there already."""
        if self.judged.groups is not None:
            self.folder.write_groups(self.judged.groups)
            return
        queries = by_hash(self.judged.train, self.judged.queries, plan.mined_queries)
        GroupMiner(
            open_today=self.open,
            make=partial(self._mining, queries=queries),
            folder=self.folder,
            settings=self.settings,
            plan=plan,
            accept_changes=self._accept_changes,
            watch=watch,
        ).mine()
