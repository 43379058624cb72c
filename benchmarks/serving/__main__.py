"""The server under load, beside infinity_emb and FastAPI + sentence-transformers.

    python -m benchmarks.serving --data ../shared/data/policyqa > report.md

All in one run, with the same weights, threads and machine; what is measured is written at once.
The model is all-MiniLM-L6-v2 with a linear head of random weights, as only time is measured, and
that scores agree; or `--model FOLDER`, a cross-encoder of one label. Infinity is installed into
an environment of its own in .cache/peers. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.machine import describe, gemm_peak
from benchmarks.serving import events, overload, rerank, search
from benchmarks.serving.load import MeasurementError
from benchmarks.serving.requests import make_model
from benchmarks.serving.servers import ROOT
from benchmarks.serving.setting import Setting

PARTS: Mapping[str, Callable[[Setting], None]] = {
    "rerank": rerank.measure,
    "search": search.measure,
    "overload": overload.measure,
    "events": events.measure,
}


def main() -> None:
    """Measure one part after another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a BEIR folder")
    parser.add_argument("--model", type=Path, help="a cross-encoder of one label")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, commas between")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 5, 20], help="passages")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--overload-minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each server")
    parser.add_argument("--documents", type=int, default=1000, help="in the index of /search")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "serving")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only: unknown {sorted(unknown)}; known: {', '.join(PARTS)}")
    work = arguments.work.resolve()
    setting = Setting(
        model=arguments.model.resolve() if arguments.model else make_model(work / "model"),
        data=arguments.data.resolve(),
        work=work,
        sizes=arguments.sizes,
        seconds=arguments.seconds,
        overload_s=arguments.overload_minutes * 60,
        threads=arguments.threads,
        documents=arguments.documents,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which stops the servers too
    peaks = ", ".join(f"{name} {rate:.0f}" for name, rate in gemm_peak().items())
    print(describe("openvino", "torch", "sentence-transformers", "fastapi", "uvicorn"))
    print(f"\nPeak of matrix products here, 10⁹ operations a second: {peaks}. Each server has")
    print(
        f"{setting.threads} threads; what sends the load is a process beside it on the same cores."
    )
    failed: list[str] = []
    for part in chosen:
        print(f"\n## {part}\n", flush=True)
        try:
            PARTS[part](setting)
        except (MeasurementError, subprocess.CalledProcessError) as exc:
            failed.append(part)
            print(f"\nnot measured to the end: {exc}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
