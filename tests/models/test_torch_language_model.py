from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from retrieve_rerank.errors import (
    ConfigError,
    InputError,
    ModelError,
    ModelNotFoundError,
    OutOfMemoryError,
)
from retrieve_rerank.models.causal.torch_language_model import (
    TorchLanguageModel,
    load_language_model,
)
from retrieve_rerank.models.causal.vocabulary_head import VocabularyHead
from retrieve_rerank.models.language_model import Part, Piece, Prompt
from tests.models.tiny_language_models import CAUSAL, DOCUMENTS, QUERY, make_language_model

FAMILIES = (*CAUSAL, "t5")
WORDS = ["true", "false", "yes"]
INTRODUCTION = "Judge the document by the query alone, and answer true or false. "


class Pair:
    """One checkpoint, loaded by us and by transformers, pair by pair and without any cache."""

    def __init__(self, folder: Path, family: str) -> None:
        make_language_model(folder, family)
        self.ours = load_language_model(str(folder), device="cpu", threads=1)
        kind: Any = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
        self.network = kind.from_pretrained(str(folder), dtype=torch.float32).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self.seq2seq = family == "t5"

    def word(self, text: str) -> int:
        number: int = self.tokenizer(text, add_special_tokens=False)["input_ids"][0]
        return number

    def logits(self, text: str, answer: Sequence[int] = ()) -> torch.Tensor:
        """Logits after the text and after each token of the answer; (1 + answer, vocabulary)."""
        ids = self.tokenizer(text)["input_ids"]
        with torch.no_grad():
            if self.seq2seq:
                begun = torch.tensor([[0, *answer]])
                found = self.network(input_ids=torch.tensor([ids]), decoder_input_ids=begun)
                logits: torch.Tensor = found.logits[0]
                return logits
            logits = self.network(input_ids=torch.tensor([[*ids, *answer]])).logits[0]
            return logits[len(ids) - 1 :]


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> TorchLanguageModel:
    folder = make_language_model(tmp_path_factory.mktemp("qwen"), "qwen3")
    return load_language_model(str(folder), device="cpu", threads=1)


def text_of(document: str) -> str:
    return f"{INTRODUCTION}Query: {QUERY} Document: {document} Relevant:"


def asked(document: str) -> Prompt:
    before = [Part(f"{INTRODUCTION}Query: "), Part(QUERY, "query"), Part(" Document: ")]
    return Prompt((Piece((*before, Part(document, "document"), Part(" Relevant:"))),))


PROMPTS = [asked(document) for document in DOCUMENTS]


def test_logits_are_those_of_the_pair_alone(pair: Pair) -> None:
    words = [pair.word(word) for word in WORDS]
    expected = np.stack([pair.logits(text_of(d))[0][words].numpy() for d in DOCUMENTS])
    answers = pair.ours.next_token_logits(PROMPTS, WORDS)
    assert answers.values.dtype == np.float32
    np.testing.assert_allclose(answers.values, expected, atol=1e-4)
    assert list(answers.truncated) == [()] * len(DOCUMENTS)


def test_log_probabilities_are_over_the_whole_vocabulary(pair: Pair) -> None:
    words = [pair.word(word) for word in WORDS]
    expected = np.stack(
        [pair.logits(text_of(d))[0].log_softmax(-1)[words].numpy() for d in DOCUMENTS]
    )
    found = pair.ours.next_token_log_probabilities(PROMPTS, WORDS).values
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_likelihoods_are_of_each_token_of_the_continuation(pair: Pair) -> None:
    continuations = [" The cat", " short", " which wing flutter was measured?", " a", " a b", " ü"]
    found = pair.ours.log_likelihoods(PROMPTS, continuations)
    for document, continuation, values in zip(DOCUMENTS, continuations, found.values, strict=True):
        if pair.seq2seq:
            answer = pair.tokenizer(continuation)["input_ids"]
        else:
            whole = pair.tokenizer(text_of(document) + continuation)["input_ids"]
            answer = whole[len(pair.tokenizer(text_of(document))["input_ids"]) :]
        rows = pair.logits(text_of(document), answer[:-1]).log_softmax(-1)
        expected = [rows[place, token].item() for place, token in enumerate(answer)]
        assert values.tolist() == pytest.approx(expected, abs=1e-4)
        assert len(values) >= 1


