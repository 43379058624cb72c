"""Negatives mined again at each step: of a group's, those that the network now scores highest.

As ANCE mines again with the model in training (Xiong et al., https://arxiv.org/abs/2007.00808), but
among what the index returned, which is all that a reranker will ever see, and at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers.drawing import take
from retrieve_rerank.training.trainers.network import Network
from retrieve_rerank.training.trainers.passes import passes
from retrieve_rerank.training.trainers.processes import Processes


def remine(
    groups: Sequence[Group],
    network: Network[Any],
    processes: Processes,
    *,
    size: int,
    contrastive: bool,
) -> list[Group]:
    """Return a step's groups with `size` texts at most, of their negatives the hardest.

    Each process scores its share of the groups, and hears what the others took. As many negatives
    stay as `take` would have drawn, and all texts in their order.
    """
    rank, count = processes.rank, processes.count
    own = groups[rank::count]
    taken = [
        _hardest(group, scores, size, contrastive=contrastive)
        for group, scores in zip(own, score_texts(network, own), strict=True)
    ]
    most = -(-len(groups) // count) * size
    told = [place for places in taken for place in (*places, *[-1] * (size - len(places)))]
    rows = processes.gather(*told, *[-1] * (most - len(told)))
    found = []
    for number, group in enumerate(groups):
        row, start = rows[number % count], number // count * size
        places = [int(place) for place in row[start : start + size] if place >= 0]
        found.append(replace(group, texts=tuple(group.texts[place] for place in places)))
    return found


def score_texts(network: Network[Any], groups: Sequence[Group]) -> list[list[float]]:
    """Score the texts of each group as the network is now, without a gradient."""
    read = [network.read(group) for group in groups]
    lengths = [[len(sequence.ids) for sequence in sequences] for sequences in read]
    found: list[list[float]] = [[] for _ in groups]
    with torch.no_grad():
        for places in passes(lengths, budget=network.token_budget, padded=network.padded):
            outcome = network.forward([read[place] for place in places])
            counts = [len(groups[place].texts) for place in places]
            own = network.own_scores(outcome.scores, counts)
            for place, scores in zip(places, own, strict=True):
                found[place] = scores.tolist()
    return found


def _hardest(
    group: Group, scores: Sequence[float], size: int, *, contrastive: bool
) -> Sequence[int]:
    places = take(group.texts, size, contrastive=contrastive)
    negative = [text.label is not None and text.label <= 0 for text in group.texts]
    hardest_first = sorted(
        (place for place, is_negative in enumerate(negative) if is_negative),
        key=lambda place: -scores[place],
    )
    wanted = sum(negative[place] for place in places)
    others = [place for place in places if not negative[place]]
    return sorted([*others, *hardest_first[:wanted]])
