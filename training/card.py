"""A trained model's card: what it is for, what it was trained on, its figures, where it hurts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from retrieve_rerank.evaluation.files import write_text
from retrieve_rerank.evaluation.report.findings import signed
from retrieve_rerank.training.provenance import Provenance
from retrieve_rerank.training.reporting import Outcome
from retrieve_rerank.training.tuning import JUDGED, PRIMARY

CARD_FILE = "README.md"

_HURT_SHOWN = 5


def write_card(
    folder: Path, outcome: Outcome, provenance: Provenance, *, licence: str | None
) -> None:
    """Write the card into a model's folder; `licence` is the base model's, where it names one."""
    write_text(folder / CARD_FILE, render_card(outcome, provenance, licence=licence))


def render_card(outcome: Outcome, provenance: Provenance, *, licence: str | None) -> str:
    """Return the card as Markdown, with the front matter that the Hugging Face hub reads."""
    front = ModelCardData(
        license=licence or "unknown",
        library_name="sentence-transformers",
        pipeline_tag="text-ranking",
        tags=["cross-encoder", "reranker", "retrieve-rerank"],
        base_model=provenance.base,
        model_name=outcome.name,
        eval_results=[
            EvalResult(
                task_type="text-ranking",
                dataset_type="own",
                dataset_name=f"{outcome.verdict.queries} held-out queries of the index"
                + (f", by {outcome.folds} models trained alike" if outcome.folds else ""),
                metric_type="ndcg_at_10",
                metric_name=PRIMARY,
                metric_value=round(outcome.verdict.after, 4),
            )
        ],
    )
    blocks = [
        f"---\n{front.to_yaml()}\n---",
        f"# {_safe(outcome.name)}",
        f"A cross-encoder that reranks what `{outcome.index}` returns, trained from "
        f"`{provenance.base}`. Licence: {licence or f'unknown, see `{provenance.base}`'}.",
        "## Verdict",
        _safe(outcome.verdict.sentence[0].upper() + outcome.verdict.sentence[1:]) + ".",
        *(f"{_safe(advice)}." for advice in outcome.verdict.advice),
        "## Held-out queries",
        "\n".join(_figures(outcome)),
        f"{outcome.verdict.queries:,} queries, looked at {provenance.looks_at_test} "
        f"time{'s' * (provenance.looks_at_test != 1)}; they show a gain of "
        f"{outcome.verdict.least_detectable:.3f} four times of five. Intervals by bootstrap over "
        "queries.",
        "## Where it hurts",
        "\n".join(_hurts(outcome)),
        "## How it is served",
        f"Depth {outcome.tuned.depth}, weight {outcome.tuned.weight:g}, chosen on dev queries; by "
        "itself it is a cross-encoder like any:",
        "```python\nfrom sentence_transformers import CrossEncoder\n\n"
        'model = CrossEncoder("path/to/this/folder")\n'
        'model.predict([("query", "passage")])\n```',
        "## How it was made",
        "\n".join(_made(outcome, provenance)),
    ]
    if outcome.notes:
        blocks += ["## To mind", "\n".join(f"- {_safe(note)}" for note in outcome.notes)]
    return "\n\n".join(blocks) + "\n"


def _figures(outcome: Outcome) -> Iterator[str]:
    yield f"| pipeline | {PRIMARY} | difference | 95 % interval | {JUDGED} |"
    yield "|---|---|---|---|---|"
    for row in outcome.held_out.rows():
        gain, interval = "compared with", ""
        if row.gain is not None and row.low is not None and row.high is not None:
            gain, interval = signed(row.gain), f"{signed(row.low)} to {signed(row.high)}"
        yield f"| {_safe(row.name)} | {row.value:.4f} | {gain} | {interval} | {row.judged:.2f} |"


def _hurts(outcome: Outcome) -> Iterator[str]:
    """List slices and queries that lost; say so where none did."""
    verdict = outcome.verdict
    yield f"- {verdict.losses:,} of {verdict.queries:,} queries lost, {verdict.wins:,} gained."
    for its in verdict.slices:
        if its.kept is None:
            yield f"- {_safe(its.name)}: {its.queries} queries are too few to tell."
        elif not its.kept or its.gain < 0:
            ruled = "ruled out" if its.kept else "not ruled out"
            yield (
                f"- {_safe(its.name)}: {signed(its.gain)} on {its.queries} queries; a loss of the "
                f"margin is {ruled}."
            )
    if verdict.judged_after < verdict.judged_before:
        yield (
            f"- It brings up more documents that nobody has judged ({JUDGED} "
            f"{verdict.judged_before:.2f} before, {verdict.judged_after:.2f} after); they count as "
            "irrelevant."
        )
    _, lost = outcome.held_out.examples()
    for example in lost[:_HURT_SHOWN]:
        change = example.change
        yield (
            f"- Lost: {_safe(change.text or change.id)} ({change.before:.2f} to {change.after:.2f})"
        )


def _made(outcome: Outcome, provenance: Provenance) -> Iterator[str]:
    rows = {
        **outcome.facts,
        "queries": ", ".join(f"{split} {n:,}" for split, n in provenance.queries.items()),
        "index": f"`{provenance.index}`, fingerprint `{provenance.index_fingerprint}`",
        **{f"SHA-256 of {name}": f"`{digest}`" for name, digest in provenance.data.items()},
        **{f"setting {name}": f"`{value}`" for name, value in provenance.settings.items()},
        "versions": ", ".join(f"{name} {v}" for name, v in provenance.versions.items()),
    }
    yield "| | |"
    yield "|---|---|"
    for name, value in rows.items():
        if value:
            yield f"| {_safe(name)} | {_safe(str(value))} |"


def _safe(text: str) -> str:
    """Keep a text of others on one line of a table, and out of Markdown's and HTML's hands."""
    flat = " ".join(text.split())
    return flat.replace("<", "&lt;").replace("|", "\\|").replace("[", "\\[")
