"""What is minimised, and which groups it can learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.losses import (
    TOKEN_LOSSES,
    Mixture,
    Part,
    Terms,
    bce,
    bradley_terry,
    find_loss,
    kl,
    lce,
    list_net,
    margin_mse,
    mse,
    pad,
    permutation,
    points,
    poly,
    rankinggpt,
)

_POINTWISE = (bce, mse)  # learn from a text alone
_CONTRASTIVE = (lce, poly, rankinggpt)  # need a positive and a negative
_FROM_TEACHERS = (kl, margin_mse, permutation)
_BY_RERANKER = {"llm-pairwise": "bce", "llm-listwise": "next-token"}
_COMPARED: Mapping[str, Literal["pairs", "lists"]] = {
    "llm-pairwise": "pairs",
    "llm-listwise": "lists",
}
_LISTS = "lists"  # how many there are, of which a lower head learns each from the last
_CHECKED_AT_ONCE = 1024  # groups


@dataclass(frozen=True, slots=True)
class Objective:
    """A mixture of losses by their names."""

    weights: Mapping[str, float]
    mixture: Mixture | None
    """Losses of scores; None where there are only losses over tokens."""
    compared: Literal["pairs", "lists"] | None = None
    """What they learn the order of, by labels of any scale; None where each text has a score."""

    @property
    def parts(self) -> Sequence[Part]:
        """The losses of scores."""
        return self.mixture.parts if self.mixture else ()

    @property
    def token_losses(self) -> Mapping[str, float]:
        """The losses over tokens, with their weights."""
        return {name: w for name, w in self.weights.items() if name in TOKEN_LOSSES}

    @property
    def from_teacher(self) -> bool:
        """Whether any loss learns from a teacher's scores."""
        return any(part.on == "teacher" for part in self.parts)

    @property
    def contrastive(self) -> bool:
        """Whether all losses look at positives against negatives."""
        if self.compared and self.token_losses:  # which learn the order of all texts
            return False
        return all(part.loss in _CONTRASTIVE for part in self.parts)

    def counts(
        self, labels: Tensor, teacher: Tensor | None, tokens: Mapping[str, int]
    ) -> Mapping[str, Tensor | int]:
        """Return how many terms each loss has; `tokens` has those of the losses over tokens."""
        own: dict[str, Any] = {}
        if self.mixture:
            own = {"": self.mixture.counts(labels, teacher), _LISTS: len(labels)}
        return {**own, **{name: tokens.get(name, 0) for name in self.token_losses}}

    def loss(
        self,
        scores: Tensor,
        tokens: Mapping[str, Terms],
        labels: Tensor,
        teacher: Tensor | None,
        *,
        counts: Mapping[str, Any],
        lower: Sequence[Tensor] = (),
    ) -> Tensor:
        """Return what a pass adds to the loss of a step whose losses have so many terms.

        Scores of `lower` layers learn the same, and the last layer's distribution over the list,
        as FlagEmbedding's layerwise rerankers do: −Σ softmax(s_last) · log softmax(s_lower).
        """
        total = torch.zeros(())
        if self.mixture:
            total = self.mixture(scores, labels, teacher, counts=counts[""])
            last = scores.detach().masked_fill(~learnt(labels, teacher), torch.nan)
            for each in lower:
                total = total + self.mixture(each, labels, teacher, counts=counts[""])
                total = total + list_net(each, last).mean(counts[_LISTS])
        for name, weight in self.token_losses.items():
            total = total + weight * tokens[name].mean(counts[name])
        return total

    def loss_if_equal(
        self,
        labels: Tensor,
        teacher: Tensor | None,
        *,
        log_vocabulary: float,
        lower_heads: int = 0,
    ) -> float:
        """Return what the loss would be if all scores were equal, and all tokens as likely."""
        unsure = sum(w for name, w in self.token_losses.items() if name != "difference")
        of_tokens = unsure * log_vocabulary
        if not self.mixture:
            return of_tokens
        equal = torch.zeros_like(labels)
        of_scores = float(self.mixture(equal, labels, teacher))
        lists = equal.masked_fill(~learnt(labels, teacher), torch.nan)
        of_lists = float(list_net(equal, lists).mean())
        return of_tokens + of_scores + lower_heads * (of_scores + of_lists)

    def least_loss(self, labels: Tensor, teacher: Tensor | None) -> float:
        """Return what the best scores would leave of the losses that have a least value above 0.

        Of what lower heads learn from the last one, and of tokens, nothing is known.
        """
        return float(self.mixture.least(labels, teacher)) if self.mixture else 0.0

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return " + ".join(f"{weight:g} · {name}" for name, weight in self.weights.items())


@dataclass(frozen=True, slots=True)
class Usable:
    """The groups that a loss can learn from."""

    groups: Sequence[Group]
    left_out: Counter[str] = field(default_factory=Counter)
    """Why -> how many groups or texts."""


