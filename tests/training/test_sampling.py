"""Mixtures, groups of one size, shuffled texts: what is drawn, and that a seed repeats it."""

from __future__ import annotations

from collections import Counter

import pytest

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training import Group, GroupText, Mixture, Resampled, ShuffledTexts


def groups(name: str, count: int) -> list[Group]:
    return [Group(f"{name}{n}", (GroupText("a", 1.0),)) for n in range(count)]


def labelled(query: str, *labels: float | None) -> Group:
    return Group(query, tuple(GroupText(f"t{n}", label) for n, label in enumerate(labels)))


def test_a_mixture_has_its_shares_and_leaves_nothing_out() -> None:
    sources = [groups("x", 300), groups("y", 50)]
    mixture = Mixture(sources, weights=[3, 1], seed=1)
    drawn = [group.query for group in mixture]

    assert drawn == [group.query for group in mixture]
    assert drawn != [group.query for group in Mixture(sources, weights=[3, 1], seed=2)]
    assert set(drawn) == {group.query for source in sources for group in source}
    share = sum(query.startswith("y") for query in drawn) / len(drawn)
    assert share == pytest.approx(0.25, abs=0.06)  # three standard deviations of 400 draws
    assert [query for query in drawn if query.startswith("x")] == [f"x{n}" for n in range(300)]
    of_y = [query for query in drawn if query.startswith("y")]
    assert of_y == [f"y{n % 50}" for n in range(len(of_y))]  # anew, in its order


def test_a_mixture_refuses_what_it_cannot_draw_from() -> None:
    with pytest.raises(ConfigError, match="a weight for each source; got 1 for 2"):
        Mixture([[], []], weights=[1])
    with pytest.raises(ConfigError, match="expected weights above 0; got 1, 0"):
        Mixture([groups("x", 1), groups("y", 1)], weights=[1, 0])
    with pytest.raises(InputError, match="source 2 has no groups"):
        list(Mixture([groups("x", 1), []]))


def test_groups_are_cut_to_one_size_as_rag_retrieval_does() -> None:
    given = [
        labelled("seven", 6, 5, 4, 3, 2, 1, 0),
        labelled("two", 1, 0),
        labelled("same", 1, 1, 1),
    ]
    resampled = Resampled([*given, labelled("one of four unlabelled", 1, 0, 0, None)], size=3)
    cut = list(resampled)

    assert [group.query for group in cut] == ["seven"] * 3 + ["one of four unlabelled"]
    assert all(len(group.texts) == 3 for group in cut)
    of_seven = [[text.text for text in group.texts] for group in cut[:3]]
    whole = of_seven[0] + of_seven[1]
    # The seventh text alone is left, topped up by two others of the six before it.
    assert set(whole) | {of_seven[2][0]} == {f"t{n}" for n in range(7)}
    assert len(set(of_seven[2])) == 3
    assert set(of_seven[2][1:]) < set(whole)
    assert resampled.left_out == {
        "group of fewer than 3 texts": 1,
        "group of equal labels": 1,
        "text without a label": 1,
    }
    assert list(resampled) == cut
    assert list(Resampled(given[:1], size=3)) == cut[:3]  # whatever else is read
    assert list(Resampled(given[:1], size=3, seed=1)) != cut[:3]
    with pytest.raises(ConfigError, match="at least 2 texts; got 1"):
        Resampled(given, size=1)


def test_thirds_of_long_texts_are_shuffled() -> None:
    long = "a" * 41 + "b" * 41 + "c" * 39  # 121 // 3 + 1 = 41
    group = Group("q", (GroupText(long, 1.0), GroupText("d" * 100, 1.0), GroupText(long, 0.0)))
    seen: Counter[str] = Counter()
    for _ in range(100):
        (shuffled,) = ShuffledTexts([group], rate=1.0, seed=sum(seen.values()))
        seen[shuffled.texts[0].text] += 1
        assert shuffled.texts[1].text == "d" * 100
    thirds = ["a" * 41, "b" * 41, "c" * 39]
    assert set(seen) == {
        f"{thirds[x]} {thirds[y]} {thirds[3 - x - y]}" for x in range(3) for y in range(3) if x != y
    }

    (kept,) = ShuffledTexts([group], rate=1.0, positives_only=True)
    assert kept.texts[2].text == long
    assert list(ShuffledTexts([group], rate=0.0)) == [group]
    half = [g.texts[0].text == long for g in ShuffledTexts([group] * 200, rate=0.5)]
    assert 70 < sum(half) < 130
