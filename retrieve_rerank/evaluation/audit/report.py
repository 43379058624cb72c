"""The audit as one HTML file that needs nothing else."""

from __future__ import annotations

from markupsafe import Markup

from retrieve_rerank.evaluation.audit.audit import DRAWS, NOISE, Audit
from retrieve_rerank.evaluation.audit.findings import advice, findings, knob_value, unmeasured
from retrieve_rerank.evaluation.report.pages import render_page
from retrieve_rerank.evaluation.report.plots import recall_by_latency


def render_audit(audit: Audit, *, title: str) -> str:
    """Return the page."""
    return render_page(
        "audit.html",
        title=title,
        audit=audit,
        findings=findings(audit),
        advice=advice(audit),
        cheapest={top_k: audit.cheapest(top_k) for top_k in audit.top_ks},
        plot=Markup(recall_by_latency(audit)),
        knob_value=knob_value,
        unmeasured=unmeasured(audit),
        draws=DRAWS,
        noise=NOISE,
    )
