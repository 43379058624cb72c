"""The server under open-loop load of rerank requests, with common batches and without.

    python -m benchmarks.server .cache/cross-encoder --sizes 1 5 20 --seconds 20

Requests come at random moments (a Poisson process) whether earlier ones are answered or not, at
rates that rise by half until one in a hundred is refused. The same server is measured with the
batches of each request by themselves, in a process of its own, on the same weights. A time is
from the moment that a request was due to its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.machine import describe
from retrieve_rerank.models.runtimes.engine import run_all
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.server.app import Server
from retrieve_rerank.server.running import DrainingServer, bind, url_of
from retrieve_rerank.settings.sources import settings_of

GROWTH = 1.5
REFUSED = 0.01
SENTENCE = "wing flutter was measured in a wind tunnel at supersonic speed, as in theory"


class Load(NamedTuple):
    """What one rate came to."""

    asked: float  # requests a second
    answered: float
    refused: float  # share
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure, and report for each size of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a cross-encoder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--seconds", type=float, default=20.0, help="at each rate")
    parser.add_argument("--first-rate", type=float, default=4.0, help="requests a second")
    parser.add_argument("--serve", choices=["together", "alone"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.model, alone=arguments.serve == "alone")
        return
    print(describe("openvino", "torch", "fastapi", "uvicorn"))
    print("| passages | batches | saturation, requests/s | passages/s | p50 | p99 at half load |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        best = {}
        for how in ("alone", "together"):
            loads = measure(arguments, how, size)
            best[how] = max(load.answered for load in loads)
            half = min(loads, key=lambda load: abs(load.answered - best[how] / 2))
            print(
                f"| {size} | {how} | {best[how]:.1f} | {best[how] * size:.1f} | "
                f"{loads[0].p50_ms:.1f} ms | {half.p99_ms:.1f} ms |"
            )
        print(f"| {size} | ratio | {best['together'] / best['alone']:.2f} | | | |", flush=True)


def serve(model: Path, *, alone: bool) -> None:
    """Serve one model, its requests in common batches or each by itself."""
    given = {"indexes": [], "models": {"model": str(model)}, "port": 0}
    settings = settings_of({"server": given}, config=None, caller="benchmark")
    listening = bind(settings.server)
    server = Server(settings)
    reranker = server.served.model(None).reranker
    if not isinstance(reranker, CrossEncoder):
        raise SystemExit(f"{model} is no cross-encoder")
    if alone:
        reranker.model.run = partial(run_all, reranker.model.backend, pad_id=reranker.model.pad_id)
    print(url_of(listening), flush=True)
    DrainingServer(server).run(sockets=[listening])


def measure(arguments: argparse.Namespace, how: str, size: int) -> list[Load]:
    """Raise the rate until requests are refused or answers fall behind."""
    command = [sys.executable, "-m", "benchmarks.server", str(arguments.model), "--serve", how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise SystemExit("no output of the server")
        url = process.stdout.readline().strip()
        _until_ready(url)
        loads: list[Load] = []
        rate = arguments.first_rate
        while not loads or (
            loads[-1].refused < REFUSED and loads[-1].answered > 0.9 * loads[-1].asked
        ):
            loads.append(asyncio.run(_load(url, rate, size, arguments.seconds)))
            print(f"{how}, {size} passages: {loads[-1]}", file=sys.stderr, flush=True)
            rate *= GROWTH
        return loads
    finally:
        process.terminate()
        process.wait()


def _until_ready(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server does not become ready")


async def _load(url: str, rate: float, size: int, seconds: float) -> Load:
    random.seed(13)
    found: list[tuple[int, float]] = []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:

        async def ask(due: float) -> None:
            texts = [" ".join(random.choices(SENTENCE.split(), k=60)) for _ in range(size)]
            body = json.dumps({"query": "which wing flutter was measured", "documents": texts})
            answer = await client.post(
                "/rerank", content=body, headers={"Content-Type": "application/json"}
            )
            found.append((answer.status_code, time.perf_counter() - due))

        asking, began = [], time.perf_counter()
        due = began
        while due < began + seconds:
            due += random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asking.append(asyncio.create_task(ask(due)))
        await asyncio.gather(*asking)
        took = time.perf_counter() - began
    wrong = {status for status, _ in found} - {200, 429}
    if wrong:
        raise SystemExit(f"answers with {wrong}")
    times = sorted(ms * 1000 for status, ms in found if status == 200)
    return Load(
        asked=rate,
        answered=len(times) / took,
        refused=1 - len(times) / len(found),
        p50_ms=statistics.median(times),
        p99_ms=times[int(0.99 * (len(times) - 1))],
    )


if __name__ == "__main__":
    main()
