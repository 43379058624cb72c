"""Stages in rr.toml: their paths, their options, and what is never shown of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from retrieve_rerank import RerankResult
from retrieve_rerank.base import Reranker
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.rerankers.diversify import Diversify
from retrieve_rerank.rerankers.metadata import Recency
from retrieve_rerank.settings.build import build_retriever, build_stage, locate
from retrieve_rerank.settings.sources import StageSettings, load_settings
from retrieve_rerank.settings.stage_options import check_options
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Hit

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


@pytest.mark.parametrize(
    ("reranker", "option", "flag"),
    [("llm-pairwise", "model", r" \(or by --model\)"), ("collapse", "field", "")],
)
def test_an_option_that_a_reranker_needs_is_asked_for_and_where_it_goes(
    reranker: str, option: str, flag: str
) -> None:
    stage = StageSettings(reranker=reranker)
    with pytest.raises(
        ConfigError,
        match=f"{reranker!r} needs the option {option!r}{flag}: set it in rr.toml, below "
        rf'\[\[stages\]\] and reranker = "{reranker}"',
    ):
        build_stage(stage, MemoryConnector([]))


@pytest.mark.parametrize(
    ("reranker", "option", "value", "message"),
    [
        ("cross-encoder", "device", 3, "expected a valid string; got a value of type int"),
        ("cross-encoder", "model", ["./ce"], "expected a valid string; got a value of type list"),
        ("cross-encoder", "calibration", 3, "expected a valid string; got a value of type int"),
        ("cross-encoder", "template", 3, "expected a valid string; got a value of type int"),
        ("cross-encoder", "threads", 0, "expected a value greater than or equal to 1; got 0"),
        ("cross-encoder", "threads", "two", "expected a valid integer; got 'two'"),
        ("cross-encoder", "threads", 1.5, "expected a valid integer; got 1.5"),
        ("cross-encoder", "threads", True, "expected a valid integer; got True"),
        ("cross-encoder", "max_length", 0, "expected a value greater than or equal to 1; got 0"),
        ("cross-encoder", "long_documents", "x", "expected a value 'truncate' or 'passages'; got"),
        ("cross-encoder", "label", 1.5, "expected a valid integer or a valid string; got"),
        ("max-sim", "model", 3, "expected a valid string; got a value of type int"),
        ("max-sim", "template", 3, "expected a valid string; got a value of type int"),
        ("diversify", "relevance_share", "a", "expected a valid number; got 'a'"),
        ("collapse", "field", 3, "expected a valid string; got a value of type int"),
        ("recency", "half_life_days", float("nan"), "expected a finite number; got nan"),
        ("recency", "half_life_days", 0, "expected a value greater than 0; got 0"),
        ("llm-yes-no", "max_tokens", 0, "expected a value greater than or equal to 1; got 0"),
        ("llm-yes-no", "prompt", 3, "expected a valid dictionary or a valid string; got a"),
        ("llm-setwise", "set_size", "3", "expected a valid integer; got '3'"),
        ("remote", "key", [SECRET], "expected a valid string; got a value of type list"),
        ("remote", "timeout_s", 0, "expected a value greater than 0; got 0"),
        ("remote", "timeout_s", "x", "expected a valid number; got 'x'"),
        ("remote", "timeout_s", 1e300, r"expected a value less than or equal to 1000000; got"),
    ],
)
def test_an_option_that_a_reranker_cannot_use_is_an_error(
    reranker: str, option: str, value: Any, message: str
) -> None:
    needed = {"recency": {"field": "f"}, "collapse": {}}.get(reranker, {"model": "m"})
    stage = StageSettings.model_validate({"reranker": reranker, **needed, option: value})
    with pytest.raises(ConfigError, match=f"^reranker '{reranker}': {option}: {message}") as caught:
        build_stage(stage, MemoryConnector([]))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_whole_numbers_serve_as_numbers_and_a_file_may_set_a_template() -> None:
    recency = build_stage(
        StageSettings.model_validate(
            {"reranker": "recency", "field": "date", "half_life_days": 30, "weight": 0.5}
        ),
        MemoryConnector([]),
    ).reranker
    assert isinstance(recency, Recency)
    assert recency.half_life_days == 30
    diversify = build_stage(
        StageSettings.model_validate({"reranker": "diversify", "template": "{text}"}),
        MemoryConnector([]),
    ).reranker
    assert isinstance(diversify, Diversify)
    assert diversify.template == Template("{text}")


def test_what_no_file_can_hold_is_no_option() -> None:
    stage = StageSettings.model_validate({"reranker": "recency", "field": "date", "now": "2026"})
    with pytest.raises(ConfigError, match="no option 'now'; it has: field, half_life_days"):
        build_stage(stage, MemoryConnector([]))


class Plugin(Reranker):
    """A reranker of another package, which says more of its options than we can check."""

    name = "plugin"

    def __init__(  # type: ignore[no-untyped-def]  # as plugins may have it
        self,
        fields: list[str] | None = None,
        *,
        table: dict[str, int] | str = "",
        bare: dict | str = "",  # type: ignore[type-arg]  # as plugins may have it
        threads: int = 0,
        unnamed=None,  # noqa: ANN001
    ) -> None:
        """Take anything."""

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Keep the order."""
        return RerankResult(hits)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("fields", ["a"]),
        ("table", {"a": 1}),
        ("bare", {"a": 1}),
        ("threads", 0),
        ("unnamed", [1]),
    ],
)
def test_options_of_plugins_are_checked_only_as_far_as_they_are_understood(
    option: str, value: Any
) -> None:
    check_options("plugin", Plugin, {option: value})
    with pytest.raises(ConfigError, match="threads: expected a valid integer; got 'many'"):
        check_options("plugin", Plugin, {option: value, "threads": "many"})


@pytest.mark.parametrize(
    "line", ['depth = "20"', "depth = true", 'weight = "0.5"', 'min_probability = "1"']
)
def test_a_number_in_quotes_is_no_number(line: str) -> None:
    configure(f'[[stages]]\nreranker = "max-sim"\n{line}\n')
    key = line.partition(" ")[0]
    with pytest.raises(ConfigError, match=rf"rr\.toml: stages\[0\]\.{key}: expected a valid "):
        load_settings()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('reranker = "max-sim"\nmodell = "a"', "has no option 'modell'; did you mean model"),
        ('reranker = "cross-encoder"\nmodel = "a"\nthreads = "2"', "threads: expected"),
        ('reranker = "recency"', "needs the option"),
        ('reranker = "nonsense"', "unknown reranker 'nonsense'"),
        (
            'reranker = "collapse"\nfield = "a"\ncache = true',
            "no scores that could be cached",
        ),
        ('reranker = "llm-listwise"\nmodel = "a"\nprompt = "mine"', "unknown prompt 'mine'"),
        ('reranker = "llm-yes-no"\nmodel = "a"', "no prompt is known for a; name one of"),
        ('reranker = "cross-encoder"\nmodel = "a"\ntemplate = "{"', "has a brace without"),
    ],
)
def test_all_stages_are_checked_before_an_index_is_opened_or_a_model_loaded(
    second: str, message: str
) -> None:
    first = 'reranker = "cross-encoder"\nmodel = "./no-such-model"'
    configure(f'index = "nowhere"\n[[stages]]\n{first}\n[[stages]]\n{second}\n')
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_retriever(load_settings())
