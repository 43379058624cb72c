"""What is looked for in the index while it is open: it is closed while the model trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.placing import Place, find_dev_candidates, retuned
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.tuning import FoundCandidates, find_candidates


@dataclass(frozen=True, slots=True)
class Found:
    """What training and choosing a model's place need of the index."""

    dev: Mapping[int, FoundCandidates]
    """How many of today's stages stay -> the hits that then come to the trained model."""
    calibration: FoundCandidates | None
    todays_place: Place | None
    """Of today's last stage, at its best; None where it cannot be tuned."""
    schema: IndexSchema


def find(
    today: Retriever,
    judged: SplitJudgments,
    folder: RunFolder,
    *,
    depth: int,
    exclude_self: bool,
) -> Found:
    """Search for the dev and calibration queries, and re-tune today's last stage, once for a run.

    `depth` is how many hits of a dev query that stage scores.
    """
    dev = find_dev_candidates(
        today, judged.queries, judged.dev, exclude_self=exclude_self, users=judged.users
    )
    calibration = None
    if judged.calibration:
        first_stage = Retriever(today.connector, candidates=today.candidates)
        calibration = find_candidates(
            first_stage,
            judged.queries,
            judged.calibration,
            exclude_self=exclude_self,
            users=judged.users,
        )
    if (known := folder.read("today")) is None:
        best = retuned(
            today,
            judged.queries,
            judged.dev,
            depth=depth,
            exclude_self=exclude_self,
            users=judged.users,
        )
        known = {"place": best and asdict(best)}
        folder.write("today", known)
    todays_place = Place.from_dict(known["place"]) if known["place"] else None
    return Found(dev, calibration, todays_place, today.connector.schema())
