from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import retrieve_rerank
from retrieve_rerank import registry
from retrieve_rerank.base import Connector, Reranker
from retrieve_rerank.errors import ConfigError, MissingExtraError
from retrieve_rerank.registry import Entry, connector_class, reranker_class

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("scheme", registry.CONNECTORS)
def test_every_registered_connector_is_one(scheme: str) -> None:
    assert issubclass(connector_class(scheme), Connector)


@pytest.mark.parametrize("name", registry.RERANKERS)
def test_every_registered_reranker_is_one(name: str) -> None:
    found = reranker_class(name)
    assert issubclass(found, Reranker)
    assert found.name == name


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    for find, known in (
        (reranker_class, registry.RERANKERS),
        (connector_class, registry.CONNECTORS),
    ):
        with pytest.raises(ConfigError) as caught:
            find("solr")
        assert str(caught.value).endswith(f"'solr'; known: {', '.join(sorted(known))}")


def test_a_missing_package_is_answered_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("a_package_that_nobody_has:Reranker", extra="llm")
    monkeypatch.setattr(registry, "RERANKERS", {"llm": entry})
    with pytest.raises(MissingExtraError, match=r"pip install 'retrieve-rerank\[llm\]'"):
        reranker_class("llm")


def test_another_packages_reranker_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin.py").write_text(
        "from retrieve_rerank.testing import OverlapScorer\nNOT_ONE = 3\n", encoding="utf-8"
    )
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[retrieve_rerank.rerankers]\noverlap = plugin:OverlapScorer\nnone = plugin:NOT_ONE\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert reranker_class("overlap").name == "overlap"
    with pytest.raises(ConfigError, match="'none' is 3; expected a subclass of Reranker"):
        reranker_class("none")


def test_importing_the_package_loads_no_third_party_package() -> None:
    code = (
        "import sys; before = set(sys.modules); import retrieve_rerank; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(loaded) - set(sys.stdlib_module_names) == {"retrieve_rerank"}


def test_exports_are_sorted_and_complete() -> None:
    names = [
        name
        for name, value in vars(retrieve_rerank).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    ]
    assert sorted(names) == sorted(retrieve_rerank.__all__)
    assert retrieve_rerank.__all__ == sorted(retrieve_rerank.__all__)


def test_every_package_is_in_the_wheels_list() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    found = {"retrieve_rerank"}
    for top in ("retrieve_rerank", "connectors", "training"):
        for file in (ROOT / top).rglob("*.py"):
            folder = file.parent.relative_to(ROOT).parts
            package = folder if top == "retrieve_rerank" else ("retrieve_rerank", *folder)
            found.add(".".join(package))
    assert {name for name in listed if not name.endswith("examples")} == found
