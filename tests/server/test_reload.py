"""Promoting and rolling back while requests come: none fails, and the model in force answers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from retrieve_rerank.models.checkpoints.version_record import Record, Serving, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.settings.build import locate
from retrieve_rerank.settings.promoted import index_address, stages_digest
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


def until(it: Running, changed_from: object) -> tuple[float, list[float], list[str]]:
    for _ in range(400):
        found = answers(it)
        if found != changed_from:
            time.sleep(1.5)  # the model and the index are each taken over in their turn
            return answers(it)
        time.sleep(0.05)
    raise AssertionError("nothing changed within 20 s")


def test_a_promoted_model_swaps_in_and_out_without_a_failed_request(
    tmp_path: Path, settings_in: SettingsOf
) -> None:
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
            second = until(it, first)
            assert second[0] != first[0] and second[1] != first[1]
            versions.rollback()
            assert until(it, second) == first
            (versions.path(3) / "tokenizer.json").write_text("{broken")
            versions.promote(3)
            time.sleep(2.5)
            assert answers(it) == first  # what served goes on serving
        finally:
            done.set()
            for thread in asking:
                thread.join(30)
        assert 'rr_reloads_total{served="docs"} 2.0' in it.client.get("/metrics").text
    assert not failures
