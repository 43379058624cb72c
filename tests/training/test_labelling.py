"""Labels by teachers: what is written down trains with every loss that distils."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.answer_store import AnswerStore
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.finetuning import read_judged_folder
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.labelling import Rule, Teacher, label
from retrieve_rerank.training.labelling.judge import marked_lines
from retrieve_rerank.training.labelling.label import normalised
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.trainers import train
from tests.models.tiny import make_model
from tests.training.test_trainer import QUICK, groups


class Counted(Scorer):
    """Scores a text by the letter e, on a scale of its own, and counts how often it is asked."""

    name = "counted"

    def __init__(self) -> None:
        self.asked: list[str] = []  # which copies share

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked.append(query)
        return [1000.0 * text.count("e") for text in texts]


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    return AnswerStore(tmp_path / "answers.db")


@pytest.mark.parametrize(
    "loss", ["mse", "margin-mse", {"kl": 1.0}, "permutation"], ids=["mse", "margin", "kl", "order"]
)
def test_a_labelled_file_trains_with_each_loss_of_distillation(
    store: AnswerStore, tmp_path: Path, loss: str | Mapping[str, float]
) -> None:
    unlabelled = [
        replace(group, texts=tuple(replace(text, label=None) for text in group.texts))
        for group in groups(6)
    ]
    path = tmp_path / "labelled.jsonl.gz"
    write_groups(label(unlabelled, [Teacher(OverlapScorer(), store)]), path)
    base = str(make_model(tmp_path / "base", "bert"))
    settings = replace(QUICK, loss=loss, temperature=2.0, max_steps=2, evaluate_every=2)
    trained = train(list(read_groups(path)), base=base, output=tmp_path / "run", settings=settings)
    assert not trained.failed
    assert not trained.left_out
    assert (trained.model / "model.safetensors").is_file()


def test_an_ensemble_is_the_mean_of_scores_normalised_within_the_query(
    store: AnswerStore,
) -> None:
    query = Group("wing lift", tuple(GroupText(t) for t in ("wing lift", "wing tree", "a cat")))
    [labelled] = label([query], [Teacher(OverlapScorer(), store), Teacher(Counted(), store)])
    overlap, letters = [2, 1, 0], [0, 2, 0]  # of which the deviations are √(2/3) and √(8/9)
    by_hand = [
        ((o - 1) / math.sqrt(2 / 3) + (e - 2 / 3) / math.sqrt(8 / 9)) / 2
        for o, e in zip(overlap, letters, strict=True)
    ]
    assert [text.teacher_score for text in labelled.texts] == pytest.approx(by_hand)
    low, high = min(by_hand), max(by_hand)
    assert [text.label for text in labelled.texts] == pytest.approx(
        [(value - low) / (high - low) for value in by_hand]
    )
    assert normalised([3.0, 3.0]) == [0.0, 0.0]


def test_what_was_asked_once_is_known_to_another_run(store: AnswerStore, tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    many = groups(9)
    before = list(label(many, [Teacher(first, store)]))
    after = list(label(many, [Teacher(second, AnswerStore(tmp_path / "answers.db"))]))
    assert before == after
    assert (len(first.asked), second.asked) == (9, [])


def test_a_rule_that_fails_says_where(store: AnswerStore) -> None:
    rule = Rule("mine.py:label", lambda text, group: math.nan)
    with pytest.raises(InputError, match=r"mine\.py:label, for the query 'wing'"):
        list(label([Group("wing", (GroupText("a wing"),))], [], rule=rule))


def test_finetuning_is_told_which_judgments_are_a_models(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    queries = [f'{{"_id": "q{n}", "text": "question {n} on {n * n}"}}' for n in range(90)]
    (tmp_path / "queries.jsonl").write_text("\n".join(queries))
    people = "".join(f"q{n}\td{n}\t1\n" for n in range(60))
    (tmp_path / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{people}")
    marked = marked_lines({f"q{n}": {f"d{n}": 3, "d0": 0} for n in range(60, 90)}, "openai:a judge")
    (tmp_path / "qrels" / "test.tsv").write_text("".join(marked))
    judged = read_judged_folder(tmp_path)
    assert judged.judges == {"openai:a-judge": 60}
    assert len(judged.test) == 30
