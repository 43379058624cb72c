"""Promoting and rolling back while requests come: none fails, and the model in force answers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from retrieve_rerank.models.checkpoints.version_record import Record, Serving, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.server import app
from retrieve_rerank.settings.build import locate
from retrieve_rerank.settings.promoted import index_address, stages_digest
from retrieve_rerank.settings.stages import StageSettings
from tests.server.conftest import Running, SettingsOf, running
from tests.server.tiny_scorer import make_scorer

BODY = {"query": "wing flutter", "documents": ["bread is baked"], "raw_scores": True}


def answers(it: Running) -> tuple[float, list[float], list[str]]:
    """Score by the served model, search, and name the stages of the search."""
    scored = it.post("/rerank", BODY)
    found = it.post("/search", {"query": "wing flutter", "top_k": 1})
    assert scored.status_code == found.status_code == 200
    hits, stages = found.json()["hits"], found.json()["stages"]
    assert not found.json()["degraded"]
    return (
        scored.json()["results"][0]["relevance_score"],
        [hit["score"] for hit in hits],
        [stage["name"] for stage in stages],
    )


def until_changed(
    it: Running, before: tuple[float, list[float], list[str]]
) -> tuple[float, list[float], list[str]]:
    for _ in range(600):
        found = answers(it)
        if found[0] != before[0] and found[1] != before[1]:  # the model's, and the index's
            return found
        time.sleep(0.05)
    raise AssertionError("not both changed within 30 s")


def test_a_promoted_model_swaps_in_and_out_without_a_failed_request(
    tmp_path: Path,
    settings_in: SettingsOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(app, "WATCH_S", 0.1)
    settings = settings_in(tmp_path / "data", models={"ranker": "ranker"})
    address = index_address(locate(settings.model_copy(update={"index": "docs"})))
    serving = Serving(address, replaces=stages_digest(settings.stages), weight=1.0)
    versions = ModelVersions(tmp_path / "data", "ranker")
    for number in (1, 2, 3):
        folder = make_scorer(tmp_path / str(number), seed=number)
        write_record(folder, Record(created=f"2024-01-0{number}", serving=serving))
        versions.add(folder)
    versions.promote(1)
    failures: list[str] = []
    done = threading.Event()

    with running(settings) as it:

        def ask() -> None:
            while not done.is_set():
                for path, body in (("/rerank", BODY), ("/search", {"query": "wing flutter"})):
                    found = it.post(path, body)
                    if found.status_code != 200 or found.json().get("degraded"):
                        failures.append(found.text)

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        try:
            first = answers(it)
            assert first[2] == ["first-stage", "cross-encoder"]
            versions.promote(2)
            second = until_changed(it, first)
            versions.rollback()
            assert until_changed(it, second) == first
            whole = (versions.path(3) / "tokenizer.json").read_bytes()
            (versions.path(3) / "tokenizer.json").write_text("{broken")
            versions.promote(3)
            for _ in range(600):
                if caplog.text.count("index docs stays as it is") > 1:  # it has tried again
                    break
                time.sleep(0.05)
            assert caplog.text.count("model ranker stays as it is") > 1
            assert 'rr_promotions_failing{served="index docs"}' in metrics(it)
            assert answers(it) == first  # what served goes on serving
            (versions.path(3) / "tokenizer.json").write_bytes(whole)
            assert until_changed(it, first) not in (first, second)
            assert "rr_promotions_failing{" not in metrics(it)
        finally:
            done.set()
            for thread in asking:
                thread.join(30)
        assert 'rr_reloads_total{served="docs"} 3.0' in metrics(it)
    assert not failures


def test_nothing_is_served_under_a_name_of_which_nothing_is_promoted_any_more(
    tmp_path: Path, settings_in: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WATCH_S", 0.1)
    settings = settings_in(tmp_path / "data", models={"ranker": "ranker"})
    versions = ModelVersions(tmp_path / "data", "ranker")
    versions.add(make_scorer(tmp_path / "made"))
    versions.promote(1)
    with running(settings) as it:
        before = it.post("/rerank", BODY).json()["results"]
        versions.rollback()
        until_status(it, 503)
        assert "rr_promotions_failing{" not in metrics(it)  # there is nothing to try again
        versions.promote(1)
        until_status(it, 200)
        assert it.post("/rerank", BODY).json()["results"] == before


def until_status(it: Running, status: int) -> None:
    for _ in range(600):
        if it.post("/rerank", BODY).status_code == status:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {status} within 30 s")


def test_a_stage_that_names_a_model_follows_what_is_promoted_of_it(
    tmp_path: Path, settings_in: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WATCH_S", 0.1)
    stage = StageSettings.model_validate({"reranker": "cross-encoder", "model": "ranker"})
    settings = settings_in(tmp_path / "data", models={"ranker": "ranker"})
    versions = ModelVersions(tmp_path / "data", "ranker")
    for number in (1, 2):
        folder = make_scorer(tmp_path / str(number), seed=number)
        write_record(folder, Record(created=f"2024-01-0{number}"))
        versions.add(folder)
    versions.promote(1)
    with running(settings.model_copy(update={"stages": [stage]})) as it:
        first = answers(it)
        assert first[2] == ["first-stage", "cross-encoder"]
        versions.promote(2)
        until_changed(it, first)


def test_what_is_promoted_is_taken_over_when_its_folder_comes(
    tmp_path: Path, settings_in: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WATCH_S", 0.1)
    settings = settings_in(tmp_path / "data")
    address = index_address(locate(settings.model_copy(update={"index": "docs"})))
    serving = Serving(address, replaces=stages_digest(settings.stages))
    versions = ModelVersions(tmp_path / "data", "ranker")
    folder = make_scorer(tmp_path / "made", seed=1)
    write_record(folder, Record(created="2024-01-01", serving=serving))
    versions.add(folder)
    versions.promote(1)
    away = versions.path(1).rename(tmp_path / "away")
    with running(settings) as it:
        found = it.post("/search", {"query": "wing flutter"}).json()
        assert found["degraded"] and len(found["hits"]) == 3  # searched all the same
        away.rename(versions.path(1))
        for _ in range(600):
            found = it.post("/search", {"query": "wing flutter"}).json()
            if not found["degraded"]:
                break
            time.sleep(0.05)
        assert [stage["name"] for stage in found["stages"]] == ["first-stage", "cross-encoder"]


def metrics(it: Running) -> str:
    return it.client.get("/metrics").text
