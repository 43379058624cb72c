"""Published prompts over one query and one document.

The words are their authors', from the sources named beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieve_rerank.rerankers.llm.pair_prompts import (
    LikelihoodPrompt,
    PairPrompt,
    YesNoPrompt,
    load_prompt,
)

_BGE_TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the"
    " query by providing a prediction of either 'Yes' or 'No'."
)
_BGE_MESSAGES = [
    *((None, "A: {query}"), (None, "\n"), (None, "B: {document}"), (None, "\n")),
    (None, _BGE_TASK),
]
_MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For"
    " each query-document pair, carefully analyze the semantic relationship between them, then"
    " provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)

YES_NO: Mapping[str, YesNoPrompt] = {
    "qwen3-reranker": YesNoPrompt(
        messages=[
            (
                None,
                "<|im_start|>system\nJudge whether the Document meets the requirements based on"
                " the Query and the Instruct provided. Note that the answer can only be"
                ' "yes" or "no".<|im_end|>\n<|im_start|>user\n',
            ),
            (None, "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"),
            (None, "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ],
        yes="yes",
        no="no",
        instruction="Given a web search query, retrieve relevant passages that answer the query",
        max_tokens=8192,
        models=[f"Qwen/Qwen3-Reranker-{size}" for size in ("0.6B", "4B", "8B")],
        source="https://huggingface.co/Qwen/Qwen3-Reranker-0.6B",
    ),
    "bge-reranker-gemma": YesNoPrompt(
        messages=_BGE_MESSAGES,
        yes="Yes",
        score="logit",
        max_tokens=1024,
        models=["BAAI/bge-reranker-v2-gemma"],
        source="https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/"
        "reranker/decoder_only/base.py",
    ),
    "mxbai-rerank-v2": YesNoPrompt(
        messages=[
            (
                None,
                "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful"
                " assistant.<|im_end|>\n<|im_start|>user\n",
            ),
            (None, "{instruction}query: {query}"),
            (None, "\n"),
            (None, "document: {document}"),
            (None, "\n"),
            (None, _MXBAI_TASK),
            (None, "<|im_end|>\n<|im_start|>assistant\n"),
        ],
        yes="1",
        no="0",
        instruction_format="instruction: {instruction}\n",
        max_tokens=8192,
        models=["mixedbread-ai/mxbai-rerank-base-v2", "mixedbread-ai/mxbai-rerank-large-v2"],
        source="https://github.com/mixedbread-ai/mxbai-rerank/blob/main/mxbai_rerank/"
        "mxbai_rerank_v2.py",
    ),
    "monot5": YesNoPrompt(
        messages=[(None, "Query: {query} Document: {document} Relevant:")],
        yes="true",
        no="false",
        max_tokens=512,
        models=[
            f"castorini/monot5-{which}"
            for which in (
                "base-msmarco",
                "base-msmarco-10k",
                "large-msmarco",
                "large-msmarco-10k",
                "3b-msmarco",
                "3b-msmarco-10k",
                "base-med-msmarco",
                "3b-med-msmarco",
            )
        ],
        source="https://github.com/castorini/pygaggle/blob/master/pygaggle/model/tokenize.py",
    ),
    "rankt5": YesNoPrompt(  # the first of the decoder's steps, at a token of no other use
        messages=[(None, "Query: {query} Document: {document}")],
        yes="<extra_id_10>",
        score="logit",
        max_tokens=512,
        source="Zhuang et al., SIGIR 2023, https://arxiv.org/abs/2210.10634",
    ),
}
"""Name -> prompt whose next token tells relevance."""

SCALAR: Mapping[str, PairPrompt] = {
    "bge-reranker-layerwise": PairPrompt(
        messages=_BGE_MESSAGES,
        max_tokens=1024,
        models=["BAAI/bge-reranker-v2-minicpm-layerwise"],
        source="https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/"
        "reranker/decoder_only/layerwise.py",
    ),
    "rankllama": PairPrompt(
        messages=[(None, "query: {query}"), (None, "<s>"), (None, "document: {document}")],
        source="https://github.com/texttron/tevatron/blob/main/examples/rankllama/data.py",
    ),
}
"""Name -> prompt whose last hidden state goes through a linear head."""

LIKELIHOOD: Mapping[str, LikelihoodPrompt] = {
    "upr": LikelihoodPrompt(  # two blanks, as its code writes it
        messages=[
            (None, "Passage:  {document}. Please write a question based on this passage."),
        ],
        aggregate="sum",
        max_tokens=512,
        source="https://github.com/DevSinghSachan/unsupervised-passage-reranking/blob/main/upr.py",
    ),
    "rankinggpt": LikelihoodPrompt(
        messages=[(None, "Document: {document} Query:")],
        max_tokens=512,
        source="https://github.com/Alibaba-NLP/RankingGPT/blob/main/eval.py",
    ),
}
"""Name -> prompt that the query is the likely continuation of."""


def rag_retrieval(
    *,
    query_format: str = "query: {}",
    document_format: str = "document: {}",
    seq: str = "\n",
    special_token: str = "\nrelevance",
) -> PairPrompt:
    """Make the prompt of an LLM decoder that RAG-Retrieval has trained, from its settings.

    The defaults are those of its example configuration
    (https://github.com/NovaSearch-Team/RAG-Retrieval, rag_retrieval/train/reranker).
    """
    query, document = (
        query_format.replace("{}", "{query}"),
        document_format.replace("{}", "{document}"),
    )
    return PairPrompt(messages=[(None, text) for text in (query, seq, document, special_token)])


def load_scalar_prompt(
    prompt: PairPrompt | Mapping[str, Any] | Path | str | None, *, model: str
) -> PairPrompt:
    """Return a prompt as `load_prompt` does; a mapping may hold `rag_retrieval`'s settings."""
    if isinstance(prompt, Mapping) and prompt and prompt.keys() <= _RAG_RETRIEVAL:
        return rag_retrieval(**{name: str(value) for name, value in prompt.items()})
    return load_prompt(prompt, SCALAR, PairPrompt, model=model)


_RAG_RETRIEVAL = {"query_format", "document_format", "seq", "special_token"}
