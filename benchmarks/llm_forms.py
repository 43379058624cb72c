"""Forms in which `benchmarks.llm_scorers` asks an instruct model, published and of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from retrieve_rerank import Hit
from retrieve_rerank.base import Reranker
from retrieve_rerank.models.language_model import LanguageModel
from retrieve_rerank.rerankers.llm.comparer import Questions
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pair_prompts import LikelihoodPrompt, YesNoPrompt
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.query_likelihood import QueryLikelihood
from retrieve_rerank.rerankers.llm.setwise import Setwise
from retrieve_rerank.rerankers.llm.yes_no import YesNo

CHAT_YES_NO = YesNoPrompt(
    messages=[
        (
            "user",
            "Query: {query}\n\nPassage: {document}\n\nDoes the passage answer the query? Answer Yes"
            " or No.",
        )
    ],
    yes="Yes",
    no="No",
)
CHAT_SOFTMAX = YesNoPrompt(messages=CHAT_YES_NO.messages, yes="Yes", no="No", score="softmax")
MONOT5_BLANK = YesNoPrompt(
    messages=[(None, "Query: {query} Document: {document} Relevant:")], yes=" true", no=" false"
)
CHAT_LIKELIHOOD = LikelihoodPrompt(
    messages=[("user", "{document}\n\nWrite the question that this passage answers.")]
)
RANKINGGPT_BLANK = LikelihoodPrompt(messages=[(None, "Document: {document} Query: ")])

PAIRS = 4
"""Hits of which all pairs are asked about, in both orders: 12 questions."""


@dataclass(frozen=True, slots=True)
class Form:
    """A reranker with its prompt and its settings."""

    name: str
    make: Callable[[LanguageModel], Reranker]
    depth: int | None = None
    """Hits that it is given; None is as many as the benchmark says."""
    compared: int = 0
    """Documents in each question, where the answer may depend on which stands first."""


FORMS: Sequence[Form] = (
    Form("yes-no, chat, log-odds", lambda model: YesNo(model, prompt=CHAT_YES_NO)),
    Form("yes-no, chat, softmax", lambda model: YesNo(model, prompt=CHAT_SOFTMAX)),
    Form("likelihood, rankinggpt, mean", lambda model: QueryLikelihood(model, prompt="rankinggpt")),
    Form("listwise, first", lambda model: Listwise(model, prompt="first")),
    Form(
        f"pairwise, prp-chat, all pairs of {PAIRS} (sym-sum)",
        lambda model: Pairwise(model, method="sym-sum"),
        depth=PAIRS,
        compared=2,
    ),
    Form(
        f"pairwise, prp-chat, heap, {PAIRS} hits",
        lambda model: Pairwise(model, method="heap"),
        depth=PAIRS,
    ),
    Form(
        "setwise, setwise-chat, heap, the best",
        lambda model: Setwise(model, top_k=1),
        compared=3,
    ),
    Form("listwise, rank-zephyr, written", lambda model: Listwise(model)),
    Form("likelihood, chat, mean", lambda model: QueryLikelihood(model, prompt=CHAT_LIKELIHOOD)),
    Form("yes-no, monot5", lambda model: YesNo(model, prompt="monot5")),
    Form("yes-no, monot5, blank before", lambda model: YesNo(model, prompt=MONOT5_BLANK)),
    Form("listwise, rank-gpt, written", lambda model: Listwise(model, prompt="rank-gpt")),
    Form("likelihood, upr, sum", lambda model: QueryLikelihood(model, prompt="upr")),
    Form(
        "likelihood, rankinggpt, blank before",
        lambda model: QueryLikelihood(model, prompt=RANKINGGPT_BLANK),
    ),
    Form(
        "setwise, setwise-chat, heap, the best, written",
        lambda model: Setwise(model, top_k=1, scoring="generation"),
    ),
    Form(
        f"pairwise, prp-chat, heap, {PAIRS} hits, written",
        lambda model: Pairwise(model, method="heap", scoring="generation"),
        depth=PAIRS,
    ),
)


def order_bias(
    reranker: Pairwise | Setwise, asked: Iterable[tuple[str, Sequence[Hit]]], *, compared: int
) -> str:
    """Say how far answers depend on the documents' order, by likelihood.

    All pairs of the first hits, or the first three of them, are asked about in every rotation.
    """
    firsts: list[bool] = []
    agreements: list[bool] = []
    for query, hits in asked:
        texts = [reranker.template.render(hit.document) for hit in hits[:PAIRS]]
        items = range(len(texts) if compared == 2 else min(compared, len(texts)))
        sets = list(combinations(items, compared))
        rotations = [each[turn:] + each[:turn] for each in sets for turn in range(compared)]
        questions = Questions(reranker.model, reranker.prompt, query, texts)
        votes = questions.votes(rotations, "likelihood")
        places = [vote.index(max(vote)) for vote in votes]
        chosen = [group[place] for group, place in zip(rotations, places, strict=True)]
        firsts += [place == 0 for place in places]
        agreements += [
            len(set(chosen[start : start + compared])) == 1
            for start in range(0, len(chosen), compared)
        ]
    return (
        f"the document that stands first is chosen {fmean(firsts):.0%} of the time, and"
        f" {1 - fmean(agreements):.0%} of the sets of {compared} get contradictory answers when"
        " turned round"
    )
