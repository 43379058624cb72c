"""Each prompt against its authors' way of putting it together, token for token.

The strings are copied from the sources named; the ways of joining them are written anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from retrieve_rerank.models.language_model import Part, Prompt
from retrieve_rerank.models.tokenizers.prompts import PromptTokenizer
from retrieve_rerank.rerankers.llm.published_prompts import (
    LIKELIHOOD,
    SCALAR,
    YES_NO,
    load_scalar_prompt,
    rag_retrieval,
)
from tests.models.tiny_language_models import make_tokenizer

QUERY = "What is the capital of China?"
DOCUMENT = "The capital of China is Beijing."


class Tokenizers:
    def __init__(self, folder: Path, family: str) -> None:
        make_tokenizer(family).save_pretrained(folder)
        self.ours = PromptTokenizer(folder)
        self.theirs: Any = AutoTokenizer.from_pretrained(str(folder))

    def plain(self, *texts: str) -> list[int]:
        """Tokenise texts apart, without special tokens around them, and join them."""
        encoded = [self.theirs(text, add_special_tokens=False)["input_ids"] for text in texts]
        return [number for ids in encoded for number in ids]

    def read(self, prompt: Prompt, *, ended: bool = False) -> list[int]:
        return self.ours.encode([prompt], max_tokens=4096, ended=ended)[0].ids


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Tokenizers:
    return Tokenizers(tmp_path_factory.mktemp("qwen"), "qwen3")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Tokenizers:
    return Tokenizers(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Tokenizers:
    return Tokenizers(tmp_path_factory.mktemp("t5"), "t5")


def test_qwen3_reranker(qwen: Tokenizers) -> None:
    # https://huggingface.co/Qwen/Qwen3-Reranker-0.6B#transformers-usage
    prefix = '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'  # noqa: E501
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    instruction = "Given a web search query, retrieve relevant passages that answer the query"
    pair = f"<Instruct>: {instruction}\n<Query>: {QUERY}\n<Document>: {DOCUMENT}"
    prompt = YES_NO["qwen3-reranker"]
    assert qwen.read(prompt.render(QUERY, DOCUMENT)) == qwen.plain(prefix, pair, suffix)
    other = pair.replace(instruction, "Retrieve text that contradicts the claim")
    assert qwen.read(
        prompt.render(QUERY, DOCUMENT, "Retrieve text that contradicts the claim")
    ) == qwen.plain(prefix, other, suffix)
    assert (prompt.yes, prompt.no, prompt.score) == ("yes", "no", "log-odds")


def test_bge_reranker_gemma(llama: Tokenizers) -> None:
    # https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/reranker/decoder_only/base.py
    task = "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a prediction of either 'Yes' or 'No'."  # noqa: E501
    bos = llama.theirs.bos_token_id
    expected = [bos, *llama.plain(f"A: {QUERY}", "\n", f"B: {DOCUMENT}", "\n", task)]
    prompt = YES_NO["bge-reranker-gemma"]
    assert llama.read(prompt.render(QUERY, DOCUMENT)) == expected
    assert (prompt.yes, prompt.no, prompt.score) == ("Yes", None, "logit")


def test_mxbai_rerank_v2(qwen: Tokenizers) -> None:
    # https://github.com/mixedbread-ai/mxbai-rerank/blob/main/mxbai_rerank/mxbai_rerank_v2.py
    prefix = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\n"  # noqa: E501
    task = "You are a search relevance expert who evaluates how well documents match search queries. For each query-document pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"  # noqa: E501
    suffix = "<|im_end|>\n<|im_start|>assistant\n"
    document = f"document: {DOCUMENT}"
    prompt = YES_NO["mxbai-rerank-v2"]
    assert qwen.read(prompt.render(QUERY, DOCUMENT)) == qwen.plain(
        prefix, f"query: {QUERY}", "\n", document, "\n", task, suffix
    )
    asked = f"instruction: Find code\nquery: {QUERY}"
    assert qwen.read(prompt.render(QUERY, DOCUMENT, "Find code")) == qwen.plain(
        prefix, asked, "\n", document, "\n", task, suffix
    )
    assert (prompt.yes, prompt.no, prompt.score) == ("1", "0", "log-odds")


def test_monot5(t5: Tokenizers) -> None:
    # https://github.com/castorini/pygaggle/blob/master/pygaggle/model/tokenize.py
    expected = t5.theirs(f"Query: {QUERY} Document: {DOCUMENT} Relevant:")["input_ids"]
    prompt = YES_NO["monot5"]
    assert t5.read(prompt.render(QUERY, DOCUMENT), ended=True) == expected
    # transformer.py names the tokens ▁true and ▁false
    found = [t5.theirs.convert_ids_to_tokens(n) for n in t5.ours.first_tokens(["true", "false"])]
    assert found == ["▁true", "▁false"]
    assert (prompt.yes, prompt.no) == ("true", "false")


def test_rankt5(t5: Tokenizers) -> None:
    # https://arxiv.org/abs/2210.10634, section 4: "Query: {query} Document: {document}"
    expected = t5.theirs(f"Query: {QUERY} Document: {DOCUMENT}")["input_ids"]
    prompt = YES_NO["rankt5"]
    assert t5.read(prompt.render(QUERY, DOCUMENT), ended=True) == expected
    [token] = t5.ours.first_tokens([prompt.yes])
    assert t5.theirs.convert_ids_to_tokens(token) == "<extra_id_10>"


def test_bge_reranker_layerwise(llama: Tokenizers) -> None:
    # https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/reranker/decoder_only/layerwise.py
    task = "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a prediction of either 'Yes' or 'No'."  # noqa: E501
    bos = llama.theirs.bos_token_id
    expected = [bos, *llama.plain(f"A: {QUERY}", "\n", f"B: {DOCUMENT}", "\n", task)]
    assert llama.read(SCALAR["bge-reranker-layerwise"].render(QUERY, DOCUMENT)) == expected


def test_rankllama(llama: Tokenizers) -> None:
    # https://huggingface.co/castorini/rankllama-v1-7b-lora-passage#usage, and
    # https://github.com/texttron/tevatron/blob/main/examples/rankllama/data.py
    expected = llama.theirs(f"query: {QUERY}", f"document: {DOCUMENT}")["input_ids"]
    assert llama.read(SCALAR["rankllama"].render(QUERY, DOCUMENT)) == expected


def test_rag_retrievals_decoder_with_its_settings(qwen: Tokenizers) -> None:
    # https://github.com/NovaSearch-Team/RAG-Retrieval, rag_retrieval/train/reranker
    query, document = f"query: {QUERY}", f"document: {DOCUMENT}"
    expected = qwen.plain(query, "\n", document, "\nrelevance")
    assert qwen.read(rag_retrieval().render(QUERY, DOCUMENT)) == expected
    older = rag_retrieval(special_token="</s>", query_format="查询: {}")
    settings = {"special_token": "</s>", "query_format": "查询: {}"}
    assert load_scalar_prompt(settings, model="any") == older
    expected = qwen.plain(f"查询: {QUERY}", "\n", document, "</s>")
    assert qwen.read(older.render(QUERY, DOCUMENT)) == expected


def test_upr() -> None:
    # https://github.com/DevSinghSachan/unsupervised-passage-reranking/blob/main/upr.py
    head, verbalizer = "Passage: ", "Please write a question based on this passage."
    title, text = "Beijing", DOCUMENT
    expected = "{} {} {}. {}".format(head, title, text, verbalizer)  # noqa: UP032
    assert written(LIKELIHOOD["upr"].render(QUERY, f"{title} {text}")) == expected


def test_rankinggpt() -> None:
    # https://github.com/Alibaba-NLP/RankingGPT/blob/main/eval.py
    expected = "Document: {doc} Query:".format(doc=DOCUMENT)  # noqa: UP032
    assert written(LIKELIHOOD["rankinggpt"].render(QUERY, DOCUMENT)) == expected


def written(prompt: Prompt) -> str:
    return "".join(part.text for piece in prompt.pieces for part in piece.parts)


def test_only_documents_and_queries_are_not_the_templates() -> None:
    for prompt in (*YES_NO.values(), *SCALAR.values(), *LIKELIHOOD.values()):
        parts = [part for piece in prompt.render("q", "d", "i").pieces for part in piece.parts]
        assert Part("d", "document") in parts
        assert {part.text for part in parts if part.kind != "frame"} <= {"q", "d"}