def choose_objective(
    loss: str | Mapping[str, float] | None,
    groups: Sequence[Group],
    *,
    temperature: float = 1.0,
    reranker: str | None = None,
) -> Objective:
    """Return the losses of these names, else what the labels call for; raise ConfigError.

    Where labels are 0 and 1 `lce`, which asks of a positive no more than to beat the negatives;
    where they are graded `ranknet`, which takes labels of any scale; where no group tells two texts
    apart `bce`. A reranker that compares texts has a loss of its own: `bce` of which of two is
    better, and `next-token` for a list that is written. `temperature` is that of `kl`.
    """
    if loss is None:
        loss = _BY_RERANKER.get(reranker or "") or _by_labels(groups)
    weights = {loss: 1.0} if isinstance(loss, str) else dict(loss)
    parts = []
    for name, weight in weights.items():
        if name in TOKEN_LOSSES:
            if not weight > 0:
                raise ConfigError(f"the weight of a loss must be above 0; got {weight}")
            continue
        found = find_loss(name)
        on: Literal["labels", "teacher"] = "teacher" if found in _FROM_TEACHERS else "labels"
        if found is kl:
            found = partial(kl, temperature=temperature)
        parts.append(Part(found, weight, on))
    only_tokens = bool(weights) and not parts
    return Objective(
        weights, None if only_tokens else Mixture(parts), compared=_COMPARED.get(reranker or "")
    )


def choose_groups(groups: Sequence[Group], objective: Objective) -> Usable:
    """Leave out what the losses cannot learn from, and count it.

    Raises InputError where nothing is left or to be told apart, or labels are out of a loss's
    range.
    """
    left_out: Counter[str] = Counter()
    usable = []
    for group in groups:
        texts = tuple(text for text in group.texts if _has_target(text, objective))
        if len(texts) < len(group.texts):
            left_out["text without a label"] += len(group.texts) - len(texts)
        kept = replace(group, texts=texts)
        reasons = [_lacks(kept, part, objective) for part in objective.parts or (None,)]
        if all(reasons):
            left_out[str(reasons[0])] += 1
        else:
            usable.append(kept)
    if not usable:
        why = ", ".join(f"{n:,} × {reason}" for reason, n in left_out.most_common())
        raise InputError(
            f"no group that {objective} can learn from: {why or 'there are no groups at all'};"
            " expected groups with a query, relevant texts and others"
        )
    labels = {text.label for group in usable for text in group.texts}
    of_labels_alone = not objective.from_teacher and not objective.token_losses
    if of_labels_alone and len(labels) == 1:
        raise InputError(
            f"all texts have the label {labels.pop():g}, which leaves {objective} nothing to tell"
            " apart; expected relevant texts and others"
        )
    if objective.mixture and objective.compared != "pairs":
        for start in range(0, len(usable), _CHECKED_AT_ONCE):
            objective.mixture.counts(*targets(usable[start : start + _CHECKED_AT_ONCE], objective))
    return Usable(usable, left_out)


def targets(groups: Sequence[Group], objective: Objective) -> tuple[Tensor, Tensor | None]:
    """Return labels, and a teacher's scores if a loss wants them; (groups, size), NaN for none."""
    nan = float("nan")
    labels = pad([[nan if t.label is None else t.label for t in g.texts] for g in groups])
    if not objective.from_teacher:
        return labels, None
    scores = [
        [nan if t.teacher_score is None else t.teacher_score for t in g.texts] for g in groups
    ]
    return labels, pad(scores)


def learnt(labels: Tensor, teacher: Tensor | None) -> Tensor:
    """Return where there are texts that something is learnt from; (groups, size)."""
    return ~labels.isnan() if teacher is None else ~(labels.isnan() & teacher.isnan())


def _by_labels(groups: Sequence[Group]) -> str:
    if not any(group.tells_apart for group in groups):
        return "bce"
    labels = {text.label for group in groups for text in group.texts if text.label is not None}
    return "lce" if labels <= {0, 1} else "ranknet"


def _has_target(text: GroupText, objective: Objective) -> bool:
    on = {part.on for part in objective.parts} or {"labels"}
    return ("labels" in on and text.label is not None) or (
        "teacher" in on and text.teacher_score is not None
    )


def _lacks(group: Group, part: Part | None, objective: Objective) -> str | None:
    """Say what a loss needs and a group does not have; None where it can learn from it.

    No part stands for losses over tokens.
    """
    if part and part.on == "teacher":
        scores = {text.teacher_score for text in group.texts} - {None}
        return None if len(scores) > 1 else "group without different scores of a teacher"
    if objective.compared and not group.tells_apart:
        return "group of equal labels"
    if part is None:
        return None if objective.compared or group.positives else "group without a positive"
    if part.loss is points:
        return None if len(group.texts) == 1 else "group of several texts"
    if part.loss is bradley_terry:
        return None if len(group.texts) > 1 else "group of one text"
    if part.loss in _POINTWISE:
        return None if group.positives or group.negatives else "group without a label"
    if part.loss in _CONTRASTIVE:
        if not group.positives:
            return "group without a positive"
        return None if group.negatives else "group without a negative"
    return None if group.tells_apart else "group of equal labels"
