"""Requests to rerank, up to saturation: ours with and without common batches, and others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.serving.load import run, single_ms
from benchmarks.serving.servers import (
    Contender,
    infinity,
    ours,
    plain,
    rr,
    serving,
    shown,
)
from benchmarks.serving.setting import Asked, Setting, ask_for, saturate, tell

OURS = "rr serve"
ALONE = "rr serve, each request by itself"
EXPORTED = "rr serve, exported"


def measure(setting: Setting) -> None:
    """Write a row of each server for each size of request, and the ratios."""
    exported = export(setting)
    contenders = [
        ours(OURS, setting.model, setting.work, threads=setting.threads),
        ours(ALONE, setting.model, setting.work, threads=setting.threads, batched=False),
        ours(EXPORTED, exported, setting.work, threads=setting.threads),
        ours(
            f"{EXPORTED}, each request by itself",
            exported,
            setting.work,
            threads=setting.threads,
            batched=False,
        ),
        infinity(setting.model, setting.work),
        plain(setting.model, setting.work),
    ]
    print('`rr serve` reads the same float32 safetensors as the others; "exported" is the form')
    print("that `rr models export MODEL OUT` writes (OpenVINO; int8 weights where the processor")
    print(
        "computes in int8, see docs/models.md). Scores are compared with sentence-transformers'.\n"
    )
    for contender in contenders:
        print(f"- {contender.name}: `{shown(contender)}`")
    print(f'\n`rr.toml` of ours: `model = {{ model = "MODEL", threads = {setting.threads} }}`\n')
    print(
        "| passages | server | saturation, requests/s | passages/s | single request, ms |"
        " half load: p50 | p95 | p99, ms | p99 / single | largest difference |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for size in setting.sizes:
        asked = ask_for(setting, size, setting.model)
        best = {each.name: measure_one(each, asked, size, setting) for each in contenders}
        for name in (ALONE, "infinity_emb", "FastAPI + sentence-transformers"):
            print(
                f"| {size} | ratio, {OURS} / {name} | {best[OURS] / best[name]:.2f} | | | | | | | |"
            )
        sys.stdout.flush()


def measure_one(contender: Contender, asked: Asked, size: int, setting: Setting) -> float:
    """Write one row; return the answers a second at saturation."""
    with serving(contender, asked.bodies[0], threads=setting.threads) as server:
        run(asked.plan(server.url, min(5.0, setting.seconds), users=2)).check()  # warm
        single = single_ms(asked.plan(server.url, min(10.0, setting.seconds)))
        best, loads = saturate(asked, server.url, setting.seconds, note=f"{contender.name}, {size}")
        half = run(asked.plan(server.url, setting.seconds, rate=best / 2)).check()
    off = max(load.off for load in (*loads, half))
    print(
        f"| {size} | {contender.name} | {best:.1f} | {best * size:.1f} | {single:.1f} | "
        f"{half.ms(0.5):.1f} | {half.ms(0.95):.1f} | {half.ms(0.99):.1f} | "
        f"{half.ms(0.99) / single:.1f} | {off:.1g} |",
        flush=True,
    )
    tell(f"{contender.name}: sending took {max(each.cpu for each in loads):.2f} of a core")
    return best


def export(setting: Setting) -> Path:
    """Write the model's fast form, as a user would."""
    folder = setting.work / "exported"
    shutil.rmtree(folder, ignore_errors=True)
    # A head of random weights has no fidelity to lose: its scores are compared all the same.
    command = [rr(), "models", "export", str(setting.model), str(folder), "--force"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return folder
