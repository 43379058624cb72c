"""An encoder in training whose tokens MaxSim compares, scored as an index that stores them does.

A query's negatives are those of its group and the texts of the other groups in the same forward
pass, but for those that may be relevant to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn import functional as F

from retrieve_rerank.base import TensorDtype, Vectors
from retrieve_rerank.errors import ConfigError, OutOfMemoryError
from retrieve_rerank.models.causal.pretrained import silent
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.models.loading import load_tokenizer
from retrieve_rerank.models.runtimes.batching import TokenBatch, Tokens, pad
from retrieve_rerank.models.runtimes.packed import pack
from retrieve_rerank.models.runtimes.torch import batching_on, input_names, out_of_memory
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.mining.near_identical import Shingles
from retrieve_rerank.training.token_projection.max_sim import TEMPERATURE, max_sim, pool_tokens
from retrieve_rerank.training.token_projection.proof import StoredMaxSim
from retrieve_rerank.training.token_projection.saving import add_projection, copy_encoder
from retrieve_rerank.training.trainers.base import Base, load_encoder_base
from retrieve_rerank.training.trainers.network import Network, Outcome
from retrieve_rerank.training.trainers.objective import Objective, targets
from retrieve_rerank.training.trainers.settings import TrainerSettings

_PROJECTION = "token_projection"  # the name of its weights in a checkpoint
_SHINGLES = 8192  # texts whose shingles are kept: some 10 kB each


class MaxSimNetwork(Network[Tokens]):
    """An encoder, and a projection of its tokens where fewer dimensions are kept."""

    reranker = "max-sim"

    def __init__(
        self,
        base: Base,
        settings: TrainerSettings,
        *,
        relevant: Mapping[str, Sequence[str]],
        pooling_factor: int,
        dtype: TensorDtype,
        projection: Vectors | None,
    ) -> None:
        """`relevant` is that of `relevant_texts`; `projection`, (dim, kept), is where training
        starts from."""
        if projection is not None:
            width, kept = projection.shape
            linear = Linear(width, kept, bias=False)
            linear.weight.data = torch.from_numpy(projection.T.copy())
            setattr(base.network, _PROJECTION, linear)
        super().__init__(base, settings)
        self.pooling_factor = pooling_factor
        self._dtype: TensorDtype = dtype
        self._relevant = relevant
        self._shingles = lru_cache(maxsize=_SHINGLES)(Shingles)
        self.packed = pack(self.network.eval()) if self.device.type == "cpu" else None
        self._names = input_names(self.network)
        tokenizer = load_tokenizer(base.folder)
        self.encoder = TextEncoder(
            name=f"{base.name} in training",
            fingerprint=secrets.token_hex(8),  # no cache may know it
            folder=base.folder,
            query_tokenizer=tokenizer,
            document_tokenizer=tokenizer,
            backend=_Backend(self),
        )

    @property
    def padded(self) -> bool:
        """Whether the sequences of a pass are filled up to the longest."""
        return self.packed is None

    @property
    def projection(self) -> Vectors | None:
        """The projection as it is now, (dim, kept)."""
        linear = getattr(self.network, _PROJECTION, None)
        return None if linear is None else linear.weight.detach().cpu().numpy().T.copy()

    def read(self, group: Group) -> list[Tokens]:
        """Tokenise the query, and then each text, as the model will read them when it serves."""
        texts = [each.text for each in group.texts]
        return [
            *self.encoder.tokenize_queries([group.query]),
            *self.encoder.tokenize_documents(texts),
        ]

    def forward(self, groups: Sequence[Sequence[Tokens]]) -> Outcome:
        """Score the texts of all groups for each of their queries, with a gradient."""
        queries = self._tokens([group[0] for group in groups])
        tokens, lengths = self._tokens([text for group in groups for text in group[1:]])
        stored = pool_tokens(tokens, lengths, factor=self.pooling_factor)
        return Outcome((max_sim(*queries, *stored) / TEMPERATURE).cpu())

    def own_scores(self, scores: Tensor, counts: Sequence[int]) -> Sequence[Tensor]:
        """Return of each query's scores those of its own group's texts."""
        blocks = torch.split(scores, list(counts), dim=1)
        return [block[row] for row, block in enumerate(blocks)]

    def targets(
        self, groups: Sequence[Group], objective: Objective
    ) -> tuple[Tensor, Tensor | None]:
        """Return the labels of all groups' texts for each query, and a teacher's scores of its own.

        Texts of another group have the label 0; NaN, which is none, where one of them is judged
        relevant to the query, nearly the same as one that is, or among its own.
        """
        own, taught = targets(groups, objective)
        texts = [each.text for group in groups for each in group.texts]
        labels = torch.zeros(len(groups), len(texts))
        teacher = None if taught is None else torch.full_like(labels, torch.nan)
        start = 0
        for row, group in enumerate(groups):
            relevant = {*self._relevant.get(group.query, ())}
            relevant |= {each.text for each in group.positives}
            near = [self._shingles(text) for text in relevant]
            mine = {each.text for each in group.texts}
            for place, text in enumerate(texts):
                if text in mine or any(self._shingles(text).near(each) for each in near):
                    labels[row, place] = torch.nan
            end = start + len(group.texts)
            labels[row, start:end] = own[row, : len(group.texts)]
            if teacher is not None and taught is not None:
                teacher[row, start:end] = taught[row, : len(group.texts)]
            start = end
        return labels, teacher

    def states(self, batch: TokenBatch) -> Tensor:
        """Return the states of all tokens, text after text, (tokens, dim)."""
        with self.arithmetic():
            if self.packed is not None:
                return self.packed.states(batch)
            inputs = {
                name: torch.from_numpy(getattr(batch, name)).to(self.device) for name in self._names
            }
            states: Tensor = self.network(**inputs).last_hidden_state
        return states[inputs["attention_mask"].bool()]

    def scorer(self) -> StoredMaxSim:
        """Make a `Scorer` of the network as it is now, by tensors as an index would store them."""
        return MaxSimInTraining(
            self.encoder,
            projection=self.projection,
            pooling_factor=self.pooling_factor,
            dtype=self._dtype,
        )

    def save(self, folder: Path) -> None:
        """Write it as its base's folder is, in the layout of sentence-transformers."""
        base = self.base.folder
        copy_encoder(base, folder, network=False)
        weights = {
            name: values
            for name, values in self.network.state_dict().items()
            if not name.startswith(f"{_PROJECTION}.")
        }
        where = folder / base.transformer.relative_to(base.path)
        with silent():
            self.network.save_pretrained(where, state_dict=weights)
        if (projection := self.projection) is not None:
            add_projection(base, projection, folder)

    def recorded(self) -> Mapping[str, Any]:
        """Return what its base's folder says, but for what is of other weights."""
        ours = read_settings(self.base.folder.path / SETTINGS_FILE, OURS)
        other = ("export", "calibration", "vectors_of")
        return {name: value for name, value in ours.items() if name not in other}

    def _tokens(self, sequences: Sequence[Tokens]) -> tuple[Tensor, list[int]]:
        """Return the tokens of texts, as `max_sim` takes them."""
        states = self.states(pad(sequences, pad_id=self.encoder.pad_id)).float()
        linear = getattr(self.network, _PROJECTION, None)
        tokens = states if linear is None else linear(states)
        return F.normalize(tokens, dim=1), [len(sequence.ids) for sequence in sequences]


