"""What is shown of additions to an index: how far they are, what was written, how they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Literal

import click

from retrieve_rerank.base import Connector, IndexSchema
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, write, write_rows
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.indexing.additions import AdditionReport, AdditionStatus

Kind = Literal["lexical", "tensors"]
"""Of additions: the command that makes them, and what the index's schema calls them."""

_ONES: Mapping[Kind, str] = {"lexical": "vectors", "tensors": "tensors"}


@contextmanager
def show_adding(store: Connector, *, doing: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how many documents have been dealt with, and say what is kept when interrupted."""
    try:
        with show_progress(share_of(store.count()), doing=doing, quiet=quiet) as advance:
            yield advance
    except KeyboardInterrupt:
        click.echo("\nWhat is written is kept; the same command goes on from there.", err=True)
        raise


def show_added(
    report: AdditionReport,
    settings: Mapping[str, object] | None,
    kind: Kind,
    *,
    location: str,
    seconds: float,
    as_json: bool,
    notes: Sequence[str] = (),
) -> None:
    """Say what was done; name what the backend would not take, and raise, where there is any."""
    ones = _ONES[kind]
    if as_json:
        made = {"settings": settings, "seconds": round(seconds, 3)}
        write_json({"index": location, **asdict(report), **made})
    else:
        write(
            f"{report.added + report.replaced:,} {ones} written ({report.added:,} new, "
            f"{report.replaced:,} replaced), {report.deleted:,} deleted, in {seconds:.1f} s"
        )
        write(f"{report.documents - report.refused:,} of {report.documents:,} documents have one")
        for note in notes:
            write(note)
    if report.refused:
        for id_, reason in report.refusals.items():
            say(f"{id_}: {reason}")
        raise RetrieveRerankError(f"{report.refused:,} {ones} were refused")


def show_standing(
    found: AdditionStatus,
    made: Mapping[str, str | None],
    kind: Kind,
    *,
    schema: IndexSchema,
    as_json: bool,
) -> None:
    """Count what is there, say how it was made, as far as that is known, and what to do."""
    kept_in = schema.kept_in.get(kind)
    if as_json:
        write_json({"index": schema.location, **asdict(found), "kept_in": kept_in})
        return
    counts = ("documents", "present", "missing", "stale", "orphaned")
    rows = [(name, f"{getattr(found, name):,}") for name in counts]
    told = {**made, "kept in": kept_in}
    write_rows([*rows, *((name, value) for name, value in told.items() if value is not None)])
    if found.missing or found.stale or found.orphaned:
        say(f"rr {kind} add brings them up to date.")
