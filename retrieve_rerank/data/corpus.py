"""All sources of an index as one stream of documents, with a log of what could not be read."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from retrieve_rerank.data.folders import TEXT_SUFFIXES, TextFiles, pick_files
from retrieve_rerank.data.json_lines import JsonLines
from retrieve_rerank.data.lines import STDIN
from retrieve_rerank.data.records import Fields, Found, Note, Reason
from retrieve_rerank.data.tables import Table
from retrieve_rerank.errors import InputError, shown
from retrieve_rerank.types import Document

FORMATS = ("jsonl", "csv", "tsv", "text")
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys(TEXT_SUFFIXES, "text"),
}
DUPLICATE = "duplicate id"
SHOWN = 10
"""How many skipped records a corpus remembers one by one."""


class Skipped(NamedTuple):
    """A record that was left out; `place` is file:line, or the file."""

    place: str
    reason: Reason


class Source(Protocol):
    """Where records come from."""

    size: int
    """Bytes on disk; 0 where that is not known."""
    position: int
    """Bytes read of them."""

    def records(self) -> Iterator[tuple[str, Found]]:
        """Iterate over places and the documents there, or the reason why there is none."""


class Corpus:
    """The documents of all sources, to be read once; the first of several with one id counts.

    `sources` are files, folders of text files, BEIR folders, or "-" for standard input. Raises
    InputError at once where one of them cannot be read.
    """

    def __init__(
        self, sources: Sequence[str], *, format: str | None = None, fields: Fields | None = None
    ) -> None:
        self._sources = [_open(source, format, fields or Fields()) for source in sources]
        self.passed_over: Counter[str] = Counter()
        """Kind of file, such as ".pdf" -> number of those in folders that are not read."""
        for name, source in zip(sources, self._sources, strict=True):
            self.passed_over += _passed_over(name, source)
        self.size = sum(source.size for source in self._sources)
        """Bytes on disk; 0 where that is not known."""
        self.skipped: Counter[str] = Counter()
        """Problem -> number of records left out for it."""
        self.first_skipped: list[Skipped] = []
        self.noted: Counter[str] = Counter()
        """What was not taken over as it stands in the sources -> number of times."""
        self.first_noted: dict[str, str] = {}
        """The same -> the first place, and what was done there."""

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return sum(source.position for source in self._sources)

    @property
    def unread(self) -> int:
        """Records whose documents are unknown: those left out, except for ids that came before."""
        return self.skipped.total() - self.skipped[DUPLICATE]

    def __iter__(self) -> Iterator[Document]:
        seen: set[str] = set()
        for source in self._sources:
            for place, record in source.records():
                if isinstance(record, Note):
                    self.noted[record.problem] += 1
                    self.first_noted.setdefault(record.problem, f"{place}: {record.detail}")
                elif isinstance(record, Reason):
                    self._skip(place, record)
                elif record.id in seen:
                    self._skip(place, Reason(DUPLICATE, shown(record.id)))
                else:
                    seen.add(record.id)
                    yield record

    def _skip(self, place: str, reason: Reason) -> None:
        self.skipped[reason.problem] += 1
        if len(self.first_skipped) < SHOWN:
            self.first_skipped.append(Skipped(place, reason))


def until_broken(documents: Iterable[Document], broken: list[InputError]) -> Iterator[Document]:
    """Let what stands before an unreadable place be used; keep the error for afterwards."""
    try:
        yield from documents
    except InputError as exc:
        broken.append(exc)


def _open(source: str, format: str | None, fields: Fields) -> Source:
    path = Path(source)
    if source != STDIN:
        _check_readable(path)
    if source != STDIN and path.is_dir():
        beir = [path / "corpus.jsonl", path / "corpus.jsonl.gz"]
        corpus = next((str(file) for file in beir if file.exists()), None)
        if corpus is None or format == "text":
            return TextFiles(source)
        return JsonLines(corpus, fields)
    match format or _format_of(path):
        case "text" if source != STDIN:
            return TextFiles(source)
        case "csv" | "tsv" as table:
            return Table(source, fields, tabs=table == "tsv")
        case _:
            return JsonLines(source, fields)


def _passed_over(name: str, source: Source) -> Counter[str]:
    if isinstance(source, TextFiles):
        return source.passed_over
    is_beir_folder = name != STDIN and Path(name).is_dir()
    return pick_files(name, _is_of_beir)[1] if is_beir_folder else Counter()


def _is_of_beir(file: Path) -> bool:
    return file.name.startswith(("corpus.jsonl", "queries.jsonl")) or file.parent.name == "qrels"


def _format_of(path: Path) -> str:
    if str(path) == STDIN:
        return "jsonl"
    zipped = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if zipped else path.suffix
    format = SUFFIXES.get(suffix.lower())
    if format is None or (zipped and format == "text"):
        raise InputError(
            f"cannot tell the format of {path} by its name; say it with "
            f"--format {'|'.join(FORMATS)}, or let the name end in {', '.join(SUFFIXES)}"
        )
    return format


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        elif stat.S_ISREG(path.stat().st_mode):  # a pipe is opened once only, by its reader
            path.open("rb").close()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}") from exc
