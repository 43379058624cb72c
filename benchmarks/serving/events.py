"""What happens to a server under half load: it is told to stop, or another model is promoted."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

from benchmarks.serving.load import NO_ANSWER, NO_CONNECTION, finish, start
from benchmarks.serving.requests import make_model
from benchmarks.serving.servers import ours, rr, serving
from benchmarks.serving.setting import Setting, ask_for, saturate
from retrieve_rerank.models.checkpoints.version_record import Record, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions

SIZE = 5
"""Passages of a request."""


def measure(setting: Setting) -> None:
    """Promote, then stop."""
    print("| half load of 5 passages | answered | of another status | lost | |")
    print("|---|---|---|---|---|")
    promote(setting)
    stop(setting)


def promote(setting: Setting) -> None:
    """Promote another head under load, and roll it back."""
    models = [setting.model, make_model(setting.work / "other-model", seed=14)]
    contender = ours("rr serve promoted", "ranker", setting.work, threads=setting.threads)
    data = contender.folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    versions = ModelVersions(data, "ranker")
    for number, model in enumerate(models, start=1):
        copy = data / "made" / str(number)
        shutil.copytree(model, copy)
        write_record(copy, Record(created=f"2024-01-0{number}"))
        versions.add(copy)
    versions.promote(1)
    asked = ask_for(setting, SIZE, *models)
    with serving(contender, asked.bodies[0], threads=setting.threads) as server:
        rate = saturate(asked, server.url, setting.seconds / 2, note="promoting")[0] / 2
        plan = asked.plan(server.url, max(30.0, 3 * setting.seconds), rate=rate)
        with start(plan) as sending:
            for command in (["promote", "ranker", "2"], ["rollback", "ranker"]):
                time.sleep(plan.seconds / 3)
                typed = [rr(), "models", *command]
                subprocess.run(typed, check=True, cwd=contender.folder, stdout=sys.stderr)
            load = finish(sending, plan)
    by = [sum(each.model == number for each in load.answers) for number in (0, 1)]
    lost = load.count(NO_ANSWER) + load.count(NO_CONNECTION)
    other = len(load.answers) - load.count(200) - lost
    print(
        f"| a model is promoted and rolled back | {load.count(200)} | {other} | {lost} | "
        f"{by[0]} by the first model, {by[1]} by the second; largest difference {load.off:.1g} |",
        flush=True,
    )


def stop(setting: Setting) -> None:
    """Send SIGTERM; what finds nobody listening after it was not accepted."""
    contender = ours("rr serve", setting.model, setting.work, threads=setting.threads)
    asked = ask_for(setting, SIZE, setting.model)
    with serving(contender, asked.bodies[0], threads=setting.threads) as server:
        rate = saturate(asked, server.url, setting.seconds / 2, note="stopping")[0] / 2
        plan = asked.plan(server.url, setting.seconds, rate=rate)
        with start(plan) as sending:
            time.sleep(plan.seconds / 2)
            server.process.send_signal(signal.SIGTERM)
            load = finish(sending, plan)
        code = server.process.wait(60)
    lost, away = load.count(NO_ANSWER), load.count(NO_CONNECTION)
    other = len(load.answers) - load.count(200) - lost - away
    print(
        f"| SIGTERM | {load.count(200)} | {other} | {lost} | "
        f"{away} came when it did not listen any more; exit code {code}; "
        f"largest difference {load.off:.1g} |",
        flush=True,
    )
