"""Model folders that anyone may have written: one clear error each, and no code run."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieve_rerank.errors import ModelError, RetrieveRerankError
from retrieve_rerank.models.checkpoints.description import describe
from retrieve_rerank.models.checkpoints.folder_files import MOST_TEXT
from retrieve_rerank.models.checkpoints.projection import read_projection
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.loading import find_checkpoint, load_encoder, load_tokenizer

Spoil = Callable[[Path], None]

DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
VOCABULARY = "tokenizer.json"


def write(file: str, content: str | bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def say(file: str, **values: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        found = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        (folder / file).write_text(json.dumps({**found, **values}))

    return spoil


def put(file: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return spoil


def lengthen(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(MOST_TEXT + 1)  # sparse: it takes no room on the disk


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    """A copy of the encoder that comes with the package."""
    folder = tmp_path / "model"
    shutil.copytree(resolve("all-MiniLM-L6-v2"), folder)
    return folder


SPOILT = {
    "a pipe": (put("config.json", os.mkfifo), "config.json is a named pipe; expected a regular"),
    "a device": (put(VOCABULARY, lambda f: f.symlink_to("/dev/zero")), "is a device; expected a"),
    "a link to nothing": (
        put("config.json", lambda f: f.symlink_to("gone")),
        "link to what",
    ),
    "a folder": (
        put("config.json", Path.mkdir),
        "config.json is a folder; expected",
    ),
    "a pipe that is not read": (put("LICENSE", os.mkfifo), "LICENSE is a named pipe"),
    "a long one": (put(VOCABULARY, lengthen), "134,217,729 bytes; expected at most 134,217,728"),
    "an empty one": (
        write("config.json", ""),
        "config.json: it is empty; download",
    ),
    "deep": (write("modules.json", DEEP), "modules.json is nested too deep"),
    "no JSON": (write("1_Pooling/config.json", "{'a'}"), "it is no JSON: Expecting property name"),
    "bytes": (write("config.json", b"\xff\xfe"), "config.json is not in UTF-8"),
    "a list": (write("retrieve_rerank.json", "[7]"), "holds a list of 1; expected a JSON object"),
    "no modules": (write("modules.json", "null"), "something else than a list of modules"),
    "modules elsewhere": (
        write("modules.json", '[{"type": "x.Transformer", "path": "../../etc"}]'),
        "names a module in '../../etc'; expected a folder within it",
    ),
    "a module without a path": (write("modules.json", '[{"type": "a.b"}]'), "of module 0"),
    "a text for a number": (
        say("config.json", hidden_size="384"),
        'config.json says hidden_size is "384"; expected a whole number from 1 to 262,144',
    ),
    "a negative size": (say("sentence_bert_config.json", max_seq_length=-5), "is -5; expected"),
    "layers without end": (
        say("config.json", num_hidden_layers=10**9),
        "num_hidden_layers is 1000000000; expected a whole number from 0 to 1,024",
    ),
    "layers of a part": (say("config.json", text_config={"n_layer": 5000}), "n_layer is 5000"),
    "no number": (say("tokenizer_config.json", model_max_length=math.nan), "is NaN; expected"),
    "a list for a text": (say("tokenizer_config.json", pad_token=["a"]), "a list of 1; expected"),
    "few tokens": (say("sentence_bert_config.json", max_seq_length=2), "read 2 tokens; expected 8"),
    "a side": (say("tokenizer_config.json", truncation_side="up"), 'expected "left" or "right"'),
    "prompts": (say("config_sentence_transformers.json", prompts=[1]), "says prompts is a list"),
    "a pooling": (say("1_Pooling/config.json", pooling_mode="wild"), "by 'wild', which is unknown"),
    "a template": (say("retrieve_rerank.json", template="{nope"), "template that cannot be used"),
    "a weight": (say("retrieve_rerank.json", weight=1.5), "is 1.5; expected a number from 0 to 1"),
    "a precision": (say("retrieve_rerank.json", export={"precision": [8]}), "is a list of 1"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_amiss_is_named_with_its_file(bundled: Path, name: str) -> None:
    spoil, expected = SPOILT[name]
    spoil(bundled)

    with pytest.raises(ModelError) as raised:
        describe(str(bundled))
    assert expected in str(raised.value)
    assert str(bundled) in str(raised.value)
    assert len(str(raised.value)) < 600


def test_a_home_folder_is_not_searched_for_a_model(tmp_path: Path) -> None:
    for number in range(10_001):
        (tmp_path / f"{number}").touch()
    with pytest.raises(ModelError, match="more than 10,000 files; expected the folder"):
        describe(str(tmp_path))


def test_vectors_of_another_length_than_recorded_are_an_error(bundled: Path) -> None:
    say("config.json", hidden_size=100)(bundled)
    with pytest.raises(ModelError, match="gives 384 numbers for a token; expected 100"):
        load_encoder(str(bundled)).embed_queries(["a"])


HEADERS = {
    "nothing": (b"", "0 bytes) holds no safetensors"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
    "a length that lies": ((10**15).to_bytes(8, "little"), "or was cut short"),
    "no JSON": ((3).to_bytes(8, "little") + b"{a}", "holds no safetensors"),
    "a list": ((2).to_bytes(8, "little") + b"[]", "holds no safetensors"),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'touch run'\ntR.", "holds no safetensors"),
    "no tensor": ((7).to_bytes(8, "little") + b'{"a":1}', "as 'a' holds no tensor"),
    "offsets that lie": (
        (58).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36000]}}',
        "says its bytes are 66 to 36,066; it has 66: the file was cut short",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_weights_that_are_none_are_named(tmp_path: Path, name: str) -> None:
    content, expected = HEADERS[name]
    write("model.safetensors", content)(tmp_path)

    with pytest.raises(ModelError) as raised:
        read_projection(tmp_path)
    assert expected in str(raised.value)
    assert str(tmp_path / "model.safetensors") in str(raised.value)

    write("config.json", '{"model_type": "bert"}')(tmp_path)
    with pytest.raises(ModelError) as again:
        describe(str(tmp_path), device="cpu")
    assert str(again.value) == str(raised.value), "a network's weights alike"


def name_in_an_index(file: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "a.bin")
        say("model.safetensors.index.json", weight_map={"w": file})(folder)

    return spoil


NETWORKS: dict[str, tuple[Spoil, str]] = {
    "a pickle behind an index": (
        name_in_an_index("a.bin"),
        "names 'a.bin'; expected a .safetensors file beside it",
    ),
    "a file of another folder": (
        name_in_an_index("../a.safetensors"),
        "names '../a.safetensors'; expected a .safetensors file beside it",
    ),
    "sizes beyond the weights": (say("config.json", vocab_size=10**7), "more numbers than model.s"),
    "other shapes": (say("config.json", vocab_size=5), "other shapes than its config.json says"),
    "code of its own": (
        say("config.json", model_type="x", auto_map={"AutoModel": "x.Y", "AutoConfig": "x.Z"}),
        "it needs code of its own, which is not run",
    ),
    "an adapter": (write("adapter_config.json", "{}"), "holds an adapter"),
    "a wrong part": (say("config.json", hidden_dropout_prob="a"), "expected float, got str"),
    "a quantisation": (say("config.json", quantization_config=7), "transformers cannot load"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_cannot_be_are_errors_of_ours(
    cross_encoder: Path, tmp_path: Path, name: str
) -> None:
    from retrieve_rerank.models.loading import load_pair_model

    spoil, expected = NETWORKS[name]
    folder = tmp_path / "model"
    shutil.copytree(cross_encoder, folder)
    spoil(folder)
    with pytest.raises(ModelError) as raised:
        load_pair_model(str(folder), device="cpu")
    assert expected in str(raised.value)
    assert str(folder) in str(raised.value)


def test_more_tokens_than_positions_are_an_error(cross_encoder: Path, tmp_path: Path) -> None:
    from retrieve_rerank.rerankers.cross_encoder import CrossEncoder

    folder = tmp_path / "model"
    shutil.copytree(cross_encoder, folder)
    say("sentence_bert_config.json", max_seq_length=512)(folder)
    with pytest.raises(ModelError, match="a token or a position beyond its tables"):
        CrossEncoder(str(folder), device="cpu").score("a", ["cat " * 500])


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=2),
    st.dictionaries(st.sampled_from(["a", "0", "length", "content"]), st.integers(), max_size=2),
)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10**6), value=VALUES)
def test_any_setting_of_any_value_is_used_or_refused(
    bundled: Path, seed: int, value: object
) -> None:
    chosen = random.Random(seed)
    file = chosen.choice(sorted(bundled.rglob("*.json")))
    before = file.read_text()
    found: Any = json.loads(before)
    place = found
    while isinstance(place, dict | list) and place:
        key = chosen.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or chosen.random() < 0.3:
            place[key] = value
            break
        place = inner
    file.write_text(json.dumps(found))
    try:
        describe(str(bundled))
        load_tokenizer(find_checkpoint(str(bundled)).folder).encode(["a wing", "", "a " * 600])
    except RetrieveRerankError as error:
        assert len(str(error)) < 1000
    finally:
        file.write_text(before)
