"""UMBRELA's question about a query and a passage, with four grades, and the reading of answers.

Upadhyay et al., https://arxiv.org/abs/2406.06519, figure 1; the words are those of
src/umbrela/prompts/qrel_zeroshot_bing.txt in https://github.com/castorini/umbrela.
"""

from __future__ import annotations

import re

from retrieve_rerank.models.language_model import Prompt
from retrieve_rerank.rerankers.llm.answers import without_thoughts
from retrieve_rerank.rerankers.llm.pair_prompts import PairPrompt

GRADES = range(4)
RELEVANT = 2
"""Grade from which on a passage counts as relevant, as in the paper's comparison with people."""

ANSWER_TOKENS = 32
"""Room for "##final score: 2", and a few words around it."""

UMBRELA = PairPrompt(
    messages=[
        (
            "user",
            "Given a query and a passage, you must provide a score on an integer scale of 0 to 3"
            " with the following meanings:\n"
            "0 = represent that the passage has nothing to do with the query, \n"
            "1 = represents that the passage seems related to the query but does not answer it, \n"
            "2 = represents that the passage has some answer for the query, but the answer may be"
            " a bit unclear, or hidden amongst extraneous information and \n"
            "3 = represents that the passage is dedicated to the query and contains the exact"
            " answer.\n\n"
            "Important Instruction: Assign category 1 if the passage is somewhat related to the"
            " topic but not completely, category 2 if passage presents something very important"
            " related to the entire topic but also has some extra information and category 3 if"
            " the passage only and entirely refers to the topic. If none of the above satisfies"
            " give it category 0.\n\n"
            "Query: {query}\n"
            "Passage: {document}\n\n"
            "Split this problem into steps:\n"
            "Consider the underlying intent of the search.\n"
            "Measure how well the content matches a likely intent of the query (M).\n"
            "Measure how trustworthy the passage is (T).\n"
            "Consider the aspects above and the relative importance of each, and decide on a final"
            " score (O). Final score must be an integer value only.\n"
            "Do not provide any code in result. Provide each score in the format of: ##final"
            " score: score without providing any reasoning.",
        )
    ],
    source="https://github.com/castorini/umbrela",
)

_MARK = re.compile(r"#+\s*(?=final\s+score)", re.IGNORECASE)
_ASIDE = re.compile(r"[(\[](?!\W*[0-3]\W*[)\]])[^()\[\]\n]*[)\]]")
"""What stands in brackets and is no grade, as in "final score (0-3): 2"."""
_DIGIT = r"(?<![-\u2212])([0-3])"  # and none below 0
_GRADE = re.compile(rf"final\s+score\W*{_DIGIT}(?!\d|\.\d)", re.IGNORECASE)


def question(query: str, passage: str) -> Prompt:
    """Ask about a passage, in which nothing looks like the answer that is asked for."""
    return UMBRELA.render(_MARK.sub("", query), _MARK.sub("", passage))


def read_grade(answer: str) -> int | None:
    """Read the last final score that an answer gives, or a grade that stands alone; else None."""
    said = _ASIDE.sub("", without_thoughts(answer)).strip()
    if found := _GRADE.findall(said):
        return int(found[-1])
    alone = re.fullmatch(rf"\W*{_DIGIT}\W*", said)
    return int(alone[1]) if alone else None
