"""Published prompts over several documents.

The words are their authors', from the sources named beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from retrieve_rerank.rerankers.llm.comparison_prompts import LETTERS, NUMBERS, ComparisonPrompt

_DUO_T5 = ComparisonPrompt(
    source="https://arxiv.org/abs/2101.05667,"
    " https://github.com/castorini/pygaggle/blob/master/pygaggle/model/tokenize.py",
    messages=[(None, "Query: {query} {documents} Relevant:")],
    document="Document{name}: {document}",
    separator=" ",
    names=("0", "1"),
    answers=("true", "false"),
    first_token=True,
    models=[f"castorini/duot5-{kind}-msmarco" for kind in ("base", "large", "3b")]
    + [f"castorini/duot5-{kind}-msmarco-10k" for kind in ("base", "3b")],
)
_PRP = ComparisonPrompt(
    source="https://arxiv.org/abs/2306.17563",
    messages=[
        (
            None,
            "Given a query {query}, which of the following two passages is more relevant to the"
            " query?\n\n{documents}\n\nOutput Passage A or Passage B:",
        )
    ],
    document="Passage {name}: {document}",
    separator="\n\n",
    names=("A", "B"),
    answers=("Passage A", "Passage B"),
)
_SETWISE = ComparisonPrompt(
    source="https://arxiv.org/abs/2310.09497,"
    " https://github.com/ielab/llm-rankers/blob/main/llmrankers/setwise.py",
    messages=[
        (
            None,
            'Given a query "{query}", which of the following passages is the most relevant one to'
            " the query?\n\n{documents}\n\nOutput only the passage label of the most relevant"
            " passage:",
        )
    ],
    document='Passage {name}: "{document}"',
    separator="\n\n",
    names=LETTERS,
    answers=[f"Passage {name}" for name in LETTERS],
)
_RANK_GPT = ComparisonPrompt(
    source="https://arxiv.org/abs/2304.09542,"
    " https://github.com/sunnweiwei/RankGPT/blob/main/rank_gpt.py",
    messages=[
        (
            "system",
            "You are RankGPT, an intelligent assistant that can rank passages based on their"
            " relevancy to the query.",
        ),
        (
            "user",
            "I will provide you with {count} passages, each indicated by number identifier []."
            " \nRank the passages based on their relevance to query: {query}.",
        ),
        ("assistant", "Okay, please provide the passages."),
        ("user", "[{name}] {document}"),
        ("assistant", "Received passage [{name}]."),
        (
            "user",
            "Search Query: {query}. \nRank the {count} passages above based on their relevance to"
            " the search query. The passages should be listed in descending order using"
            " identifiers. The most relevant passages should be listed first. The output format"
            " should be [] > [], e.g., [20] > [19]. Only response the ranking results, do not say"
            " any word or explain.",
        ),
    ],
    names=NUMBERS,
)


def _rank_llm(identifier: str, example: str) -> str:
    return (
        f"I will provide you with {{count}} passages, each indicated by a {identifier} identifier"
        " []. Rank the passages based on their relevance to the search query: {query}.\n\n"
        "{documents}\nSearch Query: {query}.\nRank the {count} passages above based on their"
        " relevance to the search query. All the passages should be included and listed using"
        " identifiers, in descending order of relevance. The output format should be [] > [],"
        f" e.g., {example}, Only respond with the ranking results, do not say any word or explain."
    )


_RANK_VICUNA = ComparisonPrompt(
    source="https://arxiv.org/abs/2309.15088, https://github.com/castorini/rank_llm/blob/"
    "03f61be8daa29ce22d281d5b1c52e306919b4fa2/src/rank_llm/rerank/rank_listwise_os_llm.py;"
    " the turns are Vicuna's of https://github.com/lm-sys/FastChat/blob/main/fastchat/"
    "conversation.py",
    messages=[
        (
            None,
            "A chat between a curious user and an artificial intelligence assistant. The assistant"
            " gives helpful, detailed, and polite answers to the user's questions. USER: "
            + _rank_llm("numerical", "[4] > [2]")
            + " ASSISTANT:",
        )
    ],
    names=NUMBERS,
    models=["castorini/rank_vicuna_7b_v1", "castorini/rank_vicuna_7b_v1_noda"],
)
_RANK_ZEPHYR = ComparisonPrompt(
    source="https://arxiv.org/abs/2312.02724, https://github.com/castorini/rank_llm/blob/"
    "03f61be8daa29ce22d281d5b1c52e306919b4fa2/src/rank_llm/rerank/rank_listwise_os_llm.py",
    messages=[
        (
            "system",
            "You are RankLLM, an intelligent assistant that can rank passages based on their"
            " relevancy to the query",
        ),
        ("user", _rank_llm("numerical", "[2] > [1]")),
    ],
    names=NUMBERS,
    models=["castorini/rank_zephyr_7b_v1_full"],
)
_FIRST = ComparisonPrompt(
    source="https://arxiv.org/abs/2406.15657, https://github.com/gangiswag/llm-reranker/blob/"
    "2d7cba423ad555064bdfc719313570b5f9525887/scripts/utils/rank_listwise_os_llm.py",
    messages=[
        _RANK_ZEPHYR.messages[0],
        ("user", _rank_llm("alphabetical", "[B] > [A]")),
        ("assistant", "["),
    ],
    names=LETTERS,
    answers=LETTERS,
    first_token=True,
    models=["rryisthebest/First_Model", "castorini/first_mistral"],
)


def _as_chat(prompt: ComparisonPrompt) -> ComparisonPrompt:
    return replace(prompt, messages=[("user", text) for _, text in prompt.messages])


PAIRWISE: Mapping[str, ComparisonPrompt] = {
    "prp-chat": _as_chat(_PRP),
    "prp": _PRP,
    "duo-t5": _DUO_T5,
}
"""Ask which of two documents is better; "prp" is for models without a chat template."""

SETWISE: Mapping[str, ComparisonPrompt] = {
    "setwise-chat": _as_chat(_SETWISE),
    "setwise": _SETWISE,
}
"""Ask for the best of some documents; "setwise" is for models without a chat template."""

LISTWISE: Mapping[str, ComparisonPrompt] = {
    "rank-zephyr": _RANK_ZEPHYR,
    "rank-vicuna": _RANK_VICUNA,
    "rank-gpt": _RANK_GPT,
    "first": _FIRST,
}
"""Ask for all documents in order; "first" reads the order from the answer's first token."""
