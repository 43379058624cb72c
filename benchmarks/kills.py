"""Kill -9 mining and training at random moments, and compare what comes of it with unbroken runs.

    python -m benchmarks.kills
    python -m benchmarks.kills --only finetune --at-once 5

A collection of a few hundred made texts, an index of them with the bundled encoder, and a network
that is tiny. Each command is run once unbroken, then five times in copies of the folder, each time
killed twice, after times drawn from 0 to what the unbroken run took, and run again until it ends.
The exit code is 1 where anything differs. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import describe
from tests.models import tiny

SEED = 0
KILLS = 2
"""Of each run, before it is let to end."""
SUBJECTS = 140
TEXTS = 6
"""On each subject; one of them is what its query is for."""
SPLITS = {"train": 60, "dev": 20, "calibration": 8, "test": 50}
QUERIES = 400
"""That are mined for, beside those that are trained on."""

RR = [sys.executable, "-c", "from retrieve_rerank.cli import main; main()"]
MINE = ["mine", "--index", "docs", "--method", "dense", "--exact", "--no-margin"]
TRAIN = {
    **{"base": "base", "data": "train.jsonl", "dev": "dev.jsonl", "output": "run"},
    **{"evaluate_every": 5, "max_steps": 100, "batch_size": 4, "max_tokens": 32},
    "learning_rate": 3e-3,
}
FINETUNE = ["finetune", "--index", "docs", "--data", "judged", "--base", "base"]
FINETUNE += ["--learning-rate", "3e-3", "--depth", "10", "--max-tokens", "32"]


class Command(NamedTuple):
    """A command that is killed."""

    arguments: Sequence[str]
    leaves: Sequence[str]
    """What it makes, as patterns below the home; removed before it is begun anew."""
    marks: Mapping[str, str]
    """What a killed run can have come to -> a pattern of files; the last that is there tells."""
    result: Callable[[Path], Mapping[str, Any]]
    """What must be equal."""


class Kill(NamedTuple):
    """When a run was killed, and what it left."""

    after_s: float
    left: str

    def __str__(self) -> str:
        return f"{self.after_s:.1f} s ({self.left})"


def main() -> None:
    """Run each command unbroken, kill it, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=COMMANDS, help="one of the commands")
    parser.add_argument(
        "--runs", type=int, default=5, help=f"of each; each is killed {KILLS} times"
    )
    parser.add_argument("--at-once", type=int, default=1, help="runs that go on side by side")
    chosen = parser.parse_args()
    print(describe("retrieve-rerank", "torch"))
    print("\n| command | unbroken | killed after, and what was there | the same |")
    print("|---|---:|---|---|")
    same = True
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        prepare(home)
        for name in [chosen.only] if chosen.only else COMMANDS:
            same &= put_to_the_test(name, home, runs=chosen.runs, at_once=chosen.at_once)
    sys.exit(not same)


def put_to_the_test(name: str, home: Path, *, runs: int, at_once: int) -> bool:
    """Print a line of the table, and return whether all that ended is as the unbroken run."""
    command = COMMANDS[name]
    unbroken = copy_of(home, "unbroken")
    started = time.perf_counter()
    if rr(unbroken, *command.arguments).wait():
        raise SystemExit(f"rr {name} failed:\n{errors(unbroken)}")
    seconds = time.perf_counter() - started
    expected = command.result(unbroken)

    def broken(run: int) -> tuple[list[Kill], Mapping[str, Any]]:
        return kill_again_and_again(name, copy_of(home, f"{run}"), run=run, seconds=seconds)

    with ThreadPoolExecutor(at_once) as threads:
        found = list(threads.map(broken, range(runs)))
    differing = {key for _, result in found for key in expected if result[key] != expected[key]}
    told = "; ".join(", then ".join(map(str, kills)) for kills, _ in found)
    verdict = f"**not {', '.join(sorted(differing))}**" if differing else ", ".join(expected)
    print(f"| `rr {name}` | {seconds:.1f} s | {told} | {verdict} |", flush=True)
    return not differing


def kill_again_and_again(
    name: str, home: Path, *, run: int, seconds: float
) -> tuple[list[Kill], Mapping[str, Any]]:
    """Kill a run KILLS times, let it end, and return what came of it; anew where it ends before."""
    draw = random.Random(f"{SEED} {name} {run}")
    kills: list[Kill] = []
    command = COMMANDS[name]
    while len(kills) < KILLS:
        for pattern in command.leaves:
            for path in home.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        kills = []
        while True:
            after_s = draw.uniform(0, seconds) if len(kills) < KILLS else None
            if (kill := run_and_kill(command, home, after_s=after_s)) is None:
                break
            kills.append(kill)
    return kills, command.result(home)


def run_and_kill(command: Command, home: Path, *, after_s: float | None) -> Kill | None:
    """Run a command for so long at most; None where it ended by itself."""
    process = rr(home, *command.arguments)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired as exc:
        process.kill()
        process.wait()
        there = [mark for mark, pattern in command.marks.items() if any(home.glob(pattern))]
        return Kill(exc.timeout, there[-1] if there else "nothing")
    if process.returncode:
        raise SystemExit(f"rr {' '.join(command.arguments)} failed:\n{errors(home)}")
    return None


def rr(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `rr` as a user would."""
    # More threads than one would only wait for each other on so small a network.
    environment = {**os.environ, "RR_DATA_DIR": str(home / "data"), "OMP_NUM_THREADS": "1"}
    with (home / "errors").open("wb") as file:
        return subprocess.Popen(
            [*RR, *arguments], cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=file
        )


def errors(home: Path) -> str:
    """Return what the last command said."""
    return (home / "errors").read_text(errors="replace")


def copy_of(home: Path, name: str) -> Path:
    """Copy all of it; the index's files are mostly holes, which only cp keeps as such."""
    copy = home.with_name(name)
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(home), str(copy)], check=True)
    return copy


