"""A linear projection of token vectors: from principal axes, trained on what MaxSim makes of it.

What is trained is what is stored: a document's tokens are projected, brought to length 1, averaged
with their neighbours, and brought to length 1 again, as an index does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.losses.contrastive import lce
from retrieve_rerank.training.token_projection.max_sim import TEMPERATURE, max_sim, pool_tokens

ProjectionLoss: TypeAlias = Literal["distil", "contrast"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and some of its candidates, by their texts."""

    query: str
    texts: Sequence[str]
    relevant: Sequence[bool]
    """Whether each text is judged relevant."""
    taught: Sequence[float] | None = None
    """A teacher's logit for each text; None for the scores of all dimensions."""


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """How a projection is learnt."""

    dimensions: int = 128
    loss: ProjectionLoss = "distil"
    epochs: int = 6
    learning_rate: float = 2e-4
    """Of Adam, falling to 0 by a cosine; at 1e-3 a hundred queries were learnt by heart."""
    queries_a_step: int = 8
    seed: int = 13


class Epoch(NamedTuple):
    """What one round of the queries came to."""

    number: int
    """0 for the principal axes."""
    loss: float
    """Mean of the round; of the principal axes, that of the first step."""
    measure: float
    """On dev queries."""


class Learnt(NamedTuple):
    """The best projection of all rounds."""

    axes: Vectors  # (dim, kept), principal
    projection: Vectors  # (dim, kept)
    epochs: Sequence[Epoch]

    @property
    def best(self) -> Epoch:
        """The round that the projection is of; the first of equal ones."""
        return max(self.epochs, key=lambda epoch: epoch.measure)


def principal_axes(sample: Vectors, kept: int) -> Vectors:
    """Return the directions of largest second moment of rows (n, dim), as (dim, kept).

    Raises InputError where there are fewer than `kept`.
    """
    if not 1 <= kept <= sample.shape[1]:
        raise InputError(
            f"expected 1 to {sample.shape[1]} dimensions, which is what a token's vector has;"
            f" got {kept}"
        )
    _, axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    return np.ascontiguousarray(axes[:, ::-1][:, :kept], dtype=np.float32)


def learn(
    axes: Vectors,
    asked: Sequence[Asked],
    queries: Callable[[str], Vectors],
    documents: Callable[[str], Vectors],
    *,
    pooling_factor: int,
    measure: Callable[[Vectors], float],
    settings: LearningSettings,
    on_progress: Callable[[int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Learnt:
    """Train from principal axes, (dim, kept); the best projection by `measure`, axes included.

    `queries` and `documents` give a text's token vectors. `measure` is higher for the better, on
    queries that are not `asked`. `on_progress` hears how many queries were learnt from since it was
    last called. Raises InputError where nothing can be learnt.
    """
    asked = [each for each in asked if _teaches(each, settings.loss)]
    if not asked:
        raise InputError(
            "no query to learn from: each needs two candidates"
            + (", one of them judged relevant" if settings.loss == "contrast" else "")
        )
    torch.manual_seed(settings.seed)
    draw = random.Random(settings.seed)
    weight = torch.from_numpy(axes.copy()).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=settings.learning_rate)
    steps = settings.epochs * -(-len(asked) // settings.queries_a_step)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    epochs: list[Epoch] = []
    best = axes
    for number in range(settings.epochs + 1):
        losses = []
        for batch in _batches(asked, settings.queries_a_step, draw) if number else ():
            optimizer.zero_grad()
            for each in batch:
                tokens = [documents(text) for text in each.texts]
                loss = projection_loss(
                    weight,
                    torch.from_numpy(queries(each.query)),
                    [torch.from_numpy(rows) for rows in tokens],
                    torch.tensor(each.relevant),
                    pooling_factor=pooling_factor,
                    loss=settings.loss,
                    taught=None if each.taught is None else torch.tensor(each.taught),
                )
                (loss / len(batch)).backward()  # type: ignore[no-untyped-call]
                losses.append(loss.item())
                if on_progress:
                    on_progress(1)
            optimizer.step()
            schedule.step()
        projection = weight.detach().numpy().copy()
        mean = float(np.mean(losses)) if losses else float("nan")
        epochs.append(Epoch(number, mean, measure(projection)))
        if on_epoch:
            on_epoch(epochs[-1])
        if epochs[-1].measure > max((each.measure for each in epochs[:-1]), default=-np.inf):
            best = projection
    return Learnt(axes, best, epochs)


def projection_loss(
    weight: Tensor,
    query: Tensor,
    documents: Sequence[Tensor],
    relevant: Tensor,
    *,
    pooling_factor: int,
    loss: ProjectionLoss,
    taught: Tensor | None = None,
) -> Tensor:
    """Compute the loss of a query, (m, dim), and documents, (n_i, dim); `weight` is (dim, kept).

    `distil` rewards the order and the distances of the full vectors' scores t:
    KL(softmax t/T ‖ softmax s/T), T being TEMPERATURE; or, with `taught`, of a teacher's logits,
    which are taken as they are, as in ColBERTv2 (https://arxiv.org/abs/2112.01488). `contrast`
    rewards the relevant above the others: `lce` of s/T.
    """
    scores = pooled_scores(weight, query, documents, pooling_factor=pooling_factor) / TEMPERATURE
    if loss == "contrast":
        return lce(scores[None], relevant[None].float()).mean()
    if taught is None:
        with torch.no_grad():
            taught = full_scores(query, documents) / TEMPERATURE
    wanted, found = F.log_softmax(taught, 0), F.log_softmax(scores, 0)
    return (wanted.exp() * (wanted - found)).sum()


def full_scores(query: Tensor, documents: Sequence[Tensor]) -> Tensor:
    """Compute MaxSim with all tokens in all dimensions, (documents,)."""
    lengths = [len(rows) for rows in documents]
    return max_sim(query, [len(query)], torch.cat(list(documents)), lengths)[0]


def pooled_scores(
    weight: Tensor, query: Tensor, documents: Sequence[Tensor], *, pooling_factor: int
) -> Tensor:
    """Compute MaxSim as an index does that stores projected and pooled tokens, (documents,)."""
    tokens = F.normalize(torch.cat(list(documents)) @ weight, dim=1)
    stored = pool_tokens(tokens, [len(rows) for rows in documents], factor=pooling_factor)
    return max_sim(F.normalize(query @ weight, dim=1), [len(query)], *stored)[0]


def _teaches(asked: Asked, loss: ProjectionLoss) -> bool:
    few = len(asked.texts) < 2
    return not few and (loss == "distil" or (any(asked.relevant) and not all(asked.relevant)))


def _batches(asked: Sequence[Asked], size: int, draw: random.Random) -> Iterator[Sequence[Asked]]:
    order = draw.sample(asked, len(asked))
    return (order[start : start + size] for start in range(0, len(order), size))
