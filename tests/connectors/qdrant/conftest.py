"""A stand-in server for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.qdrant.stub import Stub, serving


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(Stub()) as made:
        yield made
