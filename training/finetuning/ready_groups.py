"""Training data that are there already, in place of mined groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.normalising import normalised
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.splits import split_groups
from retrieve_rerank.types import Qrels


def read_ready_groups(path: Path | str, judged: SplitJudgments | None = None) -> SplitJudgments:
    """Read groups in any form that `read_groups` knows, to train on.

    What is `judged` beside them has the dev, calibration and test queries, and groups of these are
    left out. Without it groups are held out by a hash of their queries, and the ids of their
    positives are the judgments. Raises InputError where nothing is left for train, dev or test.
    """
    groups = [group for group in read_groups(path) if group.positives]
    if judged is None:
        judged, groups = _held_out(groups, path)
    held_out = {
        normalised(judged.queries[query])
        for qrels in (judged.dev, judged.calibration, judged.test)
        for query in qrels
    }
    kept = tuple(group for group in groups if normalised(group.query) not in held_out)
    if not kept:
        raise InputError(f"{path} has no group with a positive whose query is not held out")
    left_out = Counter({"groups of held-out queries": len(groups) - len(kept)})
    return replace(
        judged,
        train={},
        groups=kept,
        left_out={**judged.left_out, **{why: n for why, n in left_out.items() if n}},
    )


def _held_out(groups: Iterable[Group], path: Path | str) -> tuple[SplitJudgments, list[Group]]:
    groups = list(groups)
    splits = split_groups(groups)
    held_out: dict[str, Qrels] = {"dev": {}, "calibration": {}, "test": {}}
    for group in groups:
        of_split = held_out.get(splits.of.get(group.query, "train"))
        judged = {
            text.id: max(1, round(text.label or 0))
            for text in group.positives
            if text.id is not None
        }
        if of_split is not None and judged:
            of_split.setdefault(group.query, {}).update(judged)
    for split in ("dev", "test"):
        if not held_out[split]:
            raise InputError(
                f"no query of {path} can be held out for {split}: expected groups whose texts have"
                " the ids of the index's documents, by which held-out queries are judged; give"
                " judged queries with --data beside them"
            )
    train = [group for group in groups if splits.of.get(group.query) == "train"]
    queries = {group.query: group.query for group in groups}
    judgments = SplitJudgments(
        queries=queries,
        train={},
        dev=held_out["dev"],
        calibration=held_out["calibration"],
        test=held_out["test"],
    )
    return judgments, train
