"""From groups to a model at its place: trained, in its fast form, with depth and weight chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieve_rerank.base import Scorer
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.finetuning.finding import Found
from retrieve_rerank.training.finetuning.placing import Place, place
from retrieve_rerank.training.finetuning.plan import Plan
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.finishing import Finished, finish
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers import Progress, Trained, train
from retrieve_rerank.training.tuning import tune


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, as it would serve."""

    trained: Trained
    finished: Finished
    scorer: Scorer
    place: Place

    @property
    def notes(self) -> Iterator[str]:
        """What to mind, a sentence each."""
        yield from self.trained.warnings
        if self.trained.stopped:
            yield self.trained.stopped
        for reason, count in self.trained.left_out.items():
            yield f"{count:,} {reason} were left out"
        yield from self.finished.notes


def dev_look(found: Found, plan: Plan) -> Callable[[Scorer], float]:
    """Return what tells dev nDCG@10 behind the first stage, at the weight that is best."""

    def look(scorer: Scorer) -> float:
        depth = plan.dev_depth
        scored = found.dev[0].scored({"trained": scorer}, depth=depth)
        return tune(scored, scorer, "trained", depths=(depth,)).value

    return look


def fit(
    groups: Sequence[Group],
    *,
    found: Found,
    plan: Plan,
    settings: FinetuneSettings,
    output: Path,
    watch: Watch,
    steps: int | None = None,
    calibrated: bool = True,
) -> Fitted:
    """Train on groups, add the fast form and the calibration, and choose the place on dev queries.

    During training dev nDCG@10 is looked at behind the first stage, at the weight that is best; the
    best checkpoint becomes the model. With `steps`, which others have told, it is the last one.
    """
    with watch.progress("training", steps or plan.steps, "steps") as advance:
        taken = 0

        def stepped(told: Progress) -> None:
            nonlocal taken
            advance(told.step - taken)  # the first of a run that goes on: all that it had taken
            taken = told.step
            watch.tell(told)

        trained = train(
            groups,
            base=settings.base,
            output=output,
            settings=replace(
                settings.trainer,
                max_steps=steps or plan.steps,
                batch_size=plan.batch_size,
                evaluate_every=plan.evaluate_every,
            ),
            evaluator=None if steps else dev_look(found, plan),
            on_progress=stepped,
        )
    watch.tell(trained)
    with watch.wait("making the fast form, and calibrating"):
        finished = finish(
            trained.model,
            groups=groups,
            calibration=found.calibration if calibrated else None,
            depth=plan.dev_depth,
        )
    watch.tell(finished)
    scorer = CrossEncoder(trained.model)
    queries = sum(len(candidates.qrels) for candidates in found.dev.values())
    with watch.progress("placing", queries, "dev queries") as advance:
        chosen = place(
            scorer,
            found.dev,
            depth=plan.depth,
            max_p95_ms=settings.max_p95_ms,
            on_progress=advance,
        )
    watch.tell(chosen)
    return Fitted(trained, finished, scorer, chosen)
