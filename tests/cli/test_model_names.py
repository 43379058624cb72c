"""What a model is called that is trained for an index, where two indexes' addresses end alike."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'train'")

from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.training.provenance import Provenance
from tests.cli.conftest import Rr
from tests.models.tiny import make_model


@pytest.mark.parametrize(
    ("command", "kind", "labels"),
    [(("finetune",), "reranker", 1), (("tensors", "train"), "tokens", None)],
)
def test_a_name_of_another_indexs_model_is_not_taken(
    rr: Rr, home: Path, command: tuple[str, ...], kind: str, labels: int | None
) -> None:
    model = make_model(home / "model", "bert", labels=labels)
    theirs = f"qdrant+local://{home}/theirs/docs"
    Provenance(base="bert", index=theirs, index_fingerprint="").write(model)
    ModelVersions(load_settings().data_dir, f"docs-{kind}").add(model)
    mine = f"qdrant+local://{home}/mine/docs"

    refused = rr(*command, "--index", mine)
    assert refused.exit_code == 1
    assert f"the model docs-{kind} was trained for the index {theirs}, not for {mine}" in " ".join(
        refused.stderr.split()
    )
    for allowed in (("--index", theirs), ("--index", mine, "--name", f"docs-{kind}")):
        told = rr(*command, *allowed)
        assert "was trained for" not in told.stderr
        assert "docs" in told.stderr, "which is not there"
        assert told.exit_code == 1
