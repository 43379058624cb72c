"""What was mined and what was left out, for people at a terminal."""

from __future__ import annotations

from rich.table import Table

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.training.mining import Mined, Overlap, Veto
from retrieve_rerank.training.mining.rules import Reason

_WHY: dict[Reason, str] = {
    "relevant": "judged relevant",
    "near-identical": "nearly the text of a positive",
    "same": "same value as a positive in a field of --exclude-same",
    "rank": "outside the ranks",
    "score": "outside the scores",
    "margin": "score too close to the positive's, or not known",
    "veto": "vetoed: the cross-encoder takes it for relevant",
}

_EXAMPLES = 3


def print_report(
    console: Console, report: Mined, *, veto: Veto | None, overlap: Overlap | None = None
) -> None:
    """Print the counts, why hits were left out, and what caps the gain of reranking."""
    console.print(
        f"{report.groups:,} groups of {report.queries:,} queries, with"
        f" {report.negatives:,} negatives"
        + (f" and {report.kept_vetoed:,} vetoed texts" if report.kept_vetoed else ""),
        soft_wrap=True,
    )
    console.print()
    console.print(_dropped(report))
    console.print()
    said = (*_positives(report), *_queries(report), *veto_lines(veto), *_overlap(overlap))
    for line in said:
        console.print(line, soft_wrap=True)


def _dropped(report: Mined) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("hits", overflow="fold")
    table.add_column("", justify="right")
    table.add_column("of those looked at", justify="right")
    rows = [("negatives", report.negatives)]
    rows += [(_WHY[reason], count) for reason, count in report.dropped.most_common()]
    for name, count in rows:
        table.add_row(name, f"{count:,}", f"{count / max(report.looked_at, 1):.1%}")
    if beyond := report.hits - report.looked_at:
        table.add_row("not looked at, as there were enough", f"{beyond:,}", "")
    return table


def _positives(report: Mined) -> list[str]:
    if not report.positives:
        return ["The index holds none of the positives."]
    returned = report.positives - report.not_returned
    lines = [
        f"The search returned {returned:,} of the {report.positives:,} positives that the index"
        f" holds ({returned / report.positives:.1%}): reranking cannot move the others."
    ]
    if report.not_held:
        lines.append(f"The index does not hold {report.not_held:,} judged positives.")
    return lines


def _queries(report: Mined) -> list[str]:
    found = (
        ("without a relevant text in the index", report.without_positive),
        ("without a negative", report.without_negative),
        ("searched with a stage left out", report.degraded),
    )
    lines = [f"{len(ids):,} queries {what}: {_some(ids)}" for what, ids in found if ids]
    if report.textless:
        lines.append(f"{report.textless:,} judged queries have no text.")
    return lines


def veto_lines(veto: Veto | None) -> list[str]:
    """Say how a veto's threshold came about; nothing where it was given."""
    if veto is None or veto.share is None:
        return []
    return [
        f"Vetoed was what scored {veto.threshold:.3f} or more: {veto.share:.0%} of"
        f" {veto.positives:,} judged positives score less, and {veto.deep_above:.1%} of the texts"
        " at the end of rankings score as much."
    ]


def _overlap(overlap: Overlap | None) -> list[str]:
    if overlap is None:
        return []
    return [
        f"Vector search is approximate here: it finds {overlap.share:.1%} of the true nearest"
        f" {overlap.depth:,} (of {overlap.queries:,} queries searched exactly too). The same seed"
        " gives other groups once the graph changes; --method dense --exact gives the same again."
    ]


def _some(ids: list[str]) -> str:
    more = ", …" if len(ids) > _EXAMPLES else ""
    return ", ".join(ids[:_EXAMPLES]) + more
