"""What is said of additions to an index: what was written, and how they stand to its documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.indexing.additions import AdditionReport, AdditionStatus


def report_lines(report: AdditionReport, seconds: float, *, what: str) -> Iterator[str]:
    """Say what was done; `what` is written, in the plural."""
    written = report.added + report.replaced
    yield (
        f"{written:,} {what} written ({report.added:,} new, {report.replaced:,} replaced), "
        f"{report.deleted:,} deleted, in {seconds:.1f} s"
    )
    yield f"{report.documents - report.refused:,} of {report.documents:,} documents have one"


def raise_if_refused(report: AdditionReport, *, what: str) -> None:
    """Name what the backend would not take, and raise, where there is any."""
    if report.refused:
        for id_, reason in report.refusals.items():
            say(f"{id_}: {reason}")
        raise RetrieveRerankError(f"{report.refused:,} {what} were refused")


def status_rows(found: AdditionStatus, made: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Count what is there, and say how it was made, as far as that is known."""
    for name in ("documents", "present", "missing", "stale", "orphaned"):
        yield name, f"{getattr(found, name):,}"
    yield from ((name, value) for name, value in made.items() if value is not None)
