from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.models.language_model import Part
from retrieve_rerank.rerankers.llm.pair_prompts import (
    LikelihoodPrompt,
    PairPrompt,
    YesNoPrompt,
    load_prompt,
)
from retrieve_rerank.rerankers.llm.published_prompts import LIKELIHOOD, YES_NO

OWN = {"messages": ["{query} | {document} ?"], "yes": "1", "no": "0"}


def load(prompt: Mapping[str, Any] | Path | str | None, model: str = "mine") -> YesNoPrompt:
    return load_prompt(prompt, YES_NO, YesNoPrompt, model=model)


def test_fields_are_filled_in_once_and_other_braces_are_text() -> None:
    prompt = PairPrompt(messages=[(None, "{query} {x} {document}{instruction}")])
    [piece] = prompt.render("{document}", "{query}", "{query}").pieces
    assert piece.parts == (
        Part("{document}", "query"),
        Part(" {x} "),
        Part("{query}", "document"),
        Part("{query}"),
    )


def test_an_instruction_is_the_prompts_own_unless_the_query_has_one() -> None:
    prompt = PairPrompt(
        messages=[(None, "{instruction}{query}{document}")],
        instruction="own",
        instruction_format="do: {instruction}\n",
    )
    assert prompt.render("q", "d").pieces[0].parts[0] == Part("do: own\n")
    assert prompt.render("q", "d", "this").pieces[0].parts[0] == Part("do: this\n")
    assert prompt.render("q", "d", "").pieces[0].parts[0] == Part("q", "query")


def test_a_model_of_the_hub_has_its_own_prompt() -> None:
    assert load(None, "Qwen/Qwen3-Reranker-4B") is YES_NO["qwen3-reranker"]
    assert load("monot5") is YES_NO["monot5"]
    assert load(OWN) == YesNoPrompt(messages=[(None, OWN["messages"][0])], yes="1", no="0")


def test_a_folder_records_the_prompt_that_its_model_was_trained_with(tmp_path: Path) -> None:
    file = tmp_path / "retrieve_rerank.json"
    file.write_text(json.dumps({"prompt": OWN}), encoding="utf-8")
    assert load(None, str(tmp_path)) == load(OWN)
    assert load("monot5", str(tmp_path)) is YES_NO["monot5"]
    file.write_text(json.dumps({"prompt": "monot5"}), encoding="utf-8")
    assert load(None, str(tmp_path)) is YES_NO["monot5"]
    file.write_text(json.dumps({"prompt": 7}), encoding="utf-8")
    with pytest.raises(ModelError, match="says prompt is 7; expected a name or an object"):
        load(None, str(tmp_path))


def test_a_missing_prompt_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no prompt is known for mine; name one of qwen3-rerank"):
        load(None)
    with pytest.raises(ConfigError, match="unknown prompt 'qwen4'; known: qwen3-reranker"):
        load("qwen4")


@pytest.mark.parametrize("config", [None, "{}"])
def test_a_folder_of_gguf_alone_needs_more_than_a_prompt(
    tmp_path: Path, config: str | None
) -> None:
    (tmp_path / "tiny.Q4_1.gguf").write_bytes(b"GGUF")
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    for model in (str(tmp_path), str(tmp_path / "tiny.Q4_1.gguf")):
        with pytest.raises(ModelError, match=r"is GGUF, .* or make it a folder of safetensors"):
            load(None, model)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="no prompt is known"):
        load(None, str(tmp_path))


def test_prompts_are_read_from_toml_and_json(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(OWN), encoding="utf-8")
    (tmp_path / "own.toml").write_text(
        'yes = "是"\nno = "否"\nscore = "softmax"\n\n[[messages]]\nrole = "user"\n'
        'text = "查询：{query} 文档：{document}"\n',
        encoding="utf-8",
    )
    assert load(tmp_path / "own.json") == load(OWN)
    (tmp_path / "own.json").write_text(json.dumps(OWN), encoding="utf-8-sig")
    assert load(tmp_path / "own.json") == load(OWN)
    chinese = load(str(tmp_path / "own.toml"))
    assert chinese.messages == [("user", "查询：{query} 文档：{document}")]
    assert (chinese.yes, chinese.no, chinese.score) == ("是", "否", "softmax")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": ["{query}"]}, r"must contain \{document\} and \{query\}"),
        ({"messages": []}, r"must contain \{document\} and \{query\}"),
        ({"messages": [{"role": "judge", "text": "{query}{document}"}]}, "has roles"),
        (
            {"messages": ["{query}", {"role": "user", "text": "{document}"}]},
            "gives some messages a role and others none",
        ),
        ({"messages": [{"role": "user"}]}, "messages are texts, or have a role and a text"),
        ({"messages": [7]}, "messages are texts, or have a role and a text"),
        ({"yess": "1"}, "sets yess; known: messages"),
        ({"score": "sigmoid"}, "score: Input should be 'log-odds', 'softmax', .*; got 'sigmoid'"),
        ({"no": 3}, "the prompt cannot be used: no: Input should be a valid string; got 3$"),
        ({"max_tokens": "many"}, "max_tokens: Input should be a valid integer, .*; got 'many'"),
        ({"messages": [{"text": 3}]}, "messages.0.1: Input should be a valid string; got 3"),
        ({"models": "mine"}, "models: .*; got 'mine'"),
        ({"no": None}, "has no word for `no`"),
    ],
)
def test_prompts_that_cannot_be_used_are_clear_errors(
    change: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load({**OWN, **change})


def test_files_that_cannot_be_read_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the prompt"):
        load(tmp_path / "missing.toml")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ConfigError, match="is a list; expected names and values"):
        load(tmp_path / "list.json")


def test_the_query_is_no_part_of_a_prompt_for_its_likelihood() -> None:
    with pytest.raises(ConfigError, match=r"must contain \{document\}, and nothing else"):
        load_prompt({"messages": ["{query}{document}"]}, LIKELIHOOD, LikelihoodPrompt, model="mine")


@pytest.mark.parametrize("suffix", ["", "?thinking=off"])
def test_a_hub_id_behind_a_server_finds_its_published_prompt(suffix: str) -> None:
    model = f"openai:Qwen/Qwen3-Reranker-4B{suffix}"
    assert load_prompt(None, YES_NO, YesNoPrompt, model=model) is YES_NO["qwen3-reranker"]
    with pytest.raises(ConfigError, match=r"no prompt is known for ollama:qwen3:8b; .*--prompt"):
        load_prompt(None, YES_NO, YesNoPrompt, model="ollama:qwen3:8b")
