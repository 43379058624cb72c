"""What tests of other libraries' stores share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import delete_indexes


@pytest.fixture(autouse=True, scope="module")
def clean_servers() -> Iterator[None]:
    """Leave nothing on servers that are not our own."""
    yield
    delete_indexes()
