"""Having a language model write queries for an index's documents, behind a price and a bar."""

from __future__ import annotations

from retrieve_rerank.base import Connector
from retrieve_rerank.cli.spending import Spending, check_cost, check_price
from retrieve_rerank.cli.views.progress import share_of, show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.spending import meter_lines, meters_as_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import ModelError, RetrieveRerankError
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.metered_model import MeteredModel
from retrieve_rerank.models.metering import Meter
from retrieve_rerank.training.queries.written import choose_documents, write_queries
from retrieve_rerank.types import Document


def write_by_model(
    connector: Connector,
    model: str,
    spending: Spending,
    *,
    documents: int,
    seed: int,
    dry_run: bool,
    quiet: bool,
) -> list[tuple[Document, str]]:
    """Choose documents, say what asking about them costs, and ask, unless it is a dry run."""
    loaded = load_language_model(model)
    check_price(loaded.name, not loaded.tells_logits, spending.price, spending.purse)
    with show_progress(share_of(connector.count()), doing="reading", quiet=quiet) as advance:
        chosen = choose_documents(connector, documents, seed=seed, on_progress=advance)
    meter, expected = Meter(spending.price, spending.purse), Meter(spending.price)
    asked = MeteredModel(loaded, spending.store, meter)
    list(write_queries(asked.counting(expected), chosen))
    planned = [(loaded.name, expected)]
    if not quiet:
        for line in meter_lines(planned, about=True):
            say(line)
    check_cost(expected.cost, spending.purse.limit)
    if dry_run:
        if quiet:
            write_json({"documents": len(chosen), "estimate": meters_as_json(planned)[0]})
        return []
    try:
        with show_progress(share_of(len(chosen)), doing="writing", quiet=quiet) as advance:
            return list(write_queries(asked, chosen, on_progress=advance))
    except KeyboardInterrupt:
        say("What was written is kept; the same command goes on from there.")
        raise
    except ModelError as exc:
        raise RetrieveRerankError(
            f"{exc} (what was answered is kept; the same command goes on)"
        ) from exc
