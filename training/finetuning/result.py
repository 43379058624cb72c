"""What a run has come to, and what hears of it on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retrieve_rerank.training.doubtful import Doubtful
from retrieve_rerank.training.finetuning.placing import Place


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A trained model, kept as a version."""

    name: str
    version: int
    """0 until it is kept as one."""
    promoted: bool
    sentence: str
    """The verdict in words."""
    advice: tuple[str, ...]
    """What to try where it is not promoted."""
    folder: Path
    """Of the version; the trainer's until there is one."""
    report: Path
    """The page with the curve, tables and examples."""
    place: Place
    proof: Mapping[str, Any]
    """The figures of the held-out queries, see `Proof.to_dict`."""
    doubtful: Doubtful
    """Training positives that are probably wrong, the worst of them: all are in doubtful.jsonl
    beside the report."""

    @property
    def failed(self) -> bool:
        """Whether a pipeline failed on held-out queries, so that the next call measures again."""
        return bool(self.proof["verdict"]["failed"])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "folder": str(self.folder), "report": str(self.report)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finetuned:
        """Read what `to_dict` wrote."""
        return cls(
            **{
                **values,
                "advice": tuple(values["advice"]),
                "folder": Path(values["folder"]),
                "report": Path(values["report"]),
                "place": Place.from_dict(values["place"]),
                "doubtful": Doubtful.from_dict(values["doubtful"]),
            }
        )


class Watch:
    """Hears what a run does, and does nothing: each method may be overridden."""

    def progress(
        self, doing: str, total: int, things: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Give a function that hears of things done."""
        return nullcontext(lambda count: None)

    def wait(self, what: str) -> AbstractContextManager[None]:
        """Hear that something of unknown length goes on."""
        return nullcontext()

    def tell(self, told: object) -> None:
        """Hear a Plan, Mined, Progress, Trained, Finished, Place, Doubtful, Proof or Finetuned, and
        of folds a Fold and a Procedure.
        """
