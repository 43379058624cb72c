"""What a folder records is obeyed: settings of encoders and pair models, layout by layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'torch'")

from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn

from retrieve_rerank.errors import ModelError, ModelNotFoundError
from retrieve_rerank.models.checkpoints.calibration import Calibration, write_calibration
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE, read_folder
from retrieve_rerank.models.loading import find_checkpoint, load_encoder, load_pair_model
from tests.models.tiny import MAX_TOKENS, QUERY, TEXTS, make_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("bert"), "bert")


def save(folder: Path, checkpoint: Path, *modules: Any, **settings: Any) -> SentenceTransformer:
    model = SentenceTransformer(
        modules=[Transformer(str(checkpoint)), *modules], device="cpu", **settings
    )
    model.save_pretrained(str(folder))
    return SentenceTransformer(str(folder), device="cpu")


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    "mode", ["mean", "cls", "lasttoken", "max", "weightedmean", "mean_sqrt_len_tokens"]
)
def test_every_pooling_is_that_of_sentence_transformers(
    tmp_path: Path, checkpoint: Path, mode: str
) -> None:
    original = save(tmp_path, checkpoint, Pooling(32, pooling_mode=mode))
    encoder = load_encoder(str(tmp_path), device="cpu")

    assert encoder.embed_documents(TEXTS) == pytest.approx(original.encode(TEXTS), abs=1e-4)


def test_layers_after_the_pooling_are_applied(tmp_path: Path, checkpoint: Path) -> None:
    original = save(tmp_path, checkpoint, Pooling(32), Dense(32, 20), Dense(20, 8, bias=False))
    encoder = load_encoder(str(tmp_path), device="cpu")

    assert encoder.dimension == 8
    assert encoder.embed_documents(TEXTS) == pytest.approx(original.encode(TEXTS), abs=1e-4)


def test_the_layout_of_older_versions_is_read(tmp_path: Path, checkpoint: Path) -> None:
    original = save(tmp_path, checkpoint, Pooling(32, pooling_mode="cls"), Normalize())
    kinds = ("Transformer", "Pooling", "Normalize")
    paths = ("0_Transformer", "1_Pooling", "2_Normalize")
    (tmp_path / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": i,
                    "name": str(i),
                    "path": path,
                    "type": f"sentence_transformers.models.{k}",
                }
                for i, (k, path) in enumerate(zip(kinds, paths, strict=True))
            ]
        )
    )
    (tmp_path / "0_Transformer").mkdir()
    for file in tmp_path.iterdir():
        if file.is_file() and file.name not in ("modules.json", "README.md"):
            shutil.move(file, tmp_path / "0_Transformer" / file.name)
    (tmp_path / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_cls_token": True})
    )
    edit(tmp_path / "0_Transformer" / "sentence_bert_config.json", max_seq_length=12)
    original.max_seq_length = 12
    encoder = load_encoder(str(tmp_path), device="cpu")

    assert encoder.max_tokens == 12
    assert encoder.embed_documents(TEXTS) == pytest.approx(original.encode(TEXTS), abs=1e-4)


def test_a_plain_checkpoint_is_pooled_by_the_mean(checkpoint: Path) -> None:
    original = SentenceTransformer(str(checkpoint), device="cpu")
    encoder = load_encoder(str(checkpoint), device="cpu")

    assert encoder.max_tokens == MAX_TOKENS
    assert encoder.embed_documents(TEXTS) == pytest.approx(original.encode(TEXTS), abs=1e-4)


def test_prompts_go_before_queries_and_documents(tmp_path: Path, checkpoint: Path) -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    original = save(tmp_path, checkpoint, Pooling(32), prompts=prompts)
    encoder = load_encoder(str(tmp_path), device="cpu")

    assert encoder.embed_queries([QUERY]) == pytest.approx(original.encode_query([QUERY]), abs=1e-4)
    assert encoder.embed_documents(TEXTS) == pytest.approx(
        original.encode_document(TEXTS), abs=1e-4
    )
    assert not np.allclose(encoder.embed_queries([QUERY]), encoder.embed_documents([QUERY]))


def test_truncation_is_on_the_side_recorded_and_counted(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "bert", truncation_side="left")
    original = SentenceTransformer(str(folder), device="cpu")
    encoder = load_encoder(str(folder), device="cpu")
    encodings = encoder.encode_documents(TEXTS)

    assert [encoding.truncated for encoding in encodings] == [i == 3 for i in range(len(TEXTS))]
    assert [encoding.tokens.shape[0] for encoding in encodings][3] == MAX_TOKENS
    assert encoder.embed_documents(TEXTS) == pytest.approx(original.encode(TEXTS), abs=1e-4)


def test_roberta_has_fewer_positions_than_its_table(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "roberta")
    edit(folder / "tokenizer_config.json", model_max_length=10**30)

    assert read_folder(folder).max_tokens == 64


@pytest.mark.parametrize("attend", [True, False])
def test_late_interaction_is_that_of_sentence_transformers(
    tmp_path: Path, checkpoint: Path, attend: bool
) -> None:
    transformer = Transformer(
        str(checkpoint),
        query_expansion={"strategy": "fixed", "attend": attend, "length": 20},
        document_length=16,
    )
    identity = nn.Identity()
    model = MultiVectorEncoder(
        modules=[
            transformer,
            Dense(
                32,
                8,
                bias=False,
                activation_function=identity,
                module_input_name="token_embeddings",
            ),
            MultiVectorMask(skiplist_words=[".", ",", ";"]),
            Normalize(module_input_name="token_embeddings"),
        ],
        prompts={"query": "[Q] ", "document": "[D] "},
        device="cpu",
    )
    model.save_pretrained(str(tmp_path))
    original = MultiVectorEncoder(str(tmp_path), device="cpu")
    encoder = load_encoder(str(tmp_path), device="cpu")

    assert encoder.token_dimension == encoder.dimension == 8
    for found, expected in (
        (encoder.embed_query_tokens([QUERY]), original.encode_query([QUERY])),
        (encoder.embed_document_tokens(TEXTS), original.encode_document(TEXTS)),
    ):
        for rows, expected_rows in zip(found, expected, strict=True):
            assert rows == pytest.approx(np.asarray(expected_rows), abs=1e-4)


def test_an_encoder_is_no_pair_model_and_a_pair_model_no_encoder(
    checkpoint: Path, cross_encoder: Path
) -> None:
    with pytest.raises(ModelError, match="is an encoder; expected a model that scores pairs"):
        load_pair_model(str(checkpoint))
    with pytest.raises(ModelError, match="scores pairs of texts; expected an encoder"):
        load_encoder(str(cross_encoder))


def test_pickles_are_refused_with_what_to_do(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(ModelError, match=r"pickles.*save_pretrained"):
        load_encoder(str(folder), device="cpu")


def test_an_unknown_module_is_named(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    (folder / "modules.json").write_text(
        '[{"type": "sentence_transformers.models.CNN", "path": "0"}]'
    )

    with pytest.raises(ModelError, match=r"module .sentence_transformers.models.CNN.; known"):
        load_encoder(str(folder))


def test_a_module_without_its_settings_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    save(tmp_path, checkpoint, Pooling(32))
    (tmp_path / "1_Pooling" / "config.json").unlink()

    with pytest.raises(ModelError, match=r"1_Pooling lacks config\.json"):
        load_encoder(str(tmp_path))


def test_a_folder_without_a_model_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config.json; expected a model saved"):
        load_encoder(str(tmp_path))
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        read_folder(tmp_path / "absent")


def test_a_checkpoints_own_template_is_read(tmp_path: Path, cross_encoder: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(cross_encoder, folder)
    edit(folder / "retrieve_rerank.json", template="{text}")

    assert load_pair_model(str(folder), device="cpu").template.pattern == "{text}"
    assert load_pair_model(str(cross_encoder), device="cpu").template.pattern == "{title} {text}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": 3}, "says template is 3; expected a text"),
        ({"export": [1]}, "says export is a list of 1; expected an object"),
    ],
)
def test_settings_of_another_type_are_errors(
    tmp_path: Path, cross_encoder: Path, settings: dict[str, Any], message: str
) -> None:
    shutil.copytree(cross_encoder, tmp_path / "model")
    edit(tmp_path / "model" / "retrieve_rerank.json", **settings)

    with pytest.raises(ModelError, match=message):
        read_folder(tmp_path / "model")


def test_a_long_text_is_counted_and_split(cross_encoder: Path) -> None:
    model = load_pair_model(str(cross_encoder), device="cpu")
    passages = model.passages(QUERY, TEXTS[3], overlap=4)

    assert model.score([(QUERY, text) for text in TEXTS]).truncated == 1
    assert len(passages) > 1
    assert model.score([(QUERY, passage) for passage in passages]).truncated == 0
    assert model.passages(QUERY, TEXTS[0]) == [TEXTS[0]]


def test_settings_and_weights_change_the_fingerprint(tmp_path: Path, cross_encoder: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(cross_encoder, folder)
    before = load_pair_model(str(folder), device="cpu").fingerprint
    assert before == load_pair_model(str(cross_encoder), device="cpu").fingerprint

    edit(folder / "retrieve_rerank.json", template="{text}")
    changed = load_pair_model(str(folder), device="cpu").fingerprint
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-3] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    again = load_pair_model(str(folder), device="cpu").fingerprint

    assert len({before, changed, again}) == 3


@pytest.mark.parametrize("settings", [{}, {"template": "{text} – {title}"}])
def test_a_calibration_leaves_the_fingerprint(
    tmp_path: Path, cross_encoder: Path, settings: dict[str, Any]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(cross_encoder, folder)
    if settings:
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"  # as exports are written
        (folder / SETTINGS_FILE).write_text(text)
    before = find_checkpoint(str(folder), device="cpu").fingerprint

    for slope in (1.0, 2.0):
        write_calibration(Calibration("platt", slope=slope), folder / SETTINGS_FILE)
        assert find_checkpoint(str(folder), device="cpu").fingerprint == before
    assert (before == find_checkpoint(str(cross_encoder), device="cpu").fingerprint) == (
        not settings
    )
