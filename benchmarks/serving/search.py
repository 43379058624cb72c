"""`POST /search` beside the same search in Python, and by many users at once."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.machine import side_by_side
from benchmarks.serving.load import MeasurementError, Plan, run
from benchmarks.serving.requests import read_texts
from benchmarks.serving.servers import PORT, Contender, rr, serving, shown
from benchmarks.serving.setting import Setting
from retrieve_rerank import connect

USERS = 64
ROUNDS = 200
OVER = 504
"""Status of a search that found nothing within the server's deadline."""


def measure(setting: Setting) -> None:
    """Index, search in turn in Python and over HTTP, then by many users."""
    library, served = setting.work / "library", setting.work / "served"
    index(setting, library / "data")
    shutil.rmtree(served, ignore_errors=True)
    shutil.copytree(library, served)  # an embedded index belongs to one process
    contender = Contender("rr serve", [rr(), "serve", "--port", PORT], served)
    (served / "rr.toml").write_text('data_dir = "data"\n', encoding="utf-8")
    queries = read_texts(setting.data, "queries")
    random.Random(13).shuffle(queries)
    bodies = [json.dumps({"query": query}) for query in queries[: 2 * ROUNDS]]
    with (
        serving(contender, bodies[0], threads=setting.threads, path="/search") as server,
        connect("docs", data_dir=library / "data") as retriever,
    ):
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        turn = {"library": iter(queries * 9), "/search": iter(bodies * 9)}

        def ask() -> None:
            body = next(turn["/search"])
            connection.request("POST", "/search", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200 or not json.loads(answer.read())["hits"]:
                raise MeasurementError(f"/search answered {answer.status}")

        rounds = min(ROUNDS, int(setting.seconds * 20))
        seconds = side_by_side(
            {"library": lambda: retriever.search(next(turn["library"])), "/search": ask},
            rounds=rounds,
        )
        users = run(Plan(server.url, bodies, setting.seconds, users=USERS)).check(OVER)
    print(f"{setting.documents} documents, embedded index, hybrid + MaxSim; `{shown(contender)}`;")
    print(f"the same {rounds} queries in turn.\n")
    print("| | p50 ms | p95 ms |\n|---|---|---|")
    middle = {}
    for name, values in seconds.items():
        cut = statistics.quantiles(values, n=20)
        middle[name] = cut[9] * 1000
        print(f"| {name} | {cut[9] * 1000:.1f} | {cut[18] * 1000:.1f} |")
    print(f"| difference (wanted: below 2 ms) | {middle['/search'] - middle['library']:.1f} | |")
    print(
        f"\n{USERS} users at once: {users.answered:.1f} searches a second, p50 "
        f"{users.ms(0.5):.0f} ms, p95 {users.ms(0.95):.0f} ms, p99 {users.ms(0.99):.0f} ms; "
        f"{users.count(200)} answered, {len(users.answers) - users.count(200)} not.",
        flush=True,
    )


def index(setting: Setting, data: Path) -> None:
    """Make the index, with the program."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    documents = data.parent / "documents.jsonl"
    with documents.open("w", encoding="utf-8") as file:
        for place, text in enumerate(read_texts(setting.data, "corpus")[: setting.documents]):
            print(json.dumps({"_id": str(place), "text": text}), file=file)
    command = [rr(), "index", str(documents), "--index", "docs"]
    told = {**os.environ, "RR_DATA_DIR": str(data)}
    subprocess.run(command, check=True, stdout=sys.stderr, env=told)
