"""What can be wrong with training data: how bad each is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

EXAMPLES = 3
"""How many a finding shows."""


class Severity(StrEnum):
    """How bad a finding is: an error teaches what is wrong; a note is for the choice of a loss."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Problem(NamedTuple):
    """One kind of finding."""

    name: str
    severity: Severity
    advice: str


class Example(NamedTuple):
    """One case of a problem; `place` is file:line, or the file and the query."""

    place: str
    detail: str
    badness: float = 0.0
    """The worst are shown; of equally bad ones the first."""


@dataclass(slots=True)
class Finding:
    """A problem with the number of cases, and the worst of them."""

    problem: Problem
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, example: Example) -> None:
        """Count a case, and keep it if it is among the worst, once if it is as another there."""
        self.count += 1
        if example in self.examples:
            return
        self.examples.append(example)
        self.examples.sort(key=lambda each: -each.badness)  # stable
        del self.examples[EXAMPLES:]


NO_GROUPS = Problem("no groups", Severity.ERROR, "there is nothing to train on")
TEST_QUERY = Problem(
    "test query in the training data",
    Severity.ERROR,
    "take it out: the test would measure what was learnt by heart",
)
CONTRADICTION = Problem(
    "positive among the negatives",
    Severity.ERROR,
    "one query has the same text with a label above 0 and with another; keep the one that is right",
)
TWO_LABELS = Problem(
    "two labels for one text",
    Severity.WARNING,
    "one query has the same text with several labels; keep one",
)
BOTH_WAYS = Problem(
    "pair preferred both ways",
    Severity.WARNING,
    "fine where users differ, as losses over pairs weigh both; else keep the one that is right",
)
SAME_TEXT = Problem("same text twice in a group", Severity.WARNING, "keep one of them")
SAME_GROUP = Problem(
    "same group twice", Severity.WARNING, "keep one, unless it is to count twice as much"
)
EQUAL_LABELS = Problem(
    "all labels of a group equal",
    Severity.WARNING,
    "losses over pairs or lists learn nothing from it: add negatives",
)
EMPTY_TEXT = Problem("empty text", Severity.WARNING, "take it out, unless such are served too")
OTHER_SCALE = Problem(
    "labels on different scales",
    Severity.WARNING,
    "bring them onto one, with --max-label and --min-label for each file",
)
QUERY_CUT = Problem(
    "query cut to what the model reads",
    Severity.WARNING,
    "shorten the queries, or raise --max-length if the model can read more",
)
TEXT_CUT = Problem(
    "text cut to what the model reads",
    Severity.NOTE,
    "what is relevant may stand in the part that is cut: split long texts into passages",
)
NO_LABELS = Problem(
    "no label in a group",
    Severity.NOTE,
    "only losses over a teacher's scores or order learn from it",
)
ONE_TEXT = Problem("group of one text", Severity.NOTE, "only pointwise losses learn from it")
QUERY_AGAIN = Problem(
    "query of an earlier group", Severity.NOTE, "fine for triplets; else join the groups"
)
NOT_0_TO_1 = Problem(
    "label outside 0 … 1",
    Severity.NOTE,
    "losses over lists and pairs take it; for pointwise ones, map labels with --max-label",
)


def unreadable(problem: str) -> Problem:
    """Make the problem of a line that cannot be read, whatever is wrong with it."""
    advice = "mend the line, or write the others with rr data convert --skip-bad"
    return Problem(problem, Severity.ERROR, advice)
