"""Labels by teachers: rerankers and language models, several together, and rules of one's own."""

from retrieve_rerank.training.labelling.candidates import candidates_of, mined_candidates
from retrieve_rerank.training.labelling.label import Estimate, Labelled, Labels, estimate, label
from retrieve_rerank.training.labelling.rules import Rule, load_rule
from retrieve_rerank.training.labelling.teacher import Teacher

__all__ = [
    "Estimate",
    "Labelled",
    "Labels",
    "Rule",
    "Teacher",
    "candidates_of",
    "estimate",
    "label",
    "load_rule",
    "mined_candidates",
]
