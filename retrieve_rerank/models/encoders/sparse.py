"""Texts to weights of a vocabulary's tokens: SPLADE, and the sparse half of BGE-M3."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.folder import LEXICAL_WEIGHTS, ModelFolder
from retrieve_rerank.models.checkpoints.folder_files import AGAIN
from retrieve_rerank.models.checkpoints.folder_schema import TOKENIZER, read_settings
from retrieve_rerank.models.checkpoints.safetensors_files import read_safetensors
from retrieve_rerank.models.checkpoints.sparse_layout import Splade
from retrieve_rerank.models.loading import find_checkpoint, load_backend, load_tokenizer
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.runtimes.engine import Backend, run_all
from retrieve_rerank.models.tokenizers.texts import TextTokenizer

_NUMBERS = 1 << 24  # in one batch's output, 64 MiB of float32


class Weighing(Protocol):
    """The last step of a sparse encoder."""

    width: int
    """Numbers that the network must give for each token."""

    def __call__(self, ids: Sequence[int], output: Vectors) -> dict[int, float]:
        """Weigh a text, given its token ids and the network's output (tokens, width)."""


class SparseTextEncoder:
    """A loaded sparse encoder; one may be shared by many threads."""

    def __init__(
        self,
        *,
        name: str,
        fingerprint: str,
        folder: ModelFolder,
        tokenizer: TextTokenizer,
        backend: Backend,
        weighing: Weighing,
        query_weights: StaticWeights | None,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._folder = folder
        self._tokenizer = tokenizer
        self._backend = backend
        self._weighing = weighing
        self._query_weights = query_weights

    def __repr__(self) -> str:
        return f"SparseTextEncoder({self.name!r}, {self._backend.description!r})"

    def encode_queries(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh each query's tokens: token id -> weight above 0."""
        prompted = [self._folder.query_prompt + text for text in texts]
        if self._query_weights is not None:
            return self._query_weights.weigh(prompted)
        return self._encode(prompted)

    def encode_documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh each document's tokens: token id -> weight above 0."""
        return self._encode([self._folder.document_prompt + text for text in texts])

    def truncates(self, query: str) -> bool:
        """Tell whether the model reads only the beginning of a query."""
        tokenizer = self._query_weights.tokenizer if self._query_weights else self._tokenizer
        return tokenizer.encode([self._folder.query_prompt + query])[0].truncated

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Name tokens as the vocabulary writes them; raise InputError for numbers beyond it."""
        return [self._tokenizer.token(token_id) for token_id in ids]

    def _encode(self, texts: Sequence[str]) -> list[dict[int, float]]:
        sequences: list[Tokens] = self._tokenizer.encode(texts)
        weights: dict[int, dict[int, float]] = {}
        budget = min(self._backend.batching.budget, _NUMBERS // self._weighing.width)
        for index, output in run_all(
            self._backend, sequences, pad_id=self._tokenizer.pad_id, budget=budget
        ):
            if output.shape[-1] != self._weighing.width:
                raise ModelError(
                    f"the network of {self.name} gives {output.shape[-1]} numbers for each token;"
                    f" expected {self._weighing.width}. If it was exported, then without its head"
                )
            weights[index] = self._weighing(sequences[index].ids, output)
        return [weights[index] for index in range(len(sequences))]


class SpladeWeighing:
    """log(1 + relu(logit)) of every word of the vocabulary, pooled over the text's tokens."""

    def __init__(self, splade: Splade, *, vocabulary: int) -> None:
        self.width = vocabulary
        self._splade = splade

    def __call__(self, ids: Sequence[int], output: Vectors) -> dict[int, float]:
        """Weigh a text, given the logits (tokens, vocabulary)."""
        if self._splade.pooling == "max":  # grows with the logit, so that the order is free
            output = output.max(axis=0, keepdims=True)
        weights = np.log1p(np.maximum(output, 0))
        if self._splade.activation == "log1p_relu":
            weights = np.log1p(weights)
        vector = weights.sum(axis=0)
        if self._splade.most is not None and self._splade.most < len(vector):
            vector[np.argpartition(vector, -self._splade.most)[: -self._splade.most]] = 0
        return _above_zero(vector)


class LexicalWeighing:
    """BGE-M3: a weight for each token of the text itself, the largest where one is repeated.

    Chen et al., https://arxiv.org/abs/2402.03216, section 3.2. The special tokens have none.
    """

    def __init__(self, file: Path, *, skipped: frozenset[int]) -> None:
        tensors = read_safetensors(file)
        if set(tensors) != {"weight", "bias"} or tensors["weight"].shape[:-1] != (1,):
            raise ModelError(f"{file} holds {sorted(tensors)}; expected one row of weights, a bias")
        self._weight = tensors["weight"][0]
        self._bias = tensors["bias"][0]
        self._skipped = skipped
        self.width = len(self._weight)

    def __call__(self, ids: Sequence[int], output: Vectors) -> dict[int, float]:
        """Weigh a text, given its hidden states (tokens, dim)."""
        weights: dict[int, float] = {}
        for token_id, weight in zip(
            ids, (output @ self._weight + self._bias).tolist(), strict=True
        ):
            if weight > 0 and token_id not in self._skipped:
                weights[token_id] = max(weight, weights.get(token_id, 0.0))
        return weights


class StaticWeights:
    """A weight for each token, whatever the text: queries need no network."""

    def __init__(self, folder: Path) -> None:
        file = folder / "model.safetensors"
        weights = read_safetensors(file).get("weight")
        settings = read_settings(folder / "tokenizer_config.json", TOKENIZER)
        self.tokenizer = TextTokenizer(
            folder / "tokenizer.json",
            max_tokens=min(int(settings.get("model_max_length") or 512), 1 << 20),
            special_tokens=False,
        )
        if weights is None or weights.ndim != 1 or len(weights) < self.tokenizer.vocabulary:
            raise ModelError(f"{file} lacks a weight for each token of its tokenizer; {AGAIN}")
        self._weights = weights

    def weigh(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh the tokens that occur in each text, once each."""
        found = []
        for sequence in self.tokenizer.encode(texts):
            vector = np.zeros_like(self._weights)
            ids = list(sequence.ids)
            vector[ids] = self._weights[ids]
            found.append(_above_zero(vector))
        return found


def load_sparse_encoder(
    name: str, *, device: str = "auto", threads: int | None = None
) -> SparseTextEncoder:
    """Load a sparse encoder: an alias, a folder, or a hub id; arguments as for `load_encoder`.

    SPLADE as sentence-transformers saves it, or as a plain checkpoint of a masked language model
    (log(1 + relu), the maximum over tokens); BGE-M3 where LEXICAL_WEIGHTS is beside it. Raises
    ModelNotFoundError or ModelError.
    """
    checkpoint = find_checkpoint(name, device=device)
    folder = checkpoint.folder
    tokenizer = load_tokenizer(folder)
    lexical = folder.path / LEXICAL_WEIGHTS
    splade = folder.splade or _plain(folder)
    static = splade.query_weights if splade else None
    if splade is not None:
        vocabulary = int(folder.config["vocab_size"])
        weighing: Weighing = SpladeWeighing(splade, vocabulary=vocabulary)
    elif lexical.is_file():
        weighing = LexicalWeighing(lexical, skipped=_special_tokens(folder, tokenizer))
    else:
        raise ModelError(
            f"{name} is no sparse encoder; expected SPLADE, a masked language model, or BGE-M3"
            f" with {LEXICAL_WEIGHTS}. BGE-M3 comes with sparse_linear.pt, a pickle, which is not"
            " read: download the model into a folder, and write that file beside it with"
            " safetensors.torch.save_file(torch.load('sparse_linear.pt', weights_only=True),"
            f" '{LEXICAL_WEIGHTS}')"
        )
    return SparseTextEncoder(
        name=name,
        fingerprint=checkpoint.fingerprint if splade else _with(checkpoint.fingerprint, lexical),
        folder=folder,
        tokenizer=tokenizer,
        backend=load_backend(checkpoint, vocabulary=splade is not None, threads=threads),
        weighing=weighing,
        query_weights=StaticWeights(static) if static else None,
    )


def _plain(folder: ModelFolder) -> Splade | None:
    """Read a masked language model without modules.json as sentence-transformers does."""
    plain = not (folder.path / "modules.json").exists()
    return Splade() if plain and folder.architecture.endswith("ForMaskedLM") else None


def _special_tokens(folder: ModelFolder, tokenizer: TextTokenizer) -> frozenset[int]:
    names = ("cls_token", "eos_token", "pad_token", "unk_token")  # as FlagEmbedding leaves out
    ids = (tokenizer.token_id(folder.special_token(name)) for name in names)
    return frozenset(token for token in ids if token is not None)


def _with(fingerprint: str, file: Path) -> str:
    return hashlib.sha256(fingerprint.encode() + file.read_bytes()).hexdigest()[:16]


def _above_zero(vector: Vectors) -> dict[int, float]:
    ids = np.flatnonzero(vector > 0)
    return dict(zip(ids.tolist(), vector[ids].tolist(), strict=True))
