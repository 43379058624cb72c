"""Stages in rr.toml: their paths, their options, and what is never shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from retrieve_rerank.config import build_stage, locate
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.settings import StageSettings, load_settings

pytestmark = pytest.mark.usefixtures("home")

SECRET = "s3cret"


def configure(text: str) -> None:
    Path("rr.toml").write_text(text)


def test_models_prompts_and_files_of_stages_are_relative_to_rr_toml(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(
        'index = "./docs"\nencoder = "encoder"\n'
        '[[stages]]\nreranker = "llm-yes-no"\nmodel = "./ce"\nprompt = "mine.toml"\n'
        'cache = "scores.db"\n'
        '[[stages]]\nreranker = "cross-encoder"\nmodel = "BAAI/bge-m3"\ncalibration = "fitted"\n'
        'cache = "~/scores.db"\n'
        '[[stages]]\nreranker = "remote"\nmodel = "tei:http://host"\n'
    )
    for folder in ("encoder", "below"):
        (home / folder).mkdir()
    monkeypatch.chdir(home / "below")
    settings = load_settings()
    assert locate(settings).url == str(home / "docs")
    assert settings.encoder == str(home / "encoder")
    first, second, third = settings.stages or []
    assert first.options == {"model": str(home / "ce"), "prompt": str(home / "mine.toml")}
    assert first.cache == home / "scores.db"
    assert second.options == {"model": "BAAI/bge-m3", "calibration": str(home / "fitted")}
    assert second.cache == home.parent / "home" / "scores.db"
    assert third.options == {"model": "tei:http://host"}


def test_a_home_folder_is_meant_where_a_cache_is_not_set_in_a_file(home: Path) -> None:
    stage = StageSettings(reranker="max-sim", cache=Path("~/scores.db"))
    assert stage.cache == home.parent / "home" / "scores.db"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[stages]]\nreranke = "remote"\nkey = "{}"',
            "Field required; got a table with reranke, key",
        ),
        (
            '[[stages]]\nreranker = {{ key = "{}" }}',
            "expected a valid string; got a table with key",
        ),
        ('[[stages]]\nreranker = ["{}"]', "expected a valid string; got a value of type list"),
        ('stages = "{}"', "expected a valid list; got a value of type str"),
        ('stages = ["{}"]', "expected a valid dictionary .*; got a value of type str"),
    ],
)
def test_errors_do_not_show_what_a_stage_may_hold(text: str, message: str) -> None:
    configure(text.format(SECRET))
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings()
    assert SECRET not in str(caught.value)


def test_settings_do_not_show_the_options_of_stages() -> None:
    configure(
        f'[[stages]]\nreranker = "remote"\nmodel = "tei:http://me:{SECRET}@host"\nkey = "{SECRET}"'
    )
    settings = load_settings()
    [stage] = settings.stages or []
    assert stage.options == {"model": f"tei:http://me:{SECRET}@host", "key": SECRET}
    again = StageSettings.model_validate(stage.model_dump())
    assert again.options == stage.options
    for shown in (repr(settings), str(stage), settings.model_dump_json(), str(stage.model_dump())):
        assert SECRET not in shown
    with pytest.raises(ValidationError) as caught:
        StageSettings.model_validate({"reranke": "remote", "key": SECRET})
    assert SECRET not in str(caught.value)


def test_unknown_options_of_a_reranker_are_errors_with_a_suggestion() -> None:
    stage = StageSettings.model_validate({"reranker": "max-sim", "modell": "m"})
    with pytest.raises(
        ConfigError, match=r"'max-sim' has no option 'modell'; did you mean model\?"
    ):
        build_stage(stage, MemoryConnector([]))


@pytest.mark.parametrize(("reranker", "option"), [("llm-pairwise", "model"), ("collapse", "field")])
def test_an_option_that_a_reranker_needs_is_asked_for(reranker: str, option: str) -> None:
    stage = StageSettings(reranker=reranker)
    with pytest.raises(ConfigError, match=f"{reranker!r} needs the option {option!r}"):
        build_stage(stage, MemoryConnector([]))
