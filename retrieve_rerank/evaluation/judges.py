"""Judgments that language models gave: told from people's, and never written over these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from retrieve_rerank.data.lines import LineFile
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import BEIR_HEADER, plain_or_gzipped, read_qrels
from retrieve_rerank.types import Qrels

LLM_JUDGE = "llm:"
"""What the second column of TREC's judgments begins with where a language model gave them."""


def llm_judges(path: Path) -> dict[str, int]:
    """Say which language models gave judgments of a file, and how many; none where people did."""
    return dict(Counter(judge for judge, _, _ in _by_models(path)))


def read_people(folder: Path, *, split: str) -> Qrels:
    """Read a split of a BEIR folder's judgments, without those of language models."""
    path = plain_or_gzipped(folder / "qrels" / f"{split}.tsv")
    models = {(query, document) for _, query, document in _by_models(path)}
    people = {
        query: {id_: grade for id_, grade in grades.items() if (query, id_) not in models}
        for query, grades in read_qrels(path).items()
    }
    return {query: grades for query, grades in people.items() if grades}


def _by_models(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language model, query and document of the judgments that are marked as a model's."""
    for number, line in LineFile(str(path)).texts():
        cells = line.split(None, 4)
        if number == 1 and tuple(line.split("\t", 3)) == BEIR_HEADER:
            break  # BEIR's form has no such column
        if len(cells) == 4 and cells[1].startswith(LLM_JUDGE):
            yield cells[1].removeprefix(LLM_JUDGE), cells[0], cells[2]


def keep_others(output: Path) -> None:
    """Raise InputError where writing judgments of a model would cost, or hide, other content."""
    twin = output.with_name(
        output.name.removesuffix(".gz") if output.suffix == ".gz" else f"{output.name}.gz"
    )
    if twin.exists():
        raise InputError(
            f"{twin} is there already, and one of the two would not be read; name another"
        )
    if not output.is_file() or not output.stat().st_size:
        return
    lines = sum(1 for _ in LineFile(str(output)).texts())
    if sum(llm_judges(output).values()) < lines:
        raise InputError(f"{output} has more than a model's judgments; name another file")


def by_models(judges: Mapping[str, int]) -> str:
    """Say that judgments are models', and how many."""
    told = ", ".join(f"{count:,} by {name}" for name, count in judges.items())
    return f"judgments of a language model, not of people: {told}"


def folder_judges(folder: Path, *, splits: Sequence[str]) -> dict[str, int]:
    """Say it of splits of a BEIR folder."""
    judges: Counter[str] = Counter()
    for split in splits:
        judges.update(llm_judges(plain_or_gzipped(folder / "qrels" / f"{split}.tsv")))
    return dict(judges)
