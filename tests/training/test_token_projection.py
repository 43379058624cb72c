"""A projection of token vectors: what is learnt, what is kept of it, and what it costs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'train'")

import torch
from sentence_transformers import SentenceTransformer

from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.tensor_encoder import TensorEncoder
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.indexing.token_tensors import tensor_settings
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.pooling import unit_rows
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.training.token_projection.learning import (
    Asked,
    LearningSettings,
    full_scores,
    learn,
    pooled_scores,
    principal_axes,
    projection_loss,
)
from retrieve_rerank.training.token_projection.max_sim import TEMPERATURE
from retrieve_rerank.training.token_projection.proof import Measured, Verdict, judge
from retrieve_rerank.training.token_projection.saving import save_projected
from retrieve_rerank.training.token_projection.token_cache import TokenCache
from tests.models.tiny import QUERY, TEXTS, make_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = make_model(tmp_path_factory.mktemp("bert"), "bert")
    return load_encoder(str(folder), device="cpu")


def random_rows(*lengths: int, dimension: int = 6, seed: int = 3) -> list[Vectors]:
    draw = np.random.default_rng(seed)
    return [unit_rows(draw.normal(size=(n, dimension)).astype(np.float32)) for n in lengths]


def test_principal_axes_come_by_the_share_of_the_length_that_they_hold() -> None:
    sample = np.array([[3, 0, 0], [0, 0, 2], [0, 1, 0]], dtype=np.float32)
    assert np.abs(principal_axes(sample, 2)).tolist() == [[1, 0], [0, 0], [0, 1]]
    with pytest.raises(InputError, match="expected 1 to 3 dimensions"):
        principal_axes(sample, 4)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_training_scores_as_an_index_that_stores_projected_and_pooled_tokens(factor: int) -> None:
    query, *documents = random_rows(4, 5, 1, 6)
    weight = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    stored = [pool_tokens(unit_rows(rows @ weight), factor) for rows in documents]
    scores = pooled_scores(
        torch.from_numpy(weight),
        torch.from_numpy(query),
        [torch.from_numpy(rows) for rows in documents],
        pooling_factor=factor,
    )
    assert scores.numpy() == pytest.approx(max_sim(unit_rows(query @ weight), stored), abs=1e-5)


def test_losses_have_the_values_that_a_hand_computes() -> None:
    # In both dimensions the scores are 1 and 0.6; of the first alone, a sign is left: 1 and 1.
    query = torch.tensor([[1.0, 0.0]])
    documents = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])]
    first, both = torch.tensor([[1.0], [0.0]]), torch.eye(2)
    relevant = torch.tensor([True, False])

    def loss(weight: torch.Tensor, kind: str, taught: torch.Tensor | None = None) -> float:
        found = projection_loss(
            weight,
            query,
            documents,
            relevant,
            pooling_factor=2,
            loss=kind,  # type: ignore[arg-type]
            taught=taught,
        )
        return float(found)

    assert full_scores(query, documents).tolist() == pytest.approx([1, 0.6])
    gap = 0.4 / TEMPERATURE
    p = 1 / (1 + math.exp(-gap))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert loss(first, "distil") == pytest.approx(math.log(2) - entropy, abs=1e-5)
    assert loss(both, "distil") == pytest.approx(0, abs=1e-5)
    taught = torch.tensor([3.0, 1.0])  # of a cross-encoder, two logits apart
    p = 1 / (1 + math.exp(-2))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert loss(first, "distil", taught) == pytest.approx(math.log(2) - entropy, abs=1e-5)
    assert loss(first, "contrast") == pytest.approx(math.log(2), abs=1e-5)
    assert loss(both, "contrast") == pytest.approx(math.log(1 + math.exp(-gap)), abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "teacher"), [("distil", False), ("distil", True), ("contrast", False)]
)
def test_training_gets_nearer_to_what_it_is_taught(loss: str, teacher: bool) -> None:
    # All relevance is in the last two dimensions, which hold the least of the tokens' lengths.
    draw = np.random.default_rng(0)

    def tokens(kind: int, n: int) -> Vectors:
        rows = draw.normal(size=(n, 8)).astype(np.float32) * 2
        rows[:, 6:] = np.eye(2)[kind] * 1.5
        return unit_rows(rows)

    kinds = [0, 1] * 6
    queries = {f"q{i}": tokens(kind, 3) for i, kind in enumerate(kinds)}
    documents = {f"d{i}": tokens(kind, 7) for i, kind in enumerate(kinds)}
    asked = [
        Asked(
            f"q{i}",
            list(documents),
            [kind == each for each in kinds],
            [4.0 * (kind == each) for each in kinds] if teacher else None,
        )
        for i, kind in enumerate(kinds)
    ]

    def losses(weight: Vectors) -> float:
        found = (
            float(
                projection_loss(
                    torch.from_numpy(weight),
                    torch.from_numpy(queries[each.query]),
                    [torch.from_numpy(documents[text]) for text in each.texts],
                    torch.tensor(each.relevant),
                    pooling_factor=2,
                    loss=loss,  # type: ignore[arg-type]
                    taught=None if each.taught is None else torch.tensor(each.taught),
                )
            )
            for each in asked
        )
        return -sum(found, 0.0)

    axes = principal_axes(np.concatenate(list(documents.values())), 4)
    heard: list[int] = []

    def train(seed: int) -> Vectors:
        learnt = learn(
            axes,
            asked,
            queries.__getitem__,
            documents.__getitem__,
            pooling_factor=2,
            measure=losses,
            settings=LearningSettings(
                dimensions=4,
                loss=loss,  # type: ignore[arg-type]
                epochs=5,
                learning_rate=0.02,
                queries_a_step=4,
                seed=seed,
            ),
            on_progress=heard.append,
        )
        assert [epoch.number for epoch in learnt.epochs] == [0, 1, 2, 3, 4, 5]
        assert learnt.best.number > 0
        assert learnt.best.measure > learnt.epochs[0].measure
        assert losses(learnt.projection) == learnt.best.measure
        return learnt.projection

    once = train(5)
    assert sum(heard) == 5 * len(asked)
    assert np.array_equal(once, train(5))
    assert not np.array_equal(once, train(6))


def test_where_nothing_can_be_learnt_that_is_said() -> None:
    rows = random_rows(3, 4)
    alone = [Asked("q", ["d"], [True])]
    unjudged = [Asked("q", ["d", "d"], [False, False])]
    for asked, loss, why in (
        (alone, "distil", "two candidates$"),
        (unjudged, "contrast", "one of them judged relevant"),
    ):
        with pytest.raises(InputError, match=why):
            learn(
                np.eye(6, 2, dtype=np.float32),
                asked,
                lambda text: rows[0],
                lambda text: rows[1],
                pooling_factor=2,
                measure=lambda projection: 0.0,
                settings=LearningSettings(dimensions=2, loss=loss),  # type: ignore[arg-type]
            )


def test_a_saved_projection_changes_the_tokens_alone_here_and_in_sentence_transformers(
    tmp_path: Path, encoder: TextEncoder
) -> None:
    projection = np.random.default_rng(2).normal(size=(32, 12)).astype(np.float32)
    save_projected(encoder, projection, tmp_path / "model")
    projected = load_encoder(str(tmp_path / "model"), device="cpu")
    assert (projected.dimension, projected.token_dimension) == (32, 12)
    assert projected.vectors_of == encoder.fingerprint != projected.fingerprint
    modes = {file.stat().st_mode for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert len(modes) == 1, "whoever may read one file may read all"

    was, now = encoder.encode_documents(TEXTS), projected.encode_documents(TEXTS)
    for before, after in zip(was, now, strict=True):
        assert np.array_equal(before.vector, after.vector)
        assert after.tokens == pytest.approx(unit_rows(before.tokens @ projection), abs=1e-5)

    settings = tensor_settings(projected)
    assert settings.dimension == 12
    assert TensorEncoder().gives_vectors_of(encoder, settings)  # one pass serves both stages

    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert theirs.encode(TEXTS) == pytest.approx(np.stack([each.vector for each in now]), abs=1e-4)
    [tokens] = theirs.encode([QUERY], output_value="token_embeddings")
    [ours] = projected.embed_query_tokens([QUERY])
    assert unit_rows(tokens.numpy()) == pytest.approx(ours, abs=1e-4)

    with pytest.raises(ConfigError, match="has a projection of its tokens already"):
        save_projected(projected, projection, tmp_path / "again")


def test_cached_tokens_are_encoded_once_whatever_ended_the_run(
    tmp_path: Path, encoder: TextEncoder
) -> None:
    encoded: list[str] = []

    def encode(texts: list[str]) -> object:
        encoded.extend(texts)
        return encoder.encode_documents(texts)

    def opened() -> TokenCache:
        return TokenCache(tmp_path / "documents", encode, encoder.token_dimension)  # type: ignore[arg-type]

    cache = opened()
    heard: list[int] = []
    cache.add([*TEXTS[:3], TEXTS[0]], on_progress=heard.append)
    cache.close()
    assert (sorted(encoded), sum(heard)) == (sorted(TEXTS[:3]), 3)

    lines, numbers = tmp_path / "documents.jsonl", tmp_path / "documents.f16"
    with numbers.open("ab") as file:  # killed after the numbers, and within the line
        file.write(b"\1" * 100)
    with lines.open("ab") as file:
        file.write(b'["0123')
    cache = opened()
    encoded.clear()
    cache.add(TEXTS, on_progress=heard.append)
    assert sorted(encoded) == sorted(TEXTS[3:])
    cache.close()

    with lines.open("ab") as file:  # a line whose numbers never reached the disk
        file.write(b'["0123", 7]\n')
    cache = opened()
    for text, tokens in zip(TEXTS, encoder.embed_document_tokens(TEXTS), strict=True):
        assert cache.tokens(text) == pytest.approx(tokens, abs=1e-3)
    assert cache.bytes == numbers.stat().st_size
    cache.close()


def measured(name: str, *scores: float) -> Measured:
    return Measured(name, 6, {f"q{n}": score for n, score in enumerate(scores)}, 100.0, 60)


def test_a_loss_is_ruled_out_or_found_or_the_queries_are_too_few_to_tell() -> None:
    full = measured("all dimensions", *[0.5, 0.7] * 30)

    def verdict(*scores: float) -> Verdict:
        return judge(full, full, measured("trained", *scores))

    same = verdict(*[0.5, 0.7] * 30)
    assert (same.accepted, same.against_full.gain) == (True, 0)
    assert "a loss of 0.005 is ruled out" in same.sentence
    lower = verdict(*[0.49, 0.69] * 30)
    assert lower.accepted is False
    assert lower.against_full.gain == pytest.approx(-0.01)
    assert "it loses more than 0.005" in lower.sentence
    mixed = verdict(*[0.6, 0.6] * 30)  # no loss in the mean, but one may hide in the spread
    assert mixed.accepted is None
    assert mixed.against_full.low < -0.005 < mixed.against_full.high
    assert "60 queries are too few to tell whether it loses 0.005" in mixed.sentence

    few = measured("all dimensions", *[0.5, 0.7] * 5)
    assert judge(few, few, few).accepted is None  # though nothing changed in any of the ten
    nothing = measured("all dimensions", 0, 0, 0)
    with pytest.raises(InputError, match="nothing could be lost"):
        judge(nothing, nothing, nothing)
