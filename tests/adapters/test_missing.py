"""Without its framework an adapter says what to install; whether the framework is here or not."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from retrieve_rerank.errors import MissingExtraError


@pytest.mark.parametrize(
    ("package", "adapter", "extra"),
    [("llama_index", "llama_index", "llama-index"), ("haystack", "haystack", "haystack")],
)
def test_a_missing_framework_is_a_clear_error(
    package: str, adapter: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"retrieve_rerank.{adapter}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    needed = rf"retrieve_rerank.{adapter} needs .*: pip install 'retrieve-rerank\[{extra}\]'"
    with pytest.raises(MissingExtraError, match=needed):
        import_module(f"retrieve_rerank.{adapter}")
