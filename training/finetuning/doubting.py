"""A run's training positives that are probably wrong: looked for once, and listed in its folder."""

from __future__ import annotations

import json
from dataclasses import replace

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.evaluation.files import write_text
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.max_sim import MaxSim
from retrieve_rerank.training.doubtful import Doubtful, DoubtfulPositive, find_doubtful
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.formats.grouped import grouped_row
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining.scores import served_scorer
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.opening import read_groups


def doubt_positives(
    folder: RunFolder, trained: Scorer, today: Retriever, *, at_most: int, watch: Watch
) -> Doubtful:
    """Look at the positives of at most so many groups, told by a hash, and write down the doubtful.

    The other model is the veto, where there is one, else today's last that scores texts by
    themselves, else MaxSim with the bundled encoder. Where it fails, a note says so: what was
    trained is worth as much.
    """
    if (known := folder.read("doubtful")) is not None:
        return Doubtful.from_dict(known)
    groups = list(read_groups(folder.groups))
    chosen = sorted(groups, key=lambda group: digest("doubted", group.query))[:at_most]
    other: Scorer | None = None
    if any(text.teacher_score is None for group in chosen for text in group.texts):
        other = served_scorer(today) or MaxSim(load_encoder())
    try:
        with watch.progress("checking positives", len(chosen), "training queries") as advance:
            found = find_doubtful(chosen, trained, other, on_progress=advance)
    except RetrieveRerankError as exc:
        found = Doubtful(0, [], 0, note=f"training positives were not checked: {exc}")
    else:
        if len(chosen) < len(groups):
            note = f"the positives of {len(chosen):,} of {len(groups):,} training queries alone"
            found = replace(found, note=f"{note} were checked, for want of time")
    if found.count:
        write_text(folder.doubtful, "".join(map(_line, found.found)))
    folder.write("doubtful", found.to_dict())
    return found


def _line(doubtful: DoubtfulPositive) -> str:
    """Write a group of the one text, in this project's own format, with both scores."""
    text = GroupText(doubtful.text, doubtful.label, doubtful.id)
    row = grouped_row(Group(doubtful.query, (text,), doubtful.query_id))
    row["hits"][0] |= {"trained_score": doubtful.trained, "other_score": doubtful.other}
    return json.dumps(row, ensure_ascii=False) + "\n"
