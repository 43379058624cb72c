"""Pairwise, setwise and listwise reranking: orders, costs, ties, and answers that mislead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from retrieve_rerank import Document, Hit, Retriever, rank
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.rerankers.llm.comparer import Comparer
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.published_comparisons import LISTWISE, PAIRWISE, SETWISE
from retrieve_rerank.rerankers.llm.setwise import Setwise
from tests.rerankers.llm.oracle import Oracle, choose, documents

NUMBERS = [3, 9, 1, 12, 7, 4, 11, 2, 10, 5, 8, 6]

WAYS: dict[str, Callable[[Any], Comparer]] = {
    "pairwise heap": lambda model: Pairwise(model, top_k=12),
    "pairwise bubble": lambda model: Pairwise(model, method="bubble", top_k=12),
    "pairwise sum": lambda model: Pairwise(model, method="sum"),
    "pairwise binary": lambda model: Pairwise(model, method="binary"),
    "pairwise sym-sum": lambda model: Pairwise(model, method="sym-sum"),
    "pairwise wins": lambda model: Pairwise(model, method="wins"),
    "duo-t5": lambda model: Pairwise(model, prompt="duo-t5", method="sym-sum"),
    "setwise heap": lambda model: Setwise(model, top_k=12),
    "setwise bubble": lambda model: Setwise(model, method="bubble", set_size=4, top_k=12),
    "listwise": lambda model: Listwise(model),
    "listwise in turns": lambda model: Listwise(model, prompt="rank-gpt"),
    "listwise in windows": lambda model: Listwise(model, window=4, step=2, passes=6),
    "first": lambda model: Listwise(model, prompt="first"),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def hits(texts: Sequence[str]) -> list[Hit]:
    return rank((Document(str(n), text), -float(n)) for n, text in enumerate(texts))


def numbered(numbers: Sequence[int] = NUMBERS) -> list[Hit]:
    return hits([f"item {number}" for number in numbers])


def order(found: Sequence[Hit]) -> list[int]:
    return [int(hit.document.text.split()[1]) for hit in found]


@every_way
def test_the_better_come_first(way: Callable[[Any], Comparer]) -> None:
    found = way(Oracle()).rerank("q", numbered())
    assert order(found.hits) == sorted(NUMBERS, reverse=True)
    assert found.notes == ()
    assert found.truncated == 0


def test_a_template_that_no_document_fills_is_noted() -> None:
    found = Setwise(Oracle(), template="{nope}").rerank("q", numbered())
    assert found.notes[0].startswith("no document has any field of the template '{nope}'")


@every_way
def test_one_document_costs_no_call_and_none_gives_none(way: Callable[[Any], Comparer]) -> None:
    model = Oracle()
    assert [hit.document.id for hit in way(model).rerank("q", hits(["alone"])).hits] == ["0"]
    assert way(model).rerank("q", []).hits == []
    assert model.prompts == []


@every_way
def test_duplicates_and_empty_documents_keep_their_ids_and_their_order(
    way: Callable[[Any], Comparer],
) -> None:
    given = hits(["item 1", "", "item 5", "item 1", "", "item 5"])
    found = way(Oracle()).rerank("q", given).hits
    assert [hit.document.id for hit in found] == ["2", "5", "0", "3", "1", "4"]


@pytest.mark.parametrize("method", ["heap", "bubble", "wins"])
@pytest.mark.parametrize("favourite", [0, 1])
def test_a_model_that_prefers_a_place_changes_nothing(method: Any, favourite: int) -> None:
    model = Oracle(values=lambda texts: [float(n == favourite) for n in range(len(texts))])
    found = Pairwise(model, method=method).rerank("q", numbered()).hits
    assert order(found) == NUMBERS


@pytest.mark.parametrize(
    "way",
    [
        lambda model: Pairwise(model, top_k=2),
        lambda model: Pairwise(model, method="bubble", top_k=2),
        lambda model: Setwise(model, top_k=2),
        lambda model: Setwise(model, method="bubble", top_k=2),
    ],
)
def test_comparisons_are_spent_on_the_top_only(way: Callable[[Any], Comparer]) -> None:
    model = Oracle()
    found = way(model).rerank("q", numbered()).hits
    assert order(found) == [12, 11, *(n for n in NUMBERS if n < 11)], "the rest as it was"
    assert [hit.score for hit in found[:4]] == [2.0, 1.0, 0.0, 0.0]
    pairs = len(NUMBERS) * (len(NUMBERS) - 1)
    assert len(model.prompts) < pairs


def test_bubbling_pairs_asks_each_pair_once_in_both_orders() -> None:
    model = Oracle()
    Pairwise(model, method="bubble", top_k=3).rerank("q", numbered())
    asked = [tuple(documents(prompt)) for prompt in model.prompts]
    # By likelihood: a prompt for each of the two answers.
    pairs = {frozenset(pair) for pair in asked}
    assert len(asked) == 2 * 2 * len(pairs)
    assert len(pairs) <= 11 + 10 + 9


def test_equal_prompts_are_asked_once() -> None:
    model = Oracle()
    Pairwise(model, prompt="duo-t5", method="sym-sum").rerank("q", hits(["same"] * 5))
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    "way",
    [
        lambda model: Pairwise(model, top_k=12),
        lambda model: Pairwise(model, method="wins"),
        lambda model: Setwise(model, top_k=12),
    ],
)
def test_a_model_behind_a_server_is_read_by_what_it_writes(way: Callable[[Any], Comparer]) -> None:
    model = Oracle(write=choose, tells_logits=False)
    assert order(way(model).rerank("q", numbered()).hits) == sorted(NUMBERS, reverse=True)


def test_an_answer_of_one_token_is_told_by_servers_too() -> None:
    model = Oracle(write=lambda texts: "nothing", tells_logits=False)
    reranker = Pairwise(model, prompt="duo-t5", method="sym-sum")
    assert order(reranker.rerank("q", numbered()).hits) == sorted(NUMBERS, reverse=True)


def test_choices_that_cannot_be_read_are_ties_and_counted() -> None:
    def write(texts: Sequence[str]) -> str:
        return "I'd rather not say" if "item 12" in texts else choose(texts)

    reranker = Pairwise(Oracle(write=write), method="wins", scoring="generation")
    found = reranker.rerank("q", numbered())
    assert found.notes == ("22 of 132 answers choose no document",)
    assert order(found.hits)[:2] == [11, 10]
    equal = Pairwise(Oracle(write=lambda texts: "Neither"), method="sum", scoring="generation")
    found = equal.rerank("q", hits(["same"] * 4))
    assert found.notes == ("1 of 1 answers choose no document",)
    assert found.unread == 1


@pytest.mark.parametrize(
    ("answer", "expected", "note"),
    [
        ("[2] > [3]", [9, 1, 3, 12], "1 of 1 answers leave documents out"),
        ("[4] > [4] > [1] > [2] > [3]", [12, 3, 9, 1], "1 of 1 answers name a document twice"),
        (
            "[11] > [4] > [1] > [2] > [3]",
            [12, 3, 9, 1],
            "1 of 1 answers name documents that do not exist",
        ),
        ("I cannot rank these 4 passages.", [3, 9, 1, 12], "1 of 1 answers order no document"),
        ("", [3, 9, 1, 12], "1 of 1 answers order no document"),
    ],
)
def test_a_malformed_list_keeps_every_document_once_and_is_reported(
    answer: str, expected: list[int], note: str
) -> None:
    found = Listwise(Oracle(write=lambda texts: answer)).rerank("q", numbered(NUMBERS[:4]))
    assert order(found.hits) == expected
    assert found.notes == (note,)


def test_several_windows_add_their_flaws_up() -> None:
    answers = iter(["[2] > [1]", "[3] > [2] > [1] > [4]", "nothing", "[1] > [1]", "[9]"])
    reranker = Listwise(Oracle(write=lambda texts: next(answers)), window=4, step=2)
    found = reranker.rerank("q", numbered())
    assert sorted(order(found.hits)) == sorted(NUMBERS)
    assert found.notes == (
        "2 of 5 answers leave documents out",
        "2 of 5 answers order no document",
        "1 of 5 answers name a document twice",
        "1 of 5 answers name documents that do not exist",
    )


def test_answers_have_room_for_the_whole_list() -> None:
    model = Oracle()
    Listwise(model).rerank("q", numbered([*range(1, 21)]))
    assert model.room >= 6 * 20


def test_another_pass_goes_on_until_nothing_changes() -> None:
    once, often = Oracle(), Oracle()
    numbers = list(range(1, 13))
    found = Listwise(once, window=4, step=2).rerank("q", numbered(numbers)).hits
    assert order(found)[:2] == [12, 11]
    assert order(found) != sorted(numbers, reverse=True), "one pass lifts two documents only"
    whole = Listwise(often, window=4, step=2, passes=99).rerank("q", numbered(numbers)).hits
    assert order(whole) == sorted(numbers, reverse=True)
    assert len(often.prompts) <= 8 * len(once.prompts)


def test_a_window_larger_than_the_ranking_asks_once() -> None:
    model = Oracle()
    Listwise(model).rerank("q", numbered())
    assert len(model.prompts) == 1


def test_the_prompt_that_a_model_was_trained_with_is_its_own() -> None:
    assert Pairwise(Oracle(name="castorini/duot5-3b-msmarco")).prompt is PAIRWISE["duo-t5"]
    assert Listwise(Oracle(name="castorini/first_mistral")).prompt is LISTWISE["first"]
    assert Listwise(Oracle()).prompt is LISTWISE["rank-zephyr"]
    assert Setwise(Oracle()).prompt is SETWISE["setwise-chat"]
    own = replace(SETWISE["setwise"], separator="\n")
    assert Setwise(Oracle(), prompt=own).prompt is own


def test_flaws_reach_the_report_of_a_search() -> None:
    connector = MemoryConnector(Document(str(n), f"item {n}") for n in NUMBERS)
    reranker = Listwise(Oracle(write=lambda texts: "sorry"))
    result = Retriever(connector, reranker).search("item", top_k=3)
    assert result.stages[1].name == "llm-listwise"
    assert result.stages[1].notes == ("1 of 1 answers order no document",)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Pairwise, {"prompt": "prq"}, "unknown prompt 'prq'; known: prp-chat, prp, duo-t5"),
        (Pairwise, {"method": "quick"}, "unknown method 'quick'; known: heap, bubble, sum"),
        (Pairwise, {"top_k": 0}, "top_k must be at least 1; got 0"),
        (Pairwise, {"scoring": "logits"}, 'scoring must be "likelihood" or "generation"'),
        (Setwise, {"method": "sum"}, "unknown method 'sum'; known: heap, bubble"),
        (Setwise, {"set_size": 2}, "set_size must lie between 3 and 26; got 2"),
        (Setwise, {"top_k": -1}, "top_k must be at least 1; got -1"),
        (Listwise, {"prompt": "prp"}, "unknown prompt 'prp'; known: rank-zephyr"),
        (Listwise, {"window": 101}, "window must lie between 2 and 100 documents; got 101"),
        (Listwise, {"prompt": "first", "window": 30}, "between 2 and 26 documents; got 30"),
        (Listwise, {"step": 20}, "step must lie between 1 and 19 documents; got 20"),
        (Listwise, {"passes": 0}, "passes must be at least 1; got 0"),
    ],
)
def test_an_option_that_cannot_be_used_is_an_error(
    kind: type[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, InputError), match=message):
        kind(Oracle(), **options)
