"""A cross-encoder in training: an encoder with a head of one label."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError, OutOfMemoryError
from retrieve_rerank.models.checkpoints.labels import LabelScore
from retrieve_rerank.models.loading import load_tokenizer
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.models.runtimes.batching import TokenBatch, Tokens, pad
from retrieve_rerank.models.runtimes.packed import pack
from retrieve_rerank.models.runtimes.torch import batching_on, input_names, out_of_memory
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers.base import Base
from retrieve_rerank.training.trainers.network import Network, Outcome
from retrieve_rerank.training.trainers.settings import TrainerSettings


class PairNetwork(Network[Tokens]):
    """A network with one label, without padding where that is possible."""

    reranker = "cross-encoder"

    def __init__(self, base: Base, settings: TrainerSettings) -> None:
        super().__init__(base, settings)
        self.tokenizer = load_tokenizer(base.folder)
        known = self.network.get_input_embeddings().num_embeddings
        if self.tokenizer.vocabulary > known:
            raise ModelError(
                f"the tokenizer of {base.name} has {self.tokenizer.vocabulary:,} tokens and its"
                f" network knows {known:,}: they are of two models; expected a checkpoint with its"
                " own tokenizer"
            )
        on_cpu = self.device.type == "cpu"
        may_pack = settings.without_padding and on_cpu and not settings.gradient_checkpointing
        self.packed = pack(self.network.eval()) if may_pack else None
        self._names = input_names(self.network)

    @property
    def padded(self) -> bool:
        """Whether the sequences of a pass are filled up to the longest."""
        return self.packed is None

    def read(self, group: Group) -> list[Tokens]:
        """Tokenise each pair as the model will read it when it serves."""
        folder = self.base.folder
        query = folder.pair_prompt + folder.for_user(group.query, group.user)
        return self.tokenizer.encode_pairs([(query, each.text) for each in group.texts])

    def scores(self, sequences: Sequence[Tokens]) -> Tensor:
        """Score each pair, (n,), float32, with a gradient."""
        return self.logits(pad(sequences, pad_id=self.tokenizer.pad_id))[:, 0].float()

    def forward(self, groups: Sequence[Sequence[Tokens]]) -> Outcome:
        """Score the pairs of some groups, with a gradient."""
        scores = self.scores([tokens for group in groups for tokens in group]).cpu()
        rows = torch.split(scores, [len(group) for group in groups])
        return Outcome(pad_sequence(list(rows), batch_first=True))

    def logits(self, batch: TokenBatch) -> Tensor:
        """Return (n, 1)."""
        with self.arithmetic():
            if self.packed is not None:
                return self.packed.logits(batch)
            inputs = {
                name: torch.from_numpy(getattr(batch, name)).to(self.device) for name in self._names
            }
            logits: Tensor = self.network(**inputs).logits
        return logits

    def scorer(self) -> CrossEncoder:
        """Make a `Scorer` of the network as it is now; it follows the network's training."""
        folder = self.base.folder
        return CrossEncoder(
            PairModel(
                name=f"{self.base.name} in training",
                fingerprint=secrets.token_hex(8),  # no cache may know it
                folder=folder,
                tokenizer=self.tokenizer,
                backend=_Backend(self),
                label_score=LabelScore(0),
            )
        )

    def save(self, folder: Path) -> None:
        """Write weights and configuration, for sentence-transformers too."""
        # Otherwise it would put a sigmoid on a model of one label.
        self.network.config.sentence_transformers = {
            "activation_fn": "torch.nn.modules.linear.Identity"
        }
        super().save(folder)

    def recorded(self) -> Mapping[str, Any]:
        """Return its templates."""
        settings = {"template": self.base.folder.template.pattern}
        if self.base.folder.query_template is not None:
            settings["query_template"] = self.base.folder.query_template.pattern
        return settings


class _Backend:
    """Runs the network without a gradient."""

    def __init__(self, network: PairNetwork) -> None:
        self._network = network
        self.description = network.description
        self.batching = batching_on(network.device.type, packed=not network.padded)

    def run(self, batch: TokenBatch) -> Vectors:
        try:
            with torch.no_grad():
                array: Vectors = self._network.logits(batch).float().cpu().numpy()
        except Exception as exc:
            if out_of_memory(exc):
                raise OutOfMemoryError("out of memory while looking at the dev measure") from exc
            raise
        return array