def test_answers_are_greedy_whatever_the_checkpoint_recommends(pair: Pair) -> None:
    expected = []
    for document in DOCUMENTS:
        answer: list[int] = []
        while len(answer) < 6:
            best = int(pair.logits(text_of(document), answer)[-1].argmax())
            if best in (pair.tokenizer.eos_token_id, pair.network.config.eos_token_id):
                break
            answer.append(best)
        expected.append(pair.tokenizer.decode(answer, skip_special_tokens=True))
    assert pair.ours.generate(PROMPTS, max_new_tokens=6).values == expected


def test_an_answer_ends_where_network_or_tokenizer_say(tmp_path: Path) -> None:
    folder = make_language_model(tmp_path, "qwen3")
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    network: Any = AutoModelForCausalLM.from_pretrained(str(folder))
    before = torch.tensor([tokenizer(text_of(DOCUMENTS[0]))["input_ids"]])
    ids = network.generate(before, max_new_tokens=6, do_sample=False)[0, before.shape[1] :].tolist()
    place = next(n for n, token in enumerate(ids) if n and token not in ids[:n])
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ids[place])
    tokenizer.save_pretrained(folder)
    model = load_language_model(str(folder), device="cpu")
    assert model.generate(PROMPTS[:1], max_new_tokens=6).values == [tokenizer.decode(ids[:place])]


def test_scores_do_not_depend_on_order_batch_or_company(pair: Pair) -> None:
    together = pair.ours.next_token_logits(PROMPTS, WORDS).values
    backwards = pair.ours.next_token_logits(PROMPTS[::-1], WORDS).values
    alone = [pair.ours.next_token_logits([prompt], WORDS).values[0] for prompt in PROMPTS]
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)
    np.testing.assert_allclose(np.stack(alone), together, atol=1e-5)
    assert together[1].tolist() == pytest.approx(together[4].tolist(), abs=1e-5), "the same text"
    unlike = [*PROMPTS, Prompt((Piece((Part("Something else entirely:"),)),))]  # nothing shared
    np.testing.assert_allclose(
        pair.ours.next_token_logits(unlike, WORDS).values[:-1], together, atol=1e-5
    )


def test_threads_get_what_one_gets_alone(qwen: TorchLanguageModel) -> None:
    expected = qwen.next_token_logits(PROMPTS, WORDS).values
    answers: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(qwen.next_token_logits(PROMPTS, WORDS).values)
        )
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_no_prompts_give_nothing(pair: Pair) -> None:
    assert pair.ours.next_token_logits([], WORDS).values.shape == (0, 3)
    assert pair.ours.next_token_log_probabilities([], WORDS).values.shape == (0, 3)
    assert pair.ours.log_likelihoods([], []).values == []
    assert pair.ours.generate([], max_new_tokens=3).values == []


class Watched:
    """A decoder that counts what goes through it, and runs out of memory above some tokens."""

    def __init__(self, model: TorchLanguageModel, *, largest: int) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.failed = 0
        self._states: Any = model._states
        self._decoder = self._states._decoder
        self._largest = largest

    def __call__(self, **inputs: Any) -> Any:
        shape = tuple(inputs["input_ids"].shape)
        if shape[0] * shape[1] > self._largest:
            self.failed += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.shapes.append((shape[0], shape[1]))
        return self._decoder(**inputs)

    def __enter__(self) -> Watched:
        self._states._decoder = self
        return self

    def __exit__(self, *exc: object) -> None:
        self._states._decoder = self._decoder


def test_what_prompts_share_is_read_once(qwen: TorchLanguageModel) -> None:
    [first, *_] = qwen.tokenizer.encode(PROMPTS, max_tokens=512)
    shared = first.owners.count(0) + first.owners.count(1)
    with Watched(qwen, largest=1000) as watched:
        qwen.next_token_logits(PROMPTS, WORDS)
    (rows, prefix), (batch, longest) = watched.shapes
    assert (rows, batch) == (1, len(set(PROMPTS))), "and equal ones once"
    assert prefix >= shared > 40
    whole = max(len(p.ids) for p in qwen.tokenizer.encode(PROMPTS, max_tokens=512))
    assert longest == whole - prefix


