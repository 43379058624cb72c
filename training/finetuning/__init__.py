"""The closed loop: `finetune` takes an index and judged queries to a promoted reranker."""

from retrieve_rerank.models.checkpoints.version_record import Serving
from retrieve_rerank.training.finetuning.data import SplitJudgments, divide, read_judged_folder
from retrieve_rerank.training.finetuning.finetune import finetune
from retrieve_rerank.training.finetuning.placing import Place
from retrieve_rerank.training.finetuning.plan import Plan
from retrieve_rerank.training.finetuning.proof import Proof
from retrieve_rerank.training.finetuning.protecting import Protected, read_protected
from retrieve_rerank.training.finetuning.ready_groups import read_ready_groups
from retrieve_rerank.training.finetuning.replaying import Replay, with_replay
from retrieve_rerank.training.finetuning.result import Finetuned, Watch
from retrieve_rerank.training.finetuning.segments import (
    Done,
    Segments,
    name_of,
    of_segment,
    read_segments,
)
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.trainers import TrainerSettings

__all__ = [
    "Done",
    "FinetuneSettings",
    "Finetuned",
    "Place",
    "Plan",
    "Proof",
    "Protected",
    "Replay",
    "Segments",
    "Serving",
    "SplitJudgments",
    "TrainerSettings",
    "Watch",
    "divide",
    "finetune",
    "name_of",
    "of_segment",
    "read_judged_folder",
    "read_protected",
    "read_ready_groups",
    "read_segments",
    "with_replay",
]
