"""Twice as much as can be answered, for minutes: memory, refusals, and how it ends."""

from __future__ import annotations

import time
from dataclasses import replace

from benchmarks.serving.load import finish, single_ms, start
from benchmarks.serving.servers import ours, serving
from benchmarks.serving.setting import Setting, ask_for, saturate

SIZE = 5
"""Passages of a request."""
AFTER_S = 60.0
"""At most, until a server has recovered that is slow to."""
NORMAL = 2.0
"""Times what a single request takes on an idle server, at most."""
SETTLED_S = 60.0
"""After which memory should grow no more."""


def measure(setting: Setting) -> None:
    """Saturate, send twice as much, and go on asking after it."""
    contender = ours("rr serve", setting.model, setting.work, threads=setting.threads)
    asked = ask_for(setting, SIZE, setting.model)
    with serving(contender, asked.bodies[0], threads=setting.threads) as server:
        single = single_ms(asked.plan(server.url, min(10.0, setting.seconds)))
        best, _ = saturate(asked, server.url, setting.seconds, note="overload")
        plan = asked.plan(server.url, setting.overload_s, rate=2 * best)
        plan = replace(plan, after_s=min(AFTER_S, setting.overload_s))
        memory: list[float] = []
        with start(plan) as sending:
            while sending.poll() is None and len(memory) <= plan.seconds:
                memory.append(server.rss_mb)
                time.sleep(1.0)
            load = finish(sending, plan).check()
        memory.append(server.rss_mb)
    during = replace(load, answers=[each for each in load.answers if each.due_s < plan.seconds])
    after = [
        each.due_s + each.took_s - plan.seconds
        for each in load.answers
        if each.due_s >= plan.seconds
        and each.status == 200
        and each.took_s * 1000 <= NORMAL * single
    ]
    settled = memory[min(len(memory) - 1, int(min(SETTLED_S, setting.overload_s / 2)))]
    print(f"{SIZE} passages, {plan.rate:.1f} requests/s for {plan.seconds / 60:.1f} minutes, twice")
    print(f"the {best:.1f} requests/s of saturation; a single request takes {single:.1f} ms.\n")
    print("| | |\n|---|---|")
    print(f"| requests | {len(during.answers)} |")
    print(f"| answered | {during.count(200)}, {during.answered:.1f} a second |")
    print(f"| refused with 429 | {during.refused:.1%} |")
    print(f"| largest difference of a score | {load.off:.1g} |")
    print(f"| time of an answer, p50, p99 | {during.ms(0.5):.0f} ms, {during.ms(0.99):.0f} ms |")
    print(f"| memory at the start, MB | {memory[0]:.0f} |")
    print(f"| when settled | {settled:.0f} |")
    print(f"| at the end | {memory[-1]:.0f} |")
    print(f"| at its peak | {max(memory):.0f} |")
    recovered = f"{min(after):.2f} s" if after else f"not within {plan.after_s:.0f} s"
    print(
        f"| an answer within {NORMAL:.0f} × a single request, after the load's end | {recovered} |"
    )