def prepare(home: Path) -> None:
    """Make the collection, the index, the groups to train on and the network to start from."""
    subjects = [f"subject{number}" for number in range(SUBJECTS)]
    judged = home / "judged"
    home.mkdir()
    with (home / "corpus.jsonl").open("w") as corpus:
        for number, subject in enumerate(subjects):
            for text in range(TEXTS):
                kind = "wing flutter" if text == number % TEXTS else "cat mat"
                body = f"{subject} is a {kind} of the {'short ' * (text % 3)}passage"
                corpus.write(json.dumps({"_id": f"{subject}-{text}", "text": body}) + "\n")
    places = iter(range(SUBJECTS))
    splits = {name: [next(places) for _ in range(size)] for name, size in SPLITS.items()}
    asked = {subject: f"what of {subject}" for subject in subjects}
    write_judged(judged, asked, {name: (subjects, its) for name, its in splits.items()})
    many = [f"{number} of {subjects[number % SUBJECTS]}" for number in range(QUERIES)]
    write_judged(home / "many", {text: text for text in many}, {"train": (many, range(QUERIES))})
    tiny.make_model(home / "base", "bert", labels=1)
    begin = [["index", "corpus.jsonl", "--index", "docs"]]
    for name, data in (("train.jsonl", "judged"), ("dev.jsonl", "judged")):
        split = name.partition(".")[0]
        begin.append([*MINE, "--data", data, "--split", split, "-o", name])
    for arguments in begin:
        if rr(home, *arguments).wait():
            raise SystemExit(f"rr {' '.join(arguments)} failed:\n{errors(home)}")
    (home / "train.yaml").write_text(json.dumps(TRAIN))  # JSON is YAML


def write_judged(
    folder: Path,
    asked: Mapping[str, str],
    splits: Mapping[str, tuple[Sequence[str], Sequence[int]]],
) -> None:
    """Write a BEIR folder: each query's relevant text is the one of its subject's kind."""
    (folder / "qrels").mkdir(parents=True)
    lines = (json.dumps({"_id": id_, "text": text}) + "\n" for id_, text in asked.items())
    (folder / "queries.jsonl").write_text("".join(lines))
    for name, (ids, places) in splits.items():
        rows = (
            f"{ids[place]}\tsubject{place % SUBJECTS}-{place % SUBJECTS % TEXTS}\t1\n"
            for place in places
        )
        header = "query-id\tcorpus-id\tscore\n"
        (folder / "qrels" / f"{name}.tsv").write_text(header + "".join(rows))


def of_mining(home: Path) -> Mapping[str, Any]:
    """Return the groups' bytes."""
    return {"groups": digest(home / "mined.jsonl")}


def of_training(home: Path) -> Mapping[str, Any]:
    """Return the weights' bytes and the dev curve."""
    trained = json.loads((home / "run" / "trained.json").read_text())
    return {
        "weights": digest(home / "run/model/model.safetensors"),
        "dev nDCG@10": measures(trained),
    }


def of_finetuning(home: Path) -> Mapping[str, Any]:
    """Return all that a run has come to, but for what took how long."""
    [run] = home.glob("data/finetune/docs-reranker/*/result.json")
    result = json.loads(run.read_text())
    trained = json.loads((run.parent / "training" / "trained.json").read_text())
    versions = sorted(path.name for path in home.glob("data/models/docs-reranker/[0-9]*"))
    verdict = {key: result["proof"]["verdict"][key] for key in ("gain", "low", "high")}
    return {
        "groups": digest(run.parent / "groups.jsonl"),
        "weights": digest(Path(result["folder"]) / "model.safetensors"),
        "dev nDCG@10": measures(trained),
        "place": result["place"],
        "gain": verdict,
        "promoted": (result["promoted"], versions),
    }


def measures(trained: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Return the learning curve's steps and dev measures."""
    points = [(point["step"], point["measure"]) for point in trained["curve"]]
    return [point for point in points if point[1] is not None]


def digest(file: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


COMMANDS = {
    "mine": Command(
        [*MINE, "--data", "many", "-o", "mined.jsonl"],
        ["mined.jsonl*"],
        {"its record": "mined.jsonl.mining", "some groups": "mined.jsonl.partial"},
        of_mining,
    ),
    "train": Command(
        ["train", "train.yaml"],
        ["run"],
        {
            "its settings": "run/run.json",
            "a checkpoint": "run/checkpoints/checkpoint-*",
            "a checkpoint half saved": "run/checkpoints/.saving",
            "the model": "run/model",
        },
        of_training,
    ),
    "finetune": Command(
        FINETUNE,
        ["data/finetune", "data/models"],
        {
            "its settings": "data/finetune/*/*/run.json",
            "the plan": "data/finetune/*/*/plan.json",
            "the groups": "data/finetune/*/*/groups.jsonl",
            "today's place": "data/finetune/*/*/today.json",
            "a checkpoint": "data/finetune/*/*/training/checkpoints/checkpoint-*",
            "the model": "data/finetune/*/*/training/trained.json",
            "doubtful positives": "data/finetune/*/*/doubtful.json",
            "the verdict": "data/finetune/*/*/decided.json",
            "a version": "data/models/*/1",
        },
        of_finetuning,
    ),
}


if __name__ == "__main__":
    main()
