"""What an audit means, in words."""

from __future__ import annotations

from collections.abc import Mapping

from retrieve_rerank.base import Knob
from retrieve_rerank.evaluation.audit.audit import NOISE, Audit, Measured
from retrieve_rerank.evaluation.audit.grid import walk
from retrieve_rerank.evaluation.audit.relevance import Relevance

_NOTICEABLE = 0.0005  # of recall or nDCG: shown as .001


def findings(audit: Audit) -> list[str]:
    """Say for each depth what is lost now, why, and which setting is the cheapest good one."""
    said: list[str] = []
    if not audit.knobs:
        why = f", as {audit.unwalked}" if audit.unwalked else ""
        said.append(f"Nothing was audited: every search is exact{why}.")
    elif audit.unwalked:
        said.append(f"No graph is walked, as {audit.unwalked}.")
    if audit.knobs:
        said += [_finding(audit, top_k) for top_k in audit.top_ks]
    if audit.relevance is not None:
        said.append(_of_relevance(audit.relevance))
    if count := audit.truncated_queries:
        said.append(
            f"Of {count:,} of the {audit.queries:,} queries, which are longer than the encoder "
            "reads, only the beginning was searched for."
        )
    if audit.own_documents:
        said.append(
            f"{audit.own_documents:,} of the {audit.queries:,} queries have a document of their "
            "own id among their nearest. Where that is the query itself it is the easiest to find, "
            "and no answer: --exclude-self leaves it out."
        )
    return said


def advice(audit: Audit) -> dict[str, float] | None:
    """Return the settings to write into rr.toml; None where nothing is to be changed.

    Those of the greatest depth: a search that fetches candidates to rerank goes that deep.
    """
    top_k = audit.top_ks[-1]
    cheapest = audit.cheapest(top_k)
    if cheapest is None or cheapest.default:
        return None
    now = audit.default(top_k).settings
    changes = {knob: value for knob, value in cheapest.settings.items() if value != now.get(knob)}
    return changes or None


def knob_value(knob: Knob, measured: Measured) -> str:
    """Write what a knob was set to; what is not sent, the server chooses."""
    value = measured.settings.get(knob.name)
    return "server's" if value is None else f"{value:g}"


def unmeasured(audit: Audit) -> str:
    """Say why the search as it is set now has no number at some depths; empty where it has."""
    found = audit.relevance
    if found is None or found.found.keys() == found.found_approximate.keys():
        return ""
    lowest = min(found.found.keys() - found.found_approximate.keys())
    more = (
        f"--top-k {max(found.found)} measures it"
        if lowest > found.hits
        else "passages of one document count once, and a greater --top-k finds more of them"
    )
    return f"–: not measured, as the searches were for {found.hits:,} hits at most; {more}"


def setting(settings: Mapping[str, float]) -> str:
    """Write settings: `hnsw_ef 128, oversample 2`."""
    return ", ".join(f"{name} {value:g}" for name, value in settings.items()) or "server's own"


def _finding(audit: Audit, top_k: int) -> str:
    now, cheapest = audit.default(top_k), audit.cheapest(top_k)
    parts = [
        f"Recall@{top_k} is {now.recall:.4f} as searches are set now ({setting(now.settings)}), "
        f"in {now.ms.p50:.1f} ms."
    ]
    if now.graph_loss >= _NOTICEABLE or now.quantisation_loss >= _NOTICEABLE:
        parts.append(
            f"The graph loses {now.graph_loss:.4f}, quantisation {now.quantisation_loss:.4f}."
        )
    if cheapest is None:
        parts.append(_out_of_reach(audit, top_k))
    elif cheapest.default:
        parts.append(
            f"No setting that reaches {audit.target_recall:g} is faster by more than {NOISE:.0%}."
        )
    else:
        parts.append(
            f"Of the fastest settings that reach {audit.target_recall:g} (within {NOISE:.0%}), "
            f"the one of least work is {setting(cheapest.settings)}: "
            f"{cheapest.recall:.4f} in {cheapest.ms.p50:.1f} ms."
        )
    if cheapest is not None and cheapest.low < audit.target_recall:
        parts.append(
            f"With these {audit.queries:,} queries it may lie below that "
            f"(from {cheapest.low:.4f}): more queries would tell."
        )
    return " ".join(parts)


def _out_of_reach(audit: Audit, top_k: int) -> str:
    best: Measured = max(audit.at(top_k), key=lambda each: each.recall)
    return (
        f"No setting tried reaches {audit.target_recall:g}; the best, {setting(best.settings)}, "
        f"reaches {best.recall:.4f}. "
        + (
            "A graph with more links (m, ef_construct) finds more."
            if walk(audit.knobs)
            else "Vectors that are quantised less find more."
        )
    )


def _of_relevance(found: Relevance) -> str:
    deepest = max(found.found)
    lost = found.ndcg_exact - found.ndcg_approximate
    parts = [
        f"On {found.queries:,} judged queries the first {found.hits:,} hits of exact search have "
        f"nDCG@10 {found.ndcg_exact:.4f}, those of the search as it is set now "
        f"{found.ndcg_approximate:.4f}."
    ]
    if lost < _NOTICEABLE:
        parts.append("Better approximation would not help there.")
    parts.append(
        f"Exact search finds {found.found[10]:.1%} of the relevant documents among its first 10 "
        f"and {found.found[deepest]:.1%} among its first {deepest:,}; what it does not find is the "
        "encoder's own error, which no setting mends."
    )
    return " ".join(parts)
