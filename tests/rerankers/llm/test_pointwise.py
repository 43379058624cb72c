"""Scorers that ask about one document at a time, against transformers asked pair by pair."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from retrieve_rerank import Document, rank
from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.models.causal.torch_language_model import (
    TorchLanguageModel,
    load_language_model,
)
from retrieve_rerank.rerankers.llm.published_prompts import YES_NO, rag_retrieval
from retrieve_rerank.rerankers.llm.query_likelihood import QueryLikelihood
from retrieve_rerank.rerankers.llm.scalar_head import ScalarHead
from retrieve_rerank.rerankers.llm.yes_no import YesNo
from tests.models.tiny_language_models import DOCUMENTS, QUERY, make_language_model
from tests.rerankers.llm.oracle import Oracle

BEFORE = YES_NO["qwen3-reranker"].messages[0][1]
AFTER = YES_NO["qwen3-reranker"].messages[2][1]


class Folders:
    """Tiny checkpoints, each made once."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._made: dict[tuple[str, int | None], Path] = {}

    def __call__(self, family: str, labels: int | None = None) -> Path:
        key = (family, labels)
        if key not in self._made:
            folder = self._factory.mktemp(family)
            self._made[key] = make_language_model(folder, family, labels=labels, positions=2048)
        return self._made[key]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory)


@pytest.fixture(scope="module")
def qwen(folders: Folders) -> TorchLanguageModel:
    return load_language_model(str(folders("qwen3")), device="cpu", threads=1)


def hub(folder: Path, kind: Any) -> tuple[Any, Any]:
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    return kind.from_pretrained(str(folder), dtype=torch.float32).eval(), tokenizer


def qwen_logits(folder: Path, document: str) -> tuple[torch.Tensor, int, int]:
    """As the model card of Qwen3-Reranker computes them, one pair at a time."""
    network, tokenizer = hub(folder, AutoModelForCausalLM)
    instruction = "Given a web search query, retrieve relevant passages that answer the query"
    pair = f"<Instruct>: {instruction}\n<Query>: {QUERY}\n<Document>: {document}"
    ids = [
        number
        for text in (BEFORE, pair, AFTER)
        for number in tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([ids])).logits[0, -1]
    return logits, tokenizer.convert_tokens_to_ids("yes"), tokenizer.convert_tokens_to_ids("no")


def normalised(score: str) -> Callable[[torch.Tensor, int, int], float]:
    def of(logits: torch.Tensor, yes: int, no: int) -> float:
        pair = torch.stack([logits[no], logits[yes]]).double()
        return {
            "log-odds": float(logits[yes] - logits[no]),
            "softmax": float(pair.softmax(0)[1]),
            "logit": float(logits[yes]),
            "vocabulary": float(logits.double().softmax(-1)[yes]),
        }[score]

    return of


@pytest.mark.parametrize("score", ["log-odds", "softmax", "logit", "vocabulary"])
def test_yes_no_scores_are_normalised_as_published(
    folders: Folders, qwen: TorchLanguageModel, score: str
) -> None:
    known = YES_NO["qwen3-reranker"]
    messages = [text for _, text in known.messages]
    words = {"yes": "yes", "no": "no", "instruction": known.instruction}
    scorer = YesNo(qwen, prompt={"messages": messages, **words, "score": score})
    expected = [normalised(score)(*qwen_logits(folders("qwen3"), text)) for text in DOCUMENTS]
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_log_odds_are_the_default_and_squeeze_to_the_softmax(qwen: TorchLanguageModel) -> None:
    odds = YesNo(qwen, prompt="qwen3-reranker").score(QUERY, DOCUMENTS)
    squeezed = [1 / (1 + math.exp(-value)) for value in odds]
    found = YesNo(qwen, prompt="qwen3-reranker").compute_score(
        [(QUERY, text) for text in DOCUMENTS], normalize=True
    )
    assert found == pytest.approx(squeezed, abs=1e-6)


@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("是", "否"), ("1", "0")])
def test_any_pair_of_words_serves(qwen: TorchLanguageModel, yes: str, no: str) -> None:
    prompt = {"messages": ["查询: {query} 文档: {document} 相关:"], "yes": yes, "no": no}
    there = YesNo(qwen, prompt=prompt).score(QUERY, DOCUMENTS)
    back = YesNo(qwen, prompt={**prompt, "yes": no, "no": yes}).score(QUERY, DOCUMENTS)
    assert there == pytest.approx([-value for value in back], abs=1e-5)


