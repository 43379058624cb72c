"""What `make` installs with: pip's configuration reaches uv, and nothing else decides for it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALL = runpy.run_path(str(ROOT / "deploy" / "install.py"))


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's configuration of pip: a file, beaten by the environment."""
    for name in ("PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://company.example/simple\ncert = /old.pem\n"
        "[install]\nfind-links = /wheels\n    /more wheels\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_CERT", "/new.pem")


def test_uv_is_told_what_pip_is_told() -> None:
    told = INSTALL["uv_environment"](INSTALL["pip_configuration"](Path(sys.executable)))
    assert told["UV_DEFAULT_INDEX"] == "https://company.example/simple"
    assert told["SSL_CERT_FILE"] == "/new.pem"
    assert told["UV_FIND_LINKS"] == "/wheels,/more,wheels"  # as pip splits it
    assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_what_uv_is_told_itself_beats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://faster.example/simple")
    told = INSTALL["uv_environment"](INSTALL["pip_configuration"](Path(sys.executable)))
    assert told["UV_DEFAULT_INDEX"] == "https://faster.example/simple"


def test_every_requirement_is_pinned_to_one_release() -> None:
    for file in (ROOT / "constraints.txt", ROOT / "tests" / "stores" / "requirements.txt"):
        lines = file.read_text().splitlines()
        assert len(lines) > 50
        assert [line for line in lines if "==" not in line or "://" in line] == []
        assert [line for line in lines if line.startswith(("nvidia-", "cuda-", "triton"))] == []
