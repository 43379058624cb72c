"""Decoders with a linear head after each of their upper layers, all trained at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.causal.layerwise_network import load_all_layers, published_weights
from retrieve_rerank.models.loading import Checkpoint
from retrieve_rerank.rerankers.llm.published_prompts import SCALAR
from retrieve_rerank.training.trainers.base import Base
from retrieve_rerank.training.trainers.decoders.base import folder_of
from retrieve_rerank.training.trainers.decoders.pointwise import ScalarHeadNetwork
from retrieve_rerank.training.trainers.decoders.samples import Sample
from retrieve_rerank.training.trainers.network import Outcome
from retrieve_rerank.training.trainers.settings import TrainerSettings


class LayerwiseNetwork(ScalarHeadNetwork):
    """A network in the layout of bge-reranker-v2-minicpm-layerwise, saved as it was.

    Each head learns the labels, and those below the last layer its distribution over the list.
    """

    plain = SCALAR["bge-reranker-layerwise"]

    def load_base(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Base:
        """Load the network with all of its layers and heads."""
        if settings.trainable == "lora":
            raise ConfigError(
                f"{checkpoint.name} has a head after each layer, which LoRA would leave as they"
                " are; set trainable to all, or to a number of layers"
            )
        network: Any = load_all_layers(checkpoint)
        folder = folder_of(checkpoint, network, settings, max_tokens=self.prompt.max_tokens)
        total = network.config.num_hidden_layers
        self._start = int(checkpoint.folder.config["start_layer"])
        self.lower_heads = total - self._start
        return Base(checkpoint.name, folder, network, False)

    def forward(self, groups: Sequence[Sequence[Sample]]) -> Outcome:
        """Score by the last head, and by those of lower layers."""
        samples = [sample for group in groups for sample in group]
        ids, _ = self.padded_ids([sample.ids for sample in samples])
        decoder = self.network.get_decoder()
        with self.arithmetic():
            hidden = decoder(
                input_ids=ids, use_cache=False, output_hidden_states=True
            ).hidden_states[self._start :]
        rows, ends = range(len(samples)), [len(sample.ids) - 1 for sample in samples]
        sizes = [len(group) for group in groups]
        scores = []
        for place, states in enumerate(hidden):
            last = states[rows, ends].float()
            # The states after the last layer are normed already.
            normed = last if place == self.lower_heads else decoder.norm(last)
            scores.append(self._rows(self._head(place)(normed)[:, 0], sizes))
        return Outcome(scores[-1], lower=scores[:-1])

    def save(self, folder: Path) -> None:
        """Write weights by their published names, and the configuration as it was."""
        weights = {
            name: each.detach().cpu().contiguous()
            for name, each in published_weights(self.network).items()
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        shutil.copyfile(self.base.folder.path / "config.json", folder / "config.json")

    def _head(self, place: int) -> Any:
        heads = self.network.score
        return heads[place] if len(heads) > 1 else heads[0]

    def _rows(self, scores: Tensor, sizes: Sequence[int]) -> Tensor:
        return pad_sequence(list(torch.split(scores, list(sizes))), batch_first=True).float().cpu()
