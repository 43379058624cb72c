"""The benchmark of GPUs: the same code on the CPU, and skipped where there is no GPU."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks.gpu import main


def test_it_runs_on_the_cpu_and_all_that_it_checks_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--tiny"])
    assert main() == 0
    told = capsys.readouterr().out
    assert told.count("- right: ") == 5
    assert "WRONG" not in told
    for contender in ("CrossEncoder.predict", "CrossEncoderTrainer", "transformers, the last"):
        assert f"| {contender}" in told


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_is_skipped_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("skipped: torch finds no CUDA device")
