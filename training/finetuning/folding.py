"""Where few queries can be held out: the procedure is judged over folds, query by query.

Each fold's queries are ranked by a model that was trained without them. The model that is kept is
trained on all queries, and is none of these.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median_low

from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.fitting import Fitted
from retrieve_rerank.training.finetuning.proof import Measured, pool
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.folds import fold_queries
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.splits import apart_from
from retrieve_rerank.types import Qrels


@dataclass(frozen=True, slots=True)
class Fold:
    """Queries that are held out from one training."""

    number: int
    """From 1."""
    of: int
    """How many folds there are."""
    test: Qrels
    """Of its queries those that are measured."""
    held_out: Qrels
    """All its queries."""
    judged: SplitJudgments = field(repr=False)
    """Those of all folds, with their texts and users."""

    def training(self, groups: Sequence[Group]) -> list[Group]:
        """Leave out the groups that duplicate one of its queries, and those of their users."""
        return apart_from(groups, self.judged.queries, self.held_out, users=self.judged.users)


@dataclass(frozen=True, slots=True)
class Procedure:
    """What the folds have told."""

    measured: Measured
    """Every query, by the model that was not given it."""
    steps: int
    """The median of their best steps."""
    notes: tuple[str, ...]
    """What to mind of each, a sentence each."""


def divide_into_folds(judged: SplitJudgments) -> list[Fold]:
    """Divide the queries to train and test on, where they are the same.

    Duplicates share a fold, and so do the queries of a user, whatever they ask.
    Folds of which no query is tested are left out. Raises InputError for fewer queries than folds.
    """
    both = {**judged.train, **judged.test}
    relevant = {
        query: [id_ for id_, grade in grades.items() if grade > 0 and query not in judged.users]
        for query, grades in both.items()
    }
    texts = {query: judged.users.get(query, judged.queries[query]) for query in both}
    drawn = fold_queries(texts, relevant, by_document=judged.generated)
    tested = [[query for query in fold if query in judged.test] for fold in drawn]
    folds = [(fold, test) for fold, test in zip(drawn, tested, strict=True) if test]
    return [
        Fold(
            number,
            len(folds),
            {query: judged.test[query] for query in test},
            {query: both[query] for query in fold},
            judged,
        )
        for number, (fold, test) in enumerate(folds, start=1)
    ]


def judge_procedure(
    folds: Sequence[Fold],
    groups: Sequence[Group],
    folder: RunFolder,
    *,
    fit: Callable[..., Fitted],
    measure: Callable[[Fitted, Qrels], Measured],
    watch: Watch,
) -> Procedure:
    """Train once without each fold, and measure its queries; what an earlier call did is kept."""
    results = []
    for fold in folds:
        output = folder.path / f"fold-{fold.number}"
        if (known := folder.read(output.name)) is None:
            watch.tell(fold)
            # No ranking depends on a calibration.
            fitted = fit(fold.training(groups), output=output, calibrated=False)
            known = {
                "steps": fitted.trained.best_step,
                "notes": [f"fold {fold.number}: {note}" for note in fitted.notes],
                "measured": asdict(measure(fitted, fold.test)),
            }
        if not any(known["measured"]["errors"].values()):  # else the next call measures again
            folder.write(output.name, known)
            shutil.rmtree(output, ignore_errors=True)
        results.append(known)
    return Procedure(
        pool([Measured(**known["measured"]) for known in results]),
        median_low(known["steps"] for known in results),
        tuple(note for known in results for note in known["notes"]),
    )
