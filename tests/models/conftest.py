"""Tiny models that several tests share, exported once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that scores pairs, in safetensors."""
    tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")
    folder: Path = tiny.make_model(tmp_path_factory.mktemp("cross-encoder"), "bert", labels=1)
    return folder


@pytest.fixture(scope="session")
def exported(cross_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in OpenVINO's format, in fp32."""
    export = pytest.importorskip("retrieve_rerank.models.export.exporting", reason="needs 'export'")
    out = tmp_path_factory.mktemp("exported") / "fp32"
    export.export(str(cross_encoder), out, precision="fp32")
    return out


@pytest.fixture(autouse=True, scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep compiled models out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder
