"""Comparisons by real networks, against computations pair by pair through transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, normalizers
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from retrieve_rerank import Document, rank
from retrieve_rerank.models.causal.torch_language_model import (
    TorchLanguageModel,
    load_language_model,
)
from retrieve_rerank.models.tokenizers.prompts import PromptTokenizer
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.setwise import Setwise
from tests.models.tiny_language_models import make_language_model

QUERY = "which wing flutter was measured?"
TEXTS = ["The cat sat on the mat.", "Wing flutter was measured.", "short", ""]
HITS = rank((Document(str(n), text), -float(n)) for n, text in enumerate(TEXTS))


class Reference:
    """A checkpoint as transformers runs it, one prompt at a time."""

    def __init__(self, folder: Path, kind: Any) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.network: Any = kind.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def next_token(self, text: str) -> torch.Tensor:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return torch.as_tensor(self.network(torch.tensor([ids])).logits[0, -1])

    @torch.no_grad()
    def likelihood(self, text: str, answer: str) -> float:
        before = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = self.tokenizer(text + answer, add_special_tokens=False)["input_ids"]
        assert whole[: len(before)] == before
        steps = self.network(torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(float(steps[n - 1, whole[n]]) for n in range(len(before), len(whole)))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("qwen"), "qwen3", positions=1024)


@pytest.fixture(scope="module")
def model(qwen: Path) -> TorchLanguageModel:
    return load_language_model(str(qwen), device="cpu", threads=1)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("t5"), "t5")


def chat(user: str, *, system: str | None = None, begun: str | None = None) -> str:
    """Qwen3's turns, with thinking left out."""
    before = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    answer = "<think>\n\n</think>\n\n" if begun is None else begun
    return f"{before}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{answer}"


def prp(first: str, second: str) -> str:
    return chat(
        f"Given a query {QUERY}, which of the following two passages is more relevant to the"
        f" query?\n\nPassage A: {first}\n\nPassage B: {second}\n\nOutput Passage A or Passage B:"
    )


def test_duo_t5_adds_up_the_probabilities_of_true(t5: Path) -> None:
    reference = Reference(t5, AutoModelForSeq2SeqLM)
    true, false = (reference.tokenizer(word)["input_ids"][0] for word in ("true", "false"))
    expected = [0.0] * len(TEXTS)
    for i, j in permutations(range(len(TEXTS)), 2):
        text = f"Query: {QUERY} Document0: {TEXTS[i]} Document1: {TEXTS[j]} Relevant:"
        inputs = reference.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = reference.network(**inputs, decoder_input_ids=torch.tensor([[0]])).logits
        probability = float(logits[0, 0, [true, false]].softmax(-1)[0])
        expected[i] += probability
        expected[j] += 1 - probability
    reranker = Pairwise(
        load_language_model(str(t5), device="cpu", threads=1), prompt="duo-t5", method="sym-sum"
    )
    found = {hit.document.id: hit.score for hit in reranker.rerank(QUERY, HITS).hits}
    assert found == {str(n): pytest.approx(s, abs=1e-4) for n, s in enumerate(expected)}


def test_prp_compares_the_likelihoods_of_both_answers(
    qwen: Path, model: TorchLanguageModel
) -> None:
    reference = Reference(qwen, AutoModelForCausalLM)
    expected = [0.0] * len(TEXTS)
    for i, j in permutations(range(len(TEXTS)), 2):
        text = prp(TEXTS[i], TEXTS[j])
        margin = reference.likelihood(text, "Passage A") - reference.likelihood(text, "Passage B")
        expected[i] += 1 / (1 + math.exp(-margin))
    reranker = Pairwise(model, method="sum")
    found = {hit.document.id: hit.score for hit in reranker.rerank(QUERY, HITS).hits}
    assert found == {str(n): pytest.approx(s, abs=1e-4) for n, s in enumerate(expected)}


def test_prp_sorts_as_all_its_agreeing_answers_say(qwen: Path, model: TorchLanguageModel) -> None:
    reference = Reference(qwen, AutoModelForCausalLM)
    for i, j in [(0, 1), (1, 2), (2, 3)]:
        forth, back = (
            reference.likelihood(text, "Passage A") > reference.likelihood(text, "Passage B")
            for text in (prp(TEXTS[i], TEXTS[j]), prp(TEXTS[j], TEXTS[i]))
        )
        found = Pairwise(model).rerank(QUERY, [HITS[i], HITS[j]]).hits
        expected = [j, i] if back and not forth else [i, j]
        assert [int(hit.document.id) for hit in found] == expected


def test_setwise_takes_the_likeliest_label(qwen: Path, model: TorchLanguageModel) -> None:
    reference = Reference(qwen, AutoModelForCausalLM)
    for items in ([0, 1, 2], [1, 2, 3], [0, 2, 3]):
        passages = "\n\n".join(
            f'Passage {label}: "{TEXTS[item]}"' for label, item in zip("ABC", items, strict=True)
        )
        text = chat(
            f'Given a query "{QUERY}", which of the following passages is the most relevant one'
            f" to the query?\n\n{passages}\n\nOutput only the passage label of the most relevant"
            " passage:"
        )
        likelihoods = [reference.likelihood(text, f"Passage {label}") for label in "ABC"]
        best = items[likelihoods.index(max(likelihoods))]
        found = Setwise(model, top_k=1).rerank(QUERY, [HITS[item] for item in items]).hits
        assert int(found[0].document.id) == best


SYSTEM = (
    "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to"
    " the query"
)


def listed(texts: Sequence[str]) -> str:
    lines = "\n".join(f"[{name}] {text}" for name, text in zip("ABCD", texts, strict=True))
    return (
        f"I will provide you with {len(texts)} passages, each indicated by a alphabetical"
        " identifier []. Rank the passages based on their relevance to the search query:"
        f" {QUERY}.\n\n{lines}\nSearch Query: {QUERY}.\nRank the {len(texts)} passages above based"
        " on their relevance to the search query. All the passages should be included and listed"
        " using identifiers, in descending order of relevance. The output format should be [] > [],"
        " e.g., [B] > [A], Only respond with the ranking results, do not say any word or explain."
    )


def test_first_orders_by_the_logits_of_the_names(qwen: Path, model: TorchLanguageModel) -> None:
    reference = Reference(qwen, AutoModelForCausalLM)
    logits = reference.next_token(chat(listed(TEXTS), system=SYSTEM, begun="["))
    names = [reference.tokenizer(name)["input_ids"][0] for name in "ABCD"]
    expected = sorted(range(4), key=lambda place: -float(logits[names[place]]))
    found = Listwise(model, prompt="first").rerank(QUERY, HITS).hits
    assert [int(hit.document.id) for hit in found] == expected


def test_names_are_read_as_they_follow_the_bracket(tmp_path: Path) -> None:
    # SentencePiece has "▁A" for a word of its own, and "A" for one that follows something.
    vocabulary = {token: n for n, token in enumerate(["<unk>", "▁", "A", "B", "▁A", "▁B", "["])}
    tokenizer = Tokenizer(BPE(vocabulary, [("▁", "A"), ("▁", "B")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    fast: Any = PreTrainedTokenizerFast  # its constructor has no types
    fast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path)
    ours = PromptTokenizer(tmp_path)
    assert ours.first_tokens(["A", "B"]) == [vocabulary["▁A"], vocabulary["▁B"]]
    assert ours.first_tokens(["A", "B"], attached=True) == [vocabulary["A"], vocabulary["B"]]


def test_texts_that_were_not_read_whole_are_counted_once(qwen: Path) -> None:
    short = load_language_model(str(qwen), device="cpu", threads=1, max_tokens=300)
    texts = ["wing flutter " * 200, "short", "cat mat " * 300, "attack"]
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate(texts))
    for reranker in (Pairwise(short, method="wins"), Setwise(short)):
        assert reranker.rerank(QUERY, hits).truncated == 2
