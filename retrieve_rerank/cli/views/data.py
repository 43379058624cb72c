"""What is in training data and what is wrong with it, for people at a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.training.findings import Severity
from retrieve_rerank.training.lengths import Lengths
from retrieve_rerank.training.linter import DataReport, SourceFacts

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold"}


def print_report(console: Console, report: DataReport) -> None:
    """Print what each file holds, labels and lengths, then the findings with examples."""
    console.print(_sources(report))
    console.print()
    if report.labels:
        labels = (f"{label:g}: {count:,}" for label, count in report.labels.items())
        console.print(f"labels    {'   '.join(labels)}")
    console.print(_lengths(report))
    if (cut := report.truncation) is not None and cut.pairs:
        console.print(
            f"{cut.cut:,} of {cut.pairs:,} pairs are longer than the {cut.max_tokens:,} tokens "
            f"that the model reads; {cut.unread / cut.tokens:.1%} of all tokens are not read",
            soft_wrap=True,
        )
    for finding in report.findings:
        severity = finding.problem.severity
        console.print()
        console.print(
            Text.assemble(
                (severity.value, _STYLES[severity]),
                f"  {finding.problem.name}: {finding.count:,}",
                (f"  ({finding.problem.advice})", "dim"),
            ),
            soft_wrap=True,
        )
        for example in finding.examples:
            detail = f": {example.detail}" if example.detail else ""
            console.print(f"    {example.place}{detail}", soft_wrap=True)
    console.print()
    counts = ((report.count(each), each.value) for each in Severity)
    found = ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in counts if count)
    console.print(f"Kinds of findings: {found}." if found else "Nothing found that is wrong.")


def _sources(report: DataReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold")
    table.add_column("format", no_wrap=True)
    for name in ("groups", "texts", "positive", "negative", "unlabelled", "scored", "labels"):
        table.add_column(name, justify="right", no_wrap=True)
    for facts in report.sources:
        counts = (
            facts.groups,
            facts.texts,
            facts.positives,
            facts.negatives,
            facts.unlabelled,
            facts.teacher_scores,
        )
        table.add_row(facts.name, facts.format, *(f"{n:,}" for n in counts), _range(facts))
    return table


def _range(facts: SourceFacts) -> str:
    if facts.lowest_label is None or facts.highest_label is None:
        return ""
    return f"{facts.lowest_label:g} to {facts.highest_label:g}"


def _lengths(report: DataReport) -> Table:
    rows: list[tuple[str, Lengths]] = [
        ("texts of a group", report.group_sizes),
        ("characters of a query", report.query_characters),
        ("characters of a text", report.text_characters),
    ]
    if report.pair_tokens is not None:
        rows.append(("tokens of a pair", report.pair_tokens))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("lengths", overflow="fold")
    for name in ("median", "95 %", "longest"):
        table.add_column(name, justify="right", overflow="fold")
    for name, lengths in rows:
        values = (lengths.median, lengths.p95, lengths.longest)
        table.add_row(name, *(f"{value:,}" for value in values))
    return table
