"""Test the adapters: python -m tests.stores.adapters, in the environment of `environment`."""

from __future__ import annotations

import sys

import pytest

NOT_OURS = ["-W", "ignore:Support for class-based `config`:DeprecationWarning"]
NOT_OURS += ["-W", "ignore:unclosed:ResourceWarning"]  # event loops of LlamaIndex's

if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # Haystack would load it, for seconds
    where = sys.argv[1:] or ["tests/adapters"]
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *NOT_OURS, *where]))