def open_max_sim(
    name: str,
    settings: TrainerSettings,
    objective: Objective,
    *,
    users: bool = False,
    relevant: Mapping[str, Sequence[str]],
    pooling_factor: int,
    dtype: TensorDtype,
    projection: Vectors | None,
) -> MaxSimNetwork:
    """Load an encoder to train; the rest is as `MaxSimNetwork` has it.

    Raises ConfigError for one with layers of its own after the network, which would not be
    trained, and as `load_encoder_base` does.
    """
    base = load_encoder_base(name, settings)
    folder = base.folder
    if folder.late_interaction or folder.token_projections or folder.tensor_projections:
        raise ConfigError(
            f"{name} has layers of its own for tokens after the network, which would not be"
            " trained; expected a plain encoder: name one with --base"
        )
    return MaxSimNetwork(
        base,
        settings,
        relevant=relevant,
        pooling_factor=pooling_factor,
        dtype=dtype,
        projection=projection,
    )


def relevant_texts(groups: Iterable[Group]) -> Mapping[str, Sequence[str]]:
    """Return the texts judged relevant of each query, in whichever of its groups they are."""
    relevant: dict[str, list[str]] = {}
    for group in groups:
        relevant.setdefault(group.query, []).extend(each.text for each in group.positives)
    return relevant


class MaxSimInTraining(StoredMaxSim):
    """Encodes each text once, and keeps what an index would store of it in memory."""

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        projection: Vectors | None,
        pooling_factor: int,
        dtype: TensorDtype,
    ) -> None:
        super().__init__(
            lambda query: encoder.encode_queries([query])[0].tokens,
            lambda text: encoder.encode_documents([text])[0].tokens,
            projection=projection,
            pooling_factor=pooling_factor,
            dtype=dtype,
        )
        self._encoder = encoder
        self._kept: dict[str, bytes] = {}

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text by MaxSim, within -1 and 1."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        for text, encoding in zip(missing, self._encoder.encode_documents(missing), strict=True):
            self._kept[text] = self.packed(encoding.tokens)
        return super().score(query, texts)

    def stored(self, text: str) -> bytes:
        """Return what an index would store of a text."""
        return self._kept.get(text) or super().stored(text)


class _Backend:
    """Runs the network without a gradient."""

    def __init__(self, network: MaxSimNetwork) -> None:
        self._network = network
        self.description = network.description
        self.batching = batching_on(network.device.type, packed=not network.padded)

    def run(self, batch: TokenBatch) -> Vectors:
        try:
            with torch.no_grad():
                states = self._network.states(batch).float().cpu().numpy()
        except Exception as exc:
            if out_of_memory(exc):
                raise OutOfMemoryError("out of memory while looking at the dev measure") from exc
            raise
        array: Vectors = np.zeros((*batch.attention_mask.shape, states.shape[-1]), dtype=np.float32)
        array[batch.attention_mask.astype(bool)] = states
        return array
