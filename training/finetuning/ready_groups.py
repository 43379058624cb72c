"""Training data that are there already, in place of mined groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.splits import SPLITS, apart_from, split_groups


def read_ready_groups(
    path: Path | str, judged: SplitJudgments | None = None, *, template: Template | None = None
) -> SplitJudgments:
    """Read groups in any form that `read_groups` knows, to train on, by the base's `template`.

    What is `judged` beside them has the dev, calibration and test queries, and groups that
    duplicate one of these are left out. Without it groups are held out by a hash of their queries,
    and the ids of their positives are the judgments. Where few can be held out, the groups of test
    queries are among those to train on: folds keep them apart. Which of the groups can be learnt
    from is for the loss to say, as some need no positive. Raises InputError where nothing is
    left for train, dev or test, or nothing was there.
    """
    source = read_groups(path, template=template)
    groups = list(source)
    if not groups:
        raise InputError(f"{path} has no groups: there is nothing to learn from it")
    if judged is None:
        judged = _divided(groups, path)
    if judged.lone == "test":  # nothing of it is to train on
        judged = replace(judged, train={}, test={**judged.train, **judged.test})
    judged = judged.folded_if_few()
    kept = tuple(apart_from(groups, judged.queries, judged.held_out, users=judged.users))
    if not kept:
        raise InputError(f"{path} has no group whose query is not held out")
    why = "groups that duplicate a held-out query, or are of its user"
    left_out = {why: len(groups) - len(kept)} if len(kept) < len(groups) else {}
    return replace(
        judged,
        groups=kept,
        whole=not source.has_titles,
        left_out={**judged.left_out, **left_out},
    )


def _divided(groups: Sequence[Group], path: Path | str) -> SplitJudgments:
    of = split_groups(groups).of
    by_split: dict[str, Any] = {split: {} for split in SPLITS}
    for group in groups:
        judged = {
            text.id: max(1, round(text.label or 0))
            for text in group.positives
            if text.id is not None
        }
        if judged and group.asked in of:
            by_split[of[group.asked]].setdefault(group.asked, {}).update(judged)
    for split in ("dev", "test"):
        if not by_split[split]:
            positives = [group.positives for group in groups if group.positives]
            told = sum(any(text.id for text in texts) for texts in positives)
            raise InputError(
                f"no query of {path} can be held out for {split}: {told:,} of its"
                f" {len(positives):,} groups with a positive have the ids of the index's documents,"
                " by which held-out queries are judged, and tens are needed; give judged queries"
                " with --data beside them"
            )
    known = [group for group in groups if group.asked in of]
    return SplitJudgments(
        queries={group.asked: group.query for group in known},
        users={group.asked: group.user for group in known if group.user},
        **by_split,
    )
