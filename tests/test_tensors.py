"""Token tensors added to an index that is there already."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import get_args

import numpy as np
import pytest

from retrieve_rerank import Document
from retrieve_rerank.base import Encoding, TensorDtype, TokenTensor
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.errors import IndexMismatchError, InputError, ModelError, PartialWriteError
from retrieve_rerank.indexing.tensor_filling import TensorReport
from retrieve_rerank.indexing.token_tensors import (
    add_tensors,
    tensor_settings,
    tensor_status,
)
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.testing import HashingEncoder

TOLERANCES: dict[TensorDtype, float] = {"float32": 1e-6, "float16": 5e-4, "int8": 5e-3}
QUERY = "word3 word14 word159"


def documents(count: int = 40) -> list[Document]:
    randomly = np.random.default_rng(11)
    return [
        Document(f"d{i}", " ".join(f"word{n}" for n in randomly.integers(200, size=i % 23 + 1)))
        for i in range(count)
    ]


def add(
    store: MemoryConnector, encoder: HashingEncoder, *, documents_per_s: float | None = None
) -> TensorReport:
    settings = tensor_settings(encoder)
    return add_tensors(store, encoder, settings, documents_per_s=documents_per_s)


@pytest.mark.parametrize("dtype", get_args(TensorDtype))
@pytest.mark.parametrize("pooling_factor", [1, 2])
def test_scores_agree_with_float64_to_the_precision_of_the_stored_type(
    dtype: TensorDtype, pooling_factor: int
) -> None:
    encoder, corpus = HashingEncoder(), documents()
    settings = tensor_settings(encoder, dtype=dtype, pooling_factor=pooling_factor)
    with MemoryConnector(corpus, encoder=encoder) as store:
        assert add_tensors(store, encoder, settings).added == len(corpus)
        scores = store.max_sim(QUERY, [each.id for each in corpus])
    query = encoder.encode_queries([QUERY])[0].tokens.astype(np.float64)
    for document, encoding in zip(
        corpus, encoder.encode_documents([each.text for each in corpus]), strict=True
    ):
        tokens = pool_tokens(encoding.tokens, pooling_factor).astype(np.float64)
        exact = (query @ tokens.T).max(axis=1).mean()
        assert scores[document.id] == pytest.approx(exact, abs=TOLERANCES[dtype])


def test_tensors_are_made_of_title_and_text() -> None:
    encoder = HashingEncoder()
    with MemoryConnector([Document("d", "thin wing", {"title": "Lift"})]) as store:
        add(store, encoder)
        assert store.tensor_hashes(["d"]) == {"d": content_hash("Lift thin wing")}


def test_adding_again_encodes_nothing() -> None:
    encoder = HashingEncoder()
    with MemoryConnector(documents()) as store:
        assert add(store, encoder) == TensorReport(documents=40, added=40)
        before = encoder.encoded
        assert add(store, encoder) == TensorReport(documents=40)
        assert encoder.encoded == before + 1  # the letter that tells the dimension


def test_only_what_is_missing_or_stale_is_encoded_and_orphans_go() -> None:
    encoder, corpus = HashingEncoder(), documents()
    with MemoryConnector(corpus, encoder=encoder) as store:
        add(store, encoder)
        tensor = TokenTensor("gone", content_hash("x"), encoder.encode_documents(["x"])[0].tokens)
        store.write_tensors([tensor])
        store.index([Document("d3", "changed"), Document("new", "wing"), Document("two", "pipe")])
        status = tensor_status(store)
        assert (status.documents, status.present) == (42, 39)
        assert (status.missing, status.stale, status.orphaned) == (2, 1, 1)

        assert add(store, encoder) == TensorReport(documents=42, added=2, replaced=1, deleted=1)
        status = tensor_status(store)
        assert (status.documents, status.present) == (42, 42)
        assert (status.missing, status.stale, status.orphaned) == (0, 0, 0)
        assert store.max_sim("changed", ["d3"]) == {"d3": pytest.approx(1.0, abs=5e-3)}
        assert set(store.tensor_ids()) == {each.id for each in store.scan()}


def test_an_orphan_is_found_though_as_many_tensors_are_missing() -> None:
    encoder = HashingEncoder()
    with Refusing(documents(3)) as store:
        store.refused = {"d1"}
        add(store, encoder)
        store.write_tensors([TokenTensor("gone", "", np.eye(1, 32, dtype=np.float32))])
        assert add(store, encoder).deleted == 1
        assert set(store.tensor_ids()) == {"d0", "d2"}


class Interrupted(HashingEncoder):
    """Is stopped, as by Ctrl-C, when it has encoded so many documents."""

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self.after = after

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        if self.encoded >= self.after:
            raise KeyboardInterrupt
        return super().encode_documents(texts)


def test_stopped_and_run_again_nothing_is_lost_and_nothing_done_twice() -> None:
    encoder = Interrupted(after=500)
    corpus = documents(1000)
    with MemoryConnector(corpus) as store:
        with pytest.raises(KeyboardInterrupt):
            add(store, encoder)
        written = set(store.tensor_ids())
        assert len(written) == encoder.encoded - 1
        assert tensor_status(store).missing == 1000 - len(written)
        again = HashingEncoder()
        assert add(store, again).added == 1000 - len(written) == again.encoded - 1
        assert set(store.tensor_ids()) == {each.id for each in corpus}


def test_progress_adds_up_to_the_documents() -> None:
    heard: list[int] = []
    encoder = HashingEncoder()
    with MemoryConnector(documents(300)) as store:
        add_tensors(store, encoder, tensor_settings(encoder), on_progress=heard.append)
        store.index(documents(600))
        assert sum(heard) == 300
        add_tensors(store, encoder, tensor_settings(encoder), on_progress=heard.append)
        assert sum(heard) == 300 + 600
        tensor_status(store, on_progress=heard.append)
        assert sum(heard) == 300 + 600 + 600


def test_a_rate_is_kept() -> None:
    started = time.monotonic()
    with MemoryConnector(documents(20)) as store:
        add(store, HashingEncoder(), documents_per_s=40)
    assert time.monotonic() - started >= 20 / 40


def test_an_empty_index_has_nothing_to_add() -> None:
    with MemoryConnector() as store:
        assert add(store, HashingEncoder()) == TensorReport()
        assert tensor_status(store).documents == 0


def test_without_tensors_all_documents_are_missing_one() -> None:
    with MemoryConnector(documents(5)) as store:
        status = tensor_status(store)
        assert status.settings is None
        assert (status.documents, status.missing) == (5, 5)


def test_tensors_of_other_settings_are_refused_until_they_are_dropped() -> None:
    encoder = HashingEncoder()
    with MemoryConnector(documents(5)) as store:
        add(store, encoder)
        other = tensor_settings(encoder, dtype="float16", pooling_factor=3)
        with pytest.raises(IndexMismatchError, match=r"int8.*pooled by 2.*float16.*pooled by 3"):
            add_tensors(store, encoder, other)
        store.drop_tensors()
        assert (store.tensor_settings(), list(store.tensor_ids())) == (None, [])
        assert not store.schema().token_tensors
        assert add_tensors(store, encoder, other).added == 5
        assert store.tensor_settings() == other
        assert store.schema().token_tensors
        assert store.count() == 5


class Refusing(MemoryConnector):
    """Takes no tensors of some documents, and remembers how much it was given at once."""

    refused: Collection[str] = ()
    largest = 0

    def write_tensors(self, tensors: Sequence[TokenTensor]) -> None:
        self.largest = max(self.largest, sum(each.tokens.nbytes for each in tensors))
        super().write_tensors([each for each in tensors if each.id not in self.refused])
        failures = {each.id: "too large" for each in tensors if each.id in self.refused}
        if failures:
            raise PartialWriteError(f"{len(failures)} were refused", failures)


def test_what_the_backend_refuses_is_counted_and_the_rest_is_written() -> None:
    with Refusing(documents(60)) as store:
        store.refused = {f"d{i}" for i in range(30)}
        report = add(store, HashingEncoder())
        assert (report.documents, report.added, report.refused) == (60, 30, 30)
        assert len(report.refusals) == 10
        assert set(report.refusals.values()) == {"too large"}
        assert tensor_status(store).missing == 30


def test_a_backend_that_takes_nothing_is_an_error() -> None:
    with Refusing(documents(60)) as store:
        store.refused = {f"d{i}" for i in range(60)}
        with pytest.raises(PartialWriteError):
            add(store, HashingEncoder())


def test_writes_are_bounded_in_bytes() -> None:
    long = " ".join(f"word{i}" for i in range(512))
    with Refusing([Document(f"d{i}", f"{i} {long}") for i in range(20)]) as store:
        encoder = HashingEncoder(1024, max_tokens=512)  # 2 MiB of float32 each
        add_tensors(store, encoder, tensor_settings(encoder, pooling_factor=1))
        assert 2 << 20 <= store.largest <= 8 << 20
        assert tensor_status(store).present == 20


def test_truncated_texts_are_counted() -> None:
    with MemoryConnector([Document("short", "wing"), Document("long", "wing " * 9)]) as store:
        assert add(store, HashingEncoder(max_tokens=4)).truncated == 1


def test_half_a_surrogate_pair_is_encoded_as_a_question_mark() -> None:
    with Surrogates() as store:
        assert add(store, HashingEncoder()).added == 1
        assert tensor_status(store).present == 1


class Surrogates(MemoryConnector):
    """Holds a text that no index of ours takes, and that others may hold."""

    def scan(self) -> Iterator[Document]:
        return iter([Document("d", "thin \ud83d wing")])


class Broken(HashingEncoder):
    """Gives an infinite number, or no vectors at all."""

    def __init__(self, tokens: list[list[float]]) -> None:
        super().__init__(2)
        self._tokens = np.array(tokens, dtype=np.float32).reshape(-1, 2)

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        return [Encoding(self._tokens[:1], self._tokens, truncated=False) for _ in texts]


def test_numbers_that_are_none_are_an_error_that_names_the_document() -> None:
    encoder = Broken([[float("nan"), 1.0]])
    with MemoryConnector([Document("d", "wing")]) as store, pytest.raises(ModelError, match="'d'"):
        add(store, encoder)


def test_a_text_without_scored_tokens_has_a_tensor_of_max_sim_zero() -> None:
    encoder = Broken([])
    with MemoryConnector([Document("d", "...")], encoder=encoder) as store:
        add(store, encoder)
        assert tensor_status(store).present == 1
        assert store.max_sim("wing", ["d"]) == {"d": 0.0}


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_that_never_ends_is_an_error(rate: float) -> None:
    with pytest.raises(InputError, match="documents_per_s must be above 0"):
        add(MemoryConnector(documents(1)), HashingEncoder(), documents_per_s=rate)


def test_a_pooling_factor_below_one_is_an_error() -> None:
    with pytest.raises(InputError, match="pooling factor must be at least 1; got 0"):
        tensor_settings(HashingEncoder(), pooling_factor=0)
