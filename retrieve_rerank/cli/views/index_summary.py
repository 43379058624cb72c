"""What `rr index` says when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from retrieve_rerank.base import IndexReport, IndexSchema
from retrieve_rerank.cli.absent import Absent
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.data.folders import TEXT_SUFFIXES, kinds

_READ = f"{', '.join(TEXT_SUFFIXES[:-1])} and {TEXT_SUFFIXES[-1]}"


@dataclass(frozen=True, slots=True)
class Summary:
    """One run: what was written, what was left out, and the index as it is now."""

    report: IndexReport
    corpus: Corpus
    absent: Absent
    schema: IndexSchema
    seconds: float

    @property
    def rate(self) -> float:
        """Documents dealt with per second."""
        return (self.report.indexed + self.report.unchanged) / max(self.seconds, 1e-3)

    @property
    def bytes_per_document(self) -> float | None:
        """What the index takes on the disk for each document; None where it is not told."""
        on_disk = self.schema.bytes_on_disk
        return on_disk / self.schema.documents if on_disk and self.schema.documents else None

    def text(self) -> str:
        """Say it in a few lines."""
        report = self.report
        lines = [
            f"{_documents(report.indexed)} indexed, {report.unchanged:,} unchanged, "
            f"in {self.seconds:.1f} s ({self.rate:,.0f}/s)"
        ]
        if report.truncated:
            lines.append(
                f"{report.truncated:,} are longer than the encoder reads: their vectors are of the "
                "beginning only; --passages WORDS splits them"
            )
        if report.superseded:
            lines.append(
                f"{report.superseded:,} deleted that their documents are not cut into any more"
            )
        if self.absent.pruned:
            lines.append(f"{_documents(self.absent.pruned)} deleted that the sources do not have")
        size = f", {self.bytes_per_document:,.0f} bytes each" if self.bytes_per_document else ""
        lines.append(f"{self.schema.location}: {_documents(self.schema.documents)}{size}")
        return "\n".join(lines)

    def notes(self) -> Iterator[str]:
        """Say what was not taken over as it was given, and what the sources do not have."""
        yield from (f"Note: {note}" for note in self.report.notes)
        yield from self.absent.lines()

    def as_json(self) -> dict[str, Any]:
        """Say everything."""
        return {
            "index": self.schema.location,
            "documents": self.schema.documents,
            "indexed": self.report.indexed,
            "unchanged": self.report.unchanged,
            "truncated": self.report.truncated,
            "superseded": self.report.superseded,
            "pruned": self.absent.pruned,
            "absent": self.absent.ids,
            "skipped": dict(self.corpus.skipped),
            "first_skipped": [
                {"place": place, "reason": str(reason)}
                for place, reason in self.corpus.first_skipped
            ],
            "passed_over": dict(self.corpus.passed_over),
            "noted": dict(self.corpus.noted),
            "notes": list(self.report.notes),
            "encoder": self.schema.encoder,
            "seconds": round(self.seconds, 3),
            "documents_per_second": round(self.rate, 1),
            "bytes_per_document": self.bytes_per_document,
        }


def _documents(count: int) -> str:
    return f"{count:,} document{'s' * (count != 1)}"


def source_lines(corpus: Corpus) -> Iterator[str]:
    """Say what of the sources was not read, not taken over as it stands there, or left out.

    Of records that were left out the first are listed, and all counted by what was wrong.
    """
    if corpus.passed_over:
        total = corpus.passed_over.total()
        yield (
            f"Note: {total:,} file{'s were' if total > 1 else ' was'} passed over: "
            f"{kinds(corpus.passed_over)}. Of a folder, {_READ} files are read; name files of "
            "other formats themselves"
        )
    for problem, count in corpus.noted.most_common():
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        yield f"Note: {problem}: {corpus.first_noted[problem]}{more}"
    for place, reason in corpus.first_skipped:
        yield f"{place}: {reason}"
    total = corpus.skipped.total()
    if total > len(corpus.first_skipped):
        yield f"… and {total - len(corpus.first_skipped):,} more"
    if total:
        problems = ", ".join(f"{n:,} {problem}" for problem, n in corpus.skipped.most_common())
        yield f"Left out: {problems}"
