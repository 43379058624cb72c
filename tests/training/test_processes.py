"""Several processes that train one model: torchrun, DDP and FSDP on gloo, one of them killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file

from retrieve_rerank.cli import main
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training import write_groups
from retrieve_rerank.training.launching import alone
from retrieve_rerank.training.trainers import Trained, TrainerSettings, train
from retrieve_rerank.training.trainers.passes import cut
from retrieve_rerank.training.trainers.processes import join
from tests.commands import RR
from tests.models.tiny import make_model
from tests.models.tiny_language_models import make_language_model
from tests.training.test_trainer import groups, no_dropout
from tests.training.together import FSDP, run, uneven

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {
    "loss": {"ranknet": 1, "bce": 0.5},  # means over pairs and over texts, not over groups
    "learning_rate": 1e-3,
    "max_steps": 6,
    "batch_size": 5,  # three groups for one process, two for the other
    "group_size": 4,
    "evaluate_every": 3,
    "token_budget": 60,  # one to three passes a step, and not as many in each process
    "device": "cpu",
    "bf16": False,
}
LIKELIHOOD = {
    "reranker": "llm-query-likelihood",
    "loss": {"rankinggpt": 1, "next-token": 0.5, "difference": 0.1},
    "token_budget": 300,
}
LAUNCHERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Networks without dropout, which each process draws for itself."""
    folder = tmp_path_factory.mktemp("bases")
    encoder = no_dropout(str(make_model(folder / "dropping", "bert")), folder / "bert")
    decoder = make_language_model(folder / "qwen3", "qwen3", positions=2048, std=0.1)
    return {"bert": encoder, "qwen3": str(decoder)}


@pytest.fixture(autouse=True)
def started_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LAUNCHERS, "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)


def assert_alike(several: Trained, one: Trained) -> None:
    """The same losses, dev measures and weights, but for the order of sums."""
    assert [p.step for p in several.curve] == [p.step for p in one.curve]
    for ours, theirs in zip(several.curve, one.curve, strict=True):
        assert ours.loss == (theirs.loss and pytest.approx(theirs.loss, abs=1e-5))
        assert ours.measure == theirs.measure
    weights, expected = (load_file(t.model / "model.safetensors") for t in (several, one))
    assert weights.keys() == expected.keys()
    apart = torch.cat([(weights[name] - expected[name]).abs().flatten() for name in weights])
    # A step is 1e-3. On average, as Adam makes much of rounding where a gradient is nought, such as
    # that of attention's key biases.
    assert apart.mean() < 1e-5


def test_torchrun_trains_as_one_process_does(bases: Mapping[str, str], tmp_path: Path) -> None:
    write_groups(uneven(9), tmp_path / "train.jsonl", format="grouped")
    write_groups(groups(5, seed=2), tmp_path / "dev.jsonl", format="grouped")
    keys = {**SETTINGS, "base": bases["bert"], "data": "train.jsonl", "dev": "dev.jsonl"}
    keys |= {"group_size": 3, "remine": True}  # each tells the other what it took
    for name in ("two", "one"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**keys, "output": name}))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "--standalone", "--no-python", *RR, "train", str(tmp_path / "two.yaml")],
        capture_output=True,
        text=True,
        timeout=1200,  # of a machine that is busy with other work
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("the model is in") == 1  # one of them tells
    assert "2 processes, DDP" in done.stderr
    assert CliRunner().invoke(main, ["train", str(tmp_path / "one.yaml")]).exit_code == 0
    assert_alike(*(Trained.load(tmp_path / name / "trained.json") for name in ("two", "one")))


def test_two_processes_train_as_one_whatever_they_divide(
    bases: Mapping[str, str], tmp_path: Path
) -> None:
    """Of an encoder without padding and of a decoder; the first scenario has one killed."""
    made: dict[str, dict[str, Any]] = {
        "killed": {"base": bases["bert"], "kill": [1, 5]},
        "again": {"base": bases["bert"]},
        "fsdp": {
            "base": bases["qwen3"],
            "settings": {**SETTINGS, **LIKELIHOOD},
            "environment": FSDP,
        },
    }
    files = []
    for name, scenario in made.items():
        output = tmp_path / ("killed" if name == "again" else name)
        scenario.update(output=str(output), groups=9, settings=scenario.get("settings", SETTINGS))
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(scenario))
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.together", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,  # of a machine that is busy with other work
        check=False,
    )
    logs = "\n".join(path.read_text() for path in tmp_path.glob("*.log"))
    codes = [json.loads(line) for line in done.stdout.splitlines()]
    assert codes == [[1, -9], *[[0, 0]] * 2], done.stderr + logs
    assert "0: ProcessLostError: another of the 2 processes" in logs
    assert "the same command goes on from the last checkpoint" in logs

    for base, names in {"bert": ["killed"], "qwen3": ["fsdp"]}.items():
        one = run({**made[names[0]], "output": str(tmp_path / f"{base}-one")})
        for name in names:
            several = Trained.load(tmp_path / name / "trained.json")
            assert several.description.endswith("FSDP" if "fsdp" in name else "DDP")
            assert_alike(several, one)


def test_what_cannot_be_shared_is_refused(
    bases: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="rr finetune runs in one process, and 2 were started"):
        alone("rr finetune")
    with pytest.raises(ConfigError, match="device is 'cuda:0', which 2 processes cannot share"):
        join("cuda:0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    settings = TrainerSettings.from_mapping({**SETTINGS, "max_steps": 1})
    with pytest.raises(ConfigError, match="FSDP was asked for, and accelerate divides nothing"):
        train(groups(4), base=bases["bert"], output=tmp_path / "run", settings=settings)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"


def test_losses_are_in_float32_whatever_accelerate_is_told(
    bases: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "max_steps": 2, "bf16": False}
    runs = []
    for precision in ("no", "bf16"):
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
        output = str(tmp_path / precision)
        runs.append(
            run({"base": bases["qwen3"], "output": output, "groups": 4, "settings": settings})
        )
    assert_alike(*runs)


def test_accelerate_that_starts_one_process_on_cpus_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "train.yaml"
    config.write_text("output: run\n")
    for name, value in (("ACCELERATE_MIXED_PRECISION", "no"), ("MASTER_PORT", "29500")):
        monkeypatch.setenv(name, value)
    told = CliRunner().invoke(main, ["train", str(config)])
    assert "accelerate launch was asked for several processes and has started one" in told.output
    monkeypatch.setenv("RANK", "0")
    assert "several processes" not in CliRunner().invoke(main, ["train", str(config)]).output


def test_passes_are_cut_until_there_are_as_many_as_elsewhere() -> None:
    assert cut([[0, 1, 2], [3]], 3) == [[0], [1, 2], [3]]
    assert cut([[0, 1], [2]], 5) == [[0], [1], [2]]  # no more to cut
    assert cut([[0, 1]], 1) == [[0, 1]]
