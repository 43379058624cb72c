"""`rr serve` with the pairs of each request in batches of their own, for comparison.

    python -m benchmarks.serving.unbatched PORT

Reads the rr.toml of the folder that it is started in.
"""

from __future__ import annotations

import sys
from functools import partial

from retrieve_rerank.models.runtimes.engine import run_all
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.server.app import Server
from retrieve_rerank.server.running import DrainingServer, bind, log_to
from retrieve_rerank.settings.sources import load_settings


def main() -> None:
    """Serve until SIGTERM."""
    log_to()
    settings = load_settings()
    settings = settings.model_copy(
        update={"server": settings.server.model_copy(update={"port": int(sys.argv[1])})}
    )
    listening = bind(settings.server)
    server = Server(settings)
    for served in server.served.models.values():
        if not isinstance(served.reranker, CrossEncoder):
            raise SystemExit(f"{served.name} is no cross-encoder")
        model = served.reranker.model
        model.run = partial(run_all, model.backend, pad_id=model.pad_id)
    DrainingServer(server).run(sockets=[listening])


if __name__ == "__main__":
    main()
