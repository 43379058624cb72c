"""Relevance judgments by a language model, marked as such, and how far people agree with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from retrieve_rerank.errors import InputError, RetrieveRerankError, shown
from retrieve_rerank.evaluation.agreement import cohen_kappa
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.evaluation.judges import LLM_JUDGE
from retrieve_rerank.models.metered_model import MeteredModel
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template, readable
from retrieve_rerank.training.labelling.label import GIVE_UP
from retrieve_rerank.training.labelling.umbrela import (
    ANSWER_TOKENS,
    GRADES,
    RELEVANT,
    question,
    read_grade,
)
from retrieve_rerank.training.mining.searching import search_all
from retrieve_rerank.types import Qrels

Pool = dict[str, dict[str, list[str]]]
"""Query -> document -> the texts that are judged: its own, or its passages'."""


@dataclass(slots=True)
class Judged:
    """What a model judged, and what it did not answer."""

    qrels: Qrels = field(default_factory=dict)
    unread: int = 0
    """Documents of which no answer could be read."""
    example: str = ""
    """Such an answer."""


def pool(
    retriever: Retriever,
    queries: Mapping[str, str],
    human: Qrels,
    *,
    depth: int,
    compared: int,
    users: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[int], None] | None = None,
) -> Pool:
    """Collect what is judged: each query's first hits, and documents that people have judged.

    Of those `compared` at most, evenly spread, beside what the search returns. `users` tell for
    queries what is known of who asks, by which the search that serves may rerank.
    """
    connector = retriever.connector
    judged, template = JudgedDocuments(connector, human), Template()
    tell = on_progress or (lambda count: None)
    found: Pool = {}
    for searched in search_all(retriever, queries, own={}, filter=None, users=users):
        texts = found.setdefault(searched.query_id, {})
        for hit in searched.hits[:depth]:
            its = texts.setdefault(judged.id_of(hit.document), [])
            its.append(template.render(hit.document))
        tell(1)
    absent = [
        (query, id_)
        for query in queries
        for id_ in human.get(query, {})
        if id_ not in found.get(query, {})
    ]
    count = min(compared, len(absent))
    chosen = [absent[n * len(absent) // count] for n in range(count)]
    documents = {judged.id_of(each): each for each in connector.get([id_ for _, id_ in chosen])}
    for query, id_ in chosen:
        if id_ in documents:
            found.setdefault(query, {})[id_] = [template.render(documents[id_])]
    return found


def judge(
    pooled: Pool,
    queries: Mapping[str, str],
    model: MeteredModel,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Judged:
    """Have a model grade documents, 0 to 3; a document in passages has the grade of its best one.

    What it does not answer is left out and counted, and asked about again by the next run. Raises
    RetrieveRerankError where the first answers cannot be read, and as the model does.
    """
    tell = on_progress or (lambda count: None)
    done = Judged()
    for query, documents in pooled.items():
        places = [(id_, text) for id_, texts in documents.items() for text in texts]
        prompts = [question(readable(queries[query]), readable(text)) for _, text in places]
        model.taken()
        answers = model.generate(prompts, max_new_tokens=ANSWER_TOKENS).values
        grades: dict[str, int] = {}
        unread = set()
        for (id_, _), answer, key in zip(places, answers, model.taken(), strict=True):
            grade = read_grade(answer)
            if grade is None:
                model.forget([key])
                unread.add(id_)
                done.example = done.example or f"{shown(queries[query])}: {shown(answer)}"
            else:
                grades[id_] = max(grade, grades.get(id_, 0))
        done.unread += len(unread - grades.keys())
        if grades:
            done.qrels[query] = grades
        elif done.unread >= GIVE_UP and not done.qrels:
            break
        tell(1)
    if not done.qrels:
        raise RetrieveRerankError(
            f"{model.name} gave no grade that can be read in its first {done.unread} answers, for"
            f" example to {done.example}"
        )
    return done


def count_questions(pooled: Pool, queries: Mapping[str, str], model: MeteredModel) -> None:
    """Have a counting model's meter say what judging would take."""
    for query, documents in pooled.items():
        texts = (text for its in documents.values() for text in its)
        prompts = [question(readable(queries[query]), readable(text)) for text in texts]
        model.generate(prompts, max_new_tokens=ANSWER_TOKENS)


def marked_lines(qrels: Qrels, model: str) -> Iterator[str]:
    """Write judgments as TREC does, the model in the second column, which no measure looks at.

    Raises InputError where an id holds white space, which the format cannot carry.
    """
    judge_ = LLM_JUDGE + "-".join(model.split())
    for query, grades in qrels.items():
        for document, grade in grades.items():
            for id_ in (query, document):
                if len(id_.split()) != 1:
                    raise InputError(
                        f"the id {shown(id_)} holds white space, which judgments in TREC's form"
                        " cannot carry"
                    )
            yield f"{query} {judge_} {document} {grade}\n"


def agreement(model: Qrels, human: Qrels) -> dict[str, Any]:
    """Compare a model's grades with people's where both judged.

    Relevant or not is from grade 2 on for the model, and above 0 for people; grades are compared
    where people's are the same four. A kappa is None where it is not defined.
    """
    pairs = [
        (grade, human[query][document])
        for query, grades in model.items()
        for document, grade in grades.items()
        if document in human.get(query, {})
    ]
    if not pairs:
        return {"pairs": 0}
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    binary = [int(grade >= RELEVANT) for grade in ours], [int(grade > 0) for grade in theirs]
    found: dict[str, Any] = {
        "pairs": len(pairs),
        "kappa_relevant": cohen_kappa(*binary),
        "model_relevant": sum(binary[0]),
        "people_relevant": sum(binary[1]),
    }
    if max(_grades(human)) == max(GRADES) and min(_grades(human)) >= 0:
        found["kappa_grades"] = cohen_kappa(ours, theirs)
        found["kappa_quadratic"] = cohen_kappa(ours, theirs, weights="quadratic")
    return found


def _grades(qrels: Qrels) -> Sequence[int]:
    return [grade for grades in qrels.values() for grade in grades.values()]
