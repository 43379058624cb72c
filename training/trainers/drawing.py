"""Which groups and texts each step sees: a function of the seed and the step alone.

So that training goes on exactly where it was broken off.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from torch.utils.data import Dataset

from retrieve_rerank.training.curriculum import Curriculum, for_epoch
from retrieve_rerank.training.groups import Group, GroupText


class Steps(Dataset[list[Group]]):
    """The groups of each step, all groups in a new order each time round.

    Groups of more than `group_size` texts are sampled anew each time: one positive at least, and
    for a loss that pits positives against negatives no other positive while there are negatives.
    A curriculum says which of the negatives are there for that at a step. `whole` ones are left for
    `take` to sample.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        steps: int,
        batch_size: int,
        group_size: int,
        contrastive: bool,
        seed: int,
        curriculum: Curriculum | None = None,
        whole: bool = False,
    ) -> None:
        self._groups = groups
        self._steps = steps
        self._batch_size = batch_size
        self._group_size = group_size
        self._contrastive = contrastive
        self._seed = seed
        self._curriculum = curriculum
        self._whole = whole
        self._round = -1
        self._order: list[int] = []

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> list[Group]:
        start = step * self._batch_size
        return [self._draw(step, place) for place in range(start, start + self._batch_size)]

    def _draw(self, step: int, place: int) -> Group:
        round_, place = divmod(place, len(self._groups))
        if round_ != self._round:
            self._order = list(range(len(self._groups)))
            random.Random(f"{self._seed} {round_}").shuffle(self._order)
            self._round = round_
        number = self._order[place]
        group = self._at(step, self._groups[number])
        return self._sample(group, random.Random(f"{self._seed} {round_} {number}"))

    def _at(self, step: int, group: Group) -> Group:
        """Return the group as the curriculum has it: its epochs are the steps, so that any number
        of rounds goes all the way."""
        if self._curriculum is None or not (group.positives and group.negatives):
            return group  # which a curriculum is for; of labels below 0 all count
        wider = self._curriculum == "wider"
        negatives = len(group.negatives) if wider else self._group_size - 1
        [now] = for_epoch(
            [group], epoch=step, epochs=self._steps, negatives=negatives, how=self._curriculum
        )
        return now

    def _sample(self, group: Group, draw: random.Random) -> Group:
        texts = list(group.texts)
        draw.shuffle(texts)  # losses over lists take equal labels in the order that they come in
        places = list(range(len(texts)))
        if not self._whole:
            places = take(texts, self._group_size, contrastive=self._contrastive)
            draw.shuffle(places)  # as what reads lists would learn where the positive stands
        return replace(group, texts=tuple(texts[place] for place in places))


def take(texts: Sequence[GroupText], size: int, *, contrastive: bool) -> list[int]:
    """Return the places of the first `size` of some texts: one positive at least, and where the
    loss is `contrastive` no other one while there are negatives. Their labels differ where any do.
    """
    places = list(range(len(texts)))
    if len(texts) <= size:
        return places
    positive = [(text.label or 0) > 0 for text in texts]
    first = next((place for place in places if positive[place]), 0)
    rest = [place for place in places if place != first]
    if contrastive:
        rest.sort(key=lambda place: positive[place])
    taken, left = [first, *rest[: size - 1]], rest[size - 1 :]
    labels = {texts[place].label for place in taken}
    if len(labels) == 1:
        taken[-1] = next((place for place in left if texts[place].label not in labels), taken[-1])
    return taken
