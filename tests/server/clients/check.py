"""Check that clients that others wrote work unchanged against the server; write a table.

    python -m tests.server.clients.check > docs/benchmarks/server-clients.md

They are installed from their packages in an environment of their own, `.cache/clients-venv`, or are
those of `--python`. Exit code 1 where one fails.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.settings.sources import settings_of
from tests.server.clients.use import QUERY, TEXTS
from tests.server.conftest import running
from tests.server.tiny_scorer import make_scorer

HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / ".cache" / "clients-venv"
KEY = "a-key-for-all-clients"


def main() -> int:
    """Call a server of a tiny model with each client, and compare with the model's own order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, help="of an environment that has the clients")
    python = parser.parse_args().python or _installed()
    with tempfile.TemporaryDirectory() as folder:
        model = make_scorer(Path(folder) / "model")
        scores = CrossEncoder(model).score(QUERY, TEXTS)
        server = {"port": 0, "indexes": [], "models": {"tiny": str(model)}, "key": KEY}
        settings = settings_of({"server": server}, config=None, caller="check")
        expected = sorted(range(len(TEXTS)), key=lambda place: -scores[place])
        with running(settings) as it:
            done = subprocess.run(
                [python, HERE / "use.py", it.url, KEY], stdout=subprocess.PIPE, text=True
            )
    if done.returncode:
        raise SystemExit(done.returncode)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    sys.stdout.write("\n".join(_report(found, expected)) + "\n")
    return int(any(each["found"] != expected for each in found))


def _report(found: list[dict[str, object]], expected: list[int]) -> Iterator[str]:
    yield "# Clients of the server"
    yield ""
    yield f"`python -m tests.server.clients.check`, {datetime.date.today():%Y-%m-%d}: each client,"
    yield "installed from its package, reranks four texts at `rr serve`, with a key. Expected is"
    yield f"the model's own order, {expected}. Cohere's and Voyage's clients also ask for a model"
    yield "that is not there, and must raise their own error with the server's message."
    yield ""
    yield "| client | package | order |"
    yield "|---|---|---|"
    for each in found:
        order = "as expected" if each["found"] == expected else each["found"]
        yield f"| {each['client']} | {each['package']} | {order} |"


def _installed() -> Path:
    python = FOLDER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt")]
        subprocess.run(install, check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
