"""Test the adapters: python -m tests.stores.adapters, in the environment of `environment`."""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # Haystack would load it, for seconds
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/adapters"]))
