"""Our adapters beside LlamaIndex and Haystack, and beside their stores: tests/adapters there."""

from __future__ import annotations

from subprocess import CalledProcessError

import pytest

from tests.servers import elasticsearch
from tests.stores.environment import run


@pytest.mark.slow
def test_the_adapters_work_beside_their_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RR_TEST_ELASTICSEARCH_URL", elasticsearch().url)
    try:
        said = run("tests.stores.adapters")
    except CalledProcessError as exc:
        pytest.fail(exc.stdout)
    assert "skipped" not in said