def test_answers_that_differ_in_their_last_token_are_read_once(qwen: TorchLanguageModel) -> None:
    prompts, answers = [p for p in PROMPTS[:2] for _ in range(3)], ["a 1", "a 0", "是"] * 2
    apart = [
        qwen.log_likelihoods([p], [a]).values[0] for p, a in zip(prompts, answers, strict=True)
    ]
    with Watched(qwen, largest=1000) as watched:
        found = qwen.log_likelihoods(prompts, answers).values
    for ours, expected in zip(found, apart, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert sum(rows for rows, _ in watched.shapes[1:]) == 4, "1 and 0 together, for each prompt"


def test_memory_that_runs_out_halves_the_batch_and_computes_nothing_twice(
    qwen: TorchLanguageModel,
) -> None:
    expected = qwen.next_token_logits(PROMPTS, WORDS).values
    with Watched(qwen, largest=150) as watched:
        found = qwen.next_token_logits(PROMPTS, WORDS).values
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 1 <= watched.failed <= 2, "smaller batches are kept to"
    assert sum(rows for rows, _ in watched.shapes[1:]) == len(set(PROMPTS))


def test_the_first_batch_is_never_computed_twice(qwen: TorchLanguageModel) -> None:
    with Watched(qwen, largest=1000) as watched:
        qwen.next_token_logits([PROMPTS[0]], WORDS)
    assert len(watched.shapes) == 1


def test_one_prompt_that_does_not_fit_into_memory_is_a_clear_error(
    qwen: TorchLanguageModel,
) -> None:
    with (
        Watched(qwen, largest=0),
        pytest.raises(OutOfMemoryError, match="out of memory with one prompt of"),
    ):
        qwen.next_token_logits(PROMPTS, WORDS)


def test_whatever_else_torch_fails_at_is_a_model_error(qwen: TorchLanguageModel) -> None:
    states: Any = qwen._states
    decoder, states._decoder = states._decoder, lambda **_: torch.zeros(2) @ torch.zeros(3)
    try:
        with pytest.raises(ModelError, match="torch failed on a batch"):
            qwen.next_token_logits(PROMPTS, WORDS)
    finally:
        states._decoder = decoder


def test_words_are_told_apart_by_their_first_token(qwen: TorchLanguageModel) -> None:
    with pytest.raises(InputError, match="begin with the same token"):
        qwen.next_token_logits(PROMPTS, ["yes", "yes"])


def test_a_number_of_threads_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    folder = make_language_model(tmp_path, "qwen3")
    with pytest.raises(ConfigError, match="threads must be at least 1; got 0"):
        load_language_model(str(folder), device="cpu", threads=0)


def test_long_documents_are_cut_and_counted(tmp_path: Path) -> None:
    folder = make_language_model(tmp_path, "qwen3")
    model = load_language_model(str(folder), device="cpu", max_tokens=100)
    assert model.max_tokens == 100
    answers = model.next_token_logits([asked("short"), asked(DOCUMENTS[0] * 4)], WORDS)
    assert list(answers.truncated) == [(), (0,)]
    generated = model.generate([asked(DOCUMENTS[0] * 4)], max_new_tokens=5)
    assert list(generated.truncated) == [(0,)], "room is kept for the answer"


def test_a_model_that_does_more_to_its_logits_than_is_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_language_model(tmp_path, "qwen3")
    known = VocabularyHead._apply
    monkeypatch.setattr(VocabularyHead, "_apply", lambda *args: known(*args) * 1.5)
    with pytest.raises(ModelError, match="changes its logits in a way not known here"):
        load_language_model(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["adapter_config.json"], "holds an adapter"),
        (["readme.txt"], "holds no config.json"),
        (["config.json", "pytorch_model.bin"], "holds its weights as pickles"),
        (["config.json", "model.safetensors"], "holds no safetensors, or was cut short"),
    ],
)
def test_folders_that_hold_no_usable_model_are_clear_errors(
    tmp_path: Path, files: Sequence[str], message: str
) -> None:
    for name in files:
        (tmp_path / name).write_text(json.dumps({"model_type": "qwen3"}))
    with pytest.raises(ModelError, match=message):
        load_language_model(str(tmp_path), device="cpu")


def test_an_unknown_name_is_a_clear_error() -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'nothing'"):
        load_language_model("nothing", device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="torch finds no GPU"):
            load_language_model("nothing", device="cuda")