def test_a_prompt_of_ones_own_is_written_by_the_models_chat_template(
    folders: Folders, qwen: TorchLanguageModel, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(
        'yes = "true"\nno = "false"\n\n[[messages]]\nrole = "system"\ntext = "Judge."\n\n'
        '[[messages]]\nrole = "user"\ntext = "Query: {query}\\nDocument: {document}\\nRelevant?"\n',
        encoding="utf-8",
    )
    network, tokenizer = hub(folders("qwen3"), AutoModelForCausalLM)
    true, false = (
        tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in ("true", "false")
    )
    expected = []
    for text in DOCUMENTS:
        said = [
            {"role": "system", "content": "Judge."},
            {"role": "user", "content": f"Query: {QUERY}\nDocument: {text}\nRelevant?"},
        ]
        written = tokenizer.apply_chat_template(
            said, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        ids = tokenizer(written, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = network(input_ids=torch.tensor([ids])).logits[0, -1]
        expected.append((logits[true] - logits[false]).item())
    scorer = YesNo(qwen, prompt=tmp_path / "own.toml")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_words_that_share_their_first_token_are_an_error(qwen: TorchLanguageModel) -> None:
    prompt = {"messages": ["{query}{document}"], "yes": "时", "no": "早"}
    with pytest.raises(InputError, match="'时' and '早' begin with the same token"):
        YesNo(qwen, prompt=prompt).score(QUERY, DOCUMENTS)


def test_monot5_scores_order_as_its_authors_do(folders: Folders) -> None:
    network, tokenizer = hub(folders("t5"), AutoModelForSeq2SeqLM)
    false, true = tokenizer.convert_tokens_to_ids(["▁false", "▁true"])
    expected = []
    for text in DOCUMENTS:
        ids = tokenizer(f"Query: {QUERY} Document: {text} Relevant:", return_tensors="pt").input_ids
        with torch.no_grad():
            logits = network(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        expected.append(logits[[false, true]].log_softmax(0)[1].exp().logit().item())
    scorer = YesNo(str(folders("t5")), prompt="monot5", device="cpu")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_rankt5_scores_are_the_extra_tokens_logit(folders: Folders) -> None:
    network, tokenizer = hub(folders("t5"), AutoModelForSeq2SeqLM)
    extra = tokenizer.convert_tokens_to_ids("<extra_id_10>")
    expected = []
    for text in DOCUMENTS:
        ids = tokenizer(f"Query: {QUERY} Document: {text}", return_tensors="pt").input_ids
        with torch.no_grad():
            logits = network(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits
        expected.append(logits[0, 0, extra].item())
    scorer = YesNo(str(folders("t5")), prompt="rankt5", device="cpu")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_a_linear_head_scores_as_transformers_does(folders: Folders, family: str) -> None:
    folder = folders(family, 1)
    network, tokenizer = hub(folder, AutoModelForSequenceClassification)
    expected = []
    for text in DOCUMENTS:
        pieces = [f"query: {QUERY}", "\n", f"document: {text}", "\nrelevance"]
        encoded = [tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces]
        ids = [number for piece in encoded for number in piece]
        if family == "llama":
            ids = [tokenizer.bos_token_id, *ids]
        with torch.no_grad():
            expected.append(network(input_ids=torch.tensor([ids])).logits[0, 0].item())
    scorer = ScalarHead(str(folder), prompt=rag_retrieval(), device="cpu")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_rankllama_scores_as_its_model_card_does(folders: Folders) -> None:
    folder = folders("llama", 1)
    network, tokenizer = hub(folder, AutoModelForSequenceClassification)
    expected = []
    for text in DOCUMENTS:
        inputs = tokenizer(f"query: {QUERY}", f"document: {text}", return_tensors="pt")
        with torch.no_grad():
            expected.append(network(input_ids=inputs["input_ids"]).logits[0, 0].item())
    scorer = ScalarHead(str(folder), prompt="rankllama", device="cpu")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_a_head_with_several_labels_needs_one_chosen(folders: Folders) -> None:
    folder = str(folders("llama", 3))
    with pytest.raises(InputError, match=r"gives each pair 3 labels: 0 \(LABEL_0\)"):
        ScalarHead(folder, prompt="rankllama", device="cpu")
    by_name = ScalarHead(folder, prompt="rankllama", label="LABEL_2", device="cpu")
    by_number = ScalarHead(folder, prompt="rankllama", label=2, device="cpu")
    other = ScalarHead(folder, prompt="rankllama", label=0, device="cpu")
    assert by_name.score(QUERY, DOCUMENTS) == by_number.score(QUERY, DOCUMENTS)
    assert other.score(QUERY, DOCUMENTS) != by_number.score(QUERY, DOCUMENTS)
    assert other.fingerprint != by_number.fingerprint


def test_a_model_whose_head_has_not_been_trained_is_refused(folders: Folders) -> None:
    with pytest.raises(ModelError, match="expected one for sequence classification"):
        ScalarHead(str(folders("qwen3")), prompt="rankllama", device="cpu")


def test_rankinggpt_scores_are_the_mean_over_the_tokens_of_the_query(folders: Folders) -> None:
    network, tokenizer = hub(folders("qwen3"), AutoModelForCausalLM)
    expected = []
    for text in DOCUMENTS:
        source = f"Document: {text} Query:"
        start = len(tokenizer(source)["input_ids"])
        ids = tokenizer(source + QUERY)["input_ids"]
        with torch.no_grad():
            rows = network(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        told = [rows[place - 1, ids[place]].item() for place in range(start, len(ids))]
        expected.append(sum(told) / len(told))
    scorer = QueryLikelihood(str(folders("qwen3")), prompt="rankinggpt", device="cpu")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_upr_scores_are_the_sum_over_the_tokens_of_the_query_and_its_end(folders: Folders) -> None:
    network, tokenizer = hub(folders("t5"), AutoModelForSeq2SeqLM)
    expected = []
    for text in DOCUMENTS:
        passage = f"Passage:  {text}. Please write a question based on this passage."
        ids, labels = (tokenizer(t, return_tensors="pt").input_ids for t in (passage, QUERY))
        with torch.no_grad():
            rows = network(input_ids=ids, labels=labels).logits[0].log_softmax(-1)
        expected.append(rows.gather(1, labels[0][:, None]).sum().item())
    scorer = QueryLikelihood(str(folders("t5")), prompt="upr", device="cpu")
    assert scorer.score(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-3)


def test_an_empty_query_is_as_likely_after_any_document(folders: Folders) -> None:
    scorer = QueryLikelihood(str(folders("qwen3")), prompt="rankinggpt", device="cpu")
    assert scorer.score("", ["cat", "dog"]) == [0.0, 0.0]


@pytest.fixture(scope="module", params=["yes-no", "scalar-head", "query-likelihood"])
def scorer(request: pytest.FixtureRequest, folders: Folders) -> Any:
    if request.param == "yes-no":
        return YesNo(str(folders("qwen3")), prompt="qwen3-reranker", device="cpu", max_tokens=400)
    if request.param == "scalar-head":
        return ScalarHead(
            str(folders("llama", 1)), prompt="rankllama", device="cpu", max_tokens=200
        )
    return QueryLikelihood(str(folders("qwen3")), prompt="rankinggpt", device="cpu", max_tokens=200)


def test_half_a_surrogate_pair_does_not_stop_a_search(scorer: Scorer) -> None:
    halved = "\ud83d wing"
    assert scorer.score(halved, [halved, "b"]) == pytest.approx(
        scorer.score("? wing", ["? wing", "b"]), abs=1e-5
    )
    with pytest.raises(InputError, match="expected a text; got None"):
        scorer.score(QUERY, [None])  # type: ignore[list-item]


def test_a_template_that_no_document_fills_is_noted(folders: Folders) -> None:
    scorer = QueryLikelihood(
        str(folders("qwen3")), prompt="rankinggpt", device="cpu", template="{nope}"
    )
    [note] = scorer.rerank(QUERY, rank([(Document("a", "The cat."), 0.0)])).notes
    assert note.startswith("no document has any field of the template '{nope}'")


def test_documents_are_shortened_and_counted_and_the_suffix_survives(scorer: Scorer) -> None:
    long = " ".join(DOCUMENTS * 20)
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate(["short", long]))
    assert scorer.rerank(QUERY, hits).truncated == 1
    # What comes after the cut is not read.
    assert scorer.score(QUERY, [long]) == pytest.approx(
        scorer.score(QUERY, [long + " and more"]), abs=1e-5
    )


def test_a_query_that_leaves_no_room_is_a_clear_error(scorer: Scorer) -> None:
    with pytest.raises(InputError, match="the query leaves no room for the document"):
        scorer.score(QUERY * 60, ["The cat sat on the mat, and stayed there."])


def test_threads_get_the_scores_that_one_gets_alone(scorer: Scorer) -> None:
    expected = scorer.score(QUERY, DOCUMENTS)
    found: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda: found.append(scorer.score(QUERY, DOCUMENTS)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert all(scores == pytest.approx(expected, abs=1e-5) for scores in found)


def test_the_fingerprint_tells_prompts_and_instructions_apart(qwen: TorchLanguageModel) -> None:
    scorers = [
        YesNo(qwen, prompt="qwen3-reranker"),
        YesNo(qwen, prompt="mxbai-rerank-v2"),
        YesNo(qwen, prompt="qwen3-reranker", instruction="Find code"),
    ]
    assert len({scorer.fingerprint for scorer in scorers}) == 3
    assert YesNo(qwen, prompt="qwen3-reranker").fingerprint == scorers[0].fingerprint


def test_each_query_can_have_its_own_instruction(qwen: TorchLanguageModel) -> None:
    scorer = YesNo(qwen, prompt="qwen3-reranker")
    told = YesNo(qwen, prompt="qwen3-reranker", instruction="Find code")
    assert scorer.score(QUERY, DOCUMENTS, instruction="Find code") == pytest.approx(
        told.score(QUERY, DOCUMENTS)
    )
    assert scorer.score(QUERY, DOCUMENTS) != pytest.approx(told.score(QUERY, DOCUMENTS))


def test_a_server_that_tells_no_logits_cannot_give_their_raw_values() -> None:
    with pytest.raises(ConfigError, match="tells probabilities, not logits"):
        YesNo(Oracle(tells_logits=False), prompt="bge-reranker-gemma")
