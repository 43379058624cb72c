"""The groups of a run: mined, with a veto where one is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.evaluation.calibration.calibrating import FEWEST
from retrieve_rerank.models.checkpoints.folder import read_folder
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.finetuning.data import SplitJudgments, by_hash
from retrieve_rerank.training.finetuning.plan import VETO_QUERIES, Plan
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import CROSS_FIT, FinetuneSettings
from retrieve_rerank.training.mining import (
    CrossFitted,
    Mined,
    Mining,
    Veto,
    fit_veto,
    halves,
    mine_to_file,
)
from retrieve_rerank.training.mining.scores import SERVED, named_scorer
from retrieve_rerank.training.mining.veto import SHARE
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.trainers import train

MOST_ABOVE = 0.5
"""Share of the texts at the end of rankings that a veto may take for relevant: one that takes more
knows less than a coin."""


def check_veto(settings: FinetuneSettings, judged: SplitJudgments) -> None:
    """Raise ConfigError for a veto that there is nothing for, or too little to fit on."""
    if settings.veto is None:
        return
    if judged.groups is not None:
        raise ConfigError(
            "a veto is for negatives that are mined; groups that are there already are trained on"
            " as they are: leave out --veto"
        )
    named = settings.veto not in (SERVED, CROSS_FIT)
    if named and read_folder(resolve(settings.veto, on_gpu=True)).labels is None:
        raise ConfigError(f"{settings.veto} is no cross-encoder, which --veto expects")
    least = FEWEST if settings.veto != CROSS_FIT else 3 * FEWEST  # as halves are not quite equal
    if len(judged.train) < least:
        raise ConfigError(
            f"the veto {settings.veto} wants {least} training queries to be fitted on; there are"
            f" {len(judged.train)}: judge more, or leave out --veto"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMiner:
    """Mines a run's groups, without what the veto takes for relevant; what is done is kept."""

    open_today: Callable[[], Retriever]
    make: Callable[[Retriever], Mining]
    folder: RunFolder
    settings: FinetuneSettings
    plan: Plan
    accept_changes: bool
    watch: Watch

    def mine(self) -> None:
        """Mine into the folder's groups.

        The index is closed while the two models of a cross-fitted veto are trained.
        """
        halves_trained = self._train_halves() if self.settings.veto == CROSS_FIT else None
        with closing(self.open_today()) as today:
            mining = self.make(today)
            if self.settings.veto is not None:
                scorers = halves_trained or (named_scorer(self.settings.veto, today),)
                veto = _fit(scorers, mining, self.folder, self.watch)
                self.watch.tell(veto)
                mining = replace(mining, veto=veto)
            report = self._mine(mining, self.folder.groups, doing="mining")
        self.watch.tell(report)

    def _train_halves(self) -> tuple[Scorer, Scorer]:
        """Train a model on each half of the queries: half as many steps, as many rounds."""
        unvetoed = self.folder.path / "unvetoed.jsonl"
        with closing(self.open_today()) as today:
            mining = self.make(today)
            self._mine(mining, unvetoed, doing="mining for the veto")
        half = halves(mining.queries)
        groups = list(read_groups(unvetoed))
        steps = math.ceil(self.plan.steps / 2)

        def trained_on(which: int, advance: Callable[[int], None]) -> Scorer:
            trained = train(
                [group for group in groups if half[group.query_id or ""] == which],
                base=self.settings.base,
                output=self.folder.path / f"half-{which}",
                settings=replace(
                    self.settings.trainer,
                    max_steps=steps,
                    batch_size=self.plan.batch_size,
                    evaluate_every=math.ceil(steps / 4),  # and checkpoints
                ),
                on_progress=lambda told: advance(1),
            )
            if trained.failed:
                raise InputError(f"a model for the cross-fitted veto: {trained.stopped}")
            return CrossEncoder(trained.model)

        with self.watch.progress("training for the veto", 2 * steps, "steps") as advance:
            return trained_on(0, advance), trained_on(1, advance)

    def _mine(self, mining: Mining, output: Path, *, doing: str) -> Mined:
        with self.watch.progress(doing, len(mining.qrels), "queries") as advance:
            return mine_to_file(
                mining, output, accept_changes=self.accept_changes, on_progress=advance
            )


def _fit(
    scorers: Sequence[Scorer], mining: Mining, folder: RunFolder, watch: Watch
) -> Veto | CrossFitted:
    """Fit each threshold, or take what was fitted: an approximate search may tell another one."""
    judging = scorers[::-1]  # the second model judges the first half
    recorded = (folder.read("veto") or {}).get("vetoes", [None] * len(judging))
    known = [
        Veto.fitted_before(its, scorer, share=SHARE, then="leave-out")
        for its, scorer in zip(recorded, judging, strict=True)
    ]
    vetoes = [veto for veto in known if veto is not None]
    half = halves(mining.queries)
    if len(vetoes) < len(judging):
        qrels = by_hash(mining.qrels, mining.queries, VETO_QUERIES * len(judging))
        with watch.wait("fitting the veto's threshold"):
            vetoes = [
                fit_veto(
                    scorer,
                    mining.retriever,
                    mining.queries,
                    {q: its for q, its in qrels.items() if len(judging) == 1 or half[q] == which},
                    seed=mining.seed,
                    users=mining.users,
                )
                for which, scorer in enumerate(judging)
            ]
        if (above := max(veto.deep_above for veto in vetoes)) > MOST_ABOVE:
            raise InputError(
                f"the veto's model takes {above:.0%} of the"
                " texts at the end of rankings for relevant: it does not tell these from others"
                " here. Name another model, give a cross-fitted one more --minutes to learn, or"
                " leave out --veto"
            )
        folder.write("veto", {"vetoes": [veto.to_dict() for veto in vetoes]})
    return vetoes[0] if len(vetoes) == 1 else CrossFitted((vetoes[0], vetoes[1]), half)
