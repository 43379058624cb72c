"""Texts to vectors: an encoder's pooled vector and its tokens' vectors, from one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.folder import ModelFolder
from retrieve_rerank.models.checkpoints.projection import read_projection
from retrieve_rerank.models.encoders.pooling import pool, unit_rows
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.runtimes.engine import Backend, run_all
from retrieve_rerank.models.tokenizers.texts import TextTokenizer


class TextEncoder:
    """A loaded encoder; one may be shared by many threads.

    An encoder's tokens are all that it attends to, special tokens and prompts included. A
    late-interaction model's are those it was trained to score; its vector is their mean. Layers
    that follow the pooling change the tokens alone.
    """

    def __init__(
        self,
        *,
        name: str,
        fingerprint: str,
        folder: ModelFolder,
        query_tokenizer: TextTokenizer,
        document_tokenizer: TextTokenizer,
        backend: Backend,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.folder = folder
        self.backend = backend
        self._query_tokenizer = query_tokenizer
        self._document_tokenizer = document_tokenizer
        self._token_projections = [read_projection(path) for path in folder.token_projections]
        self._tensor_projections = [read_projection(path) for path in folder.tensor_projections]
        self._vector_projections = [read_projection(path) for path in folder.vector_projections]
        self._check_projections()
        late = folder.late_interaction
        skipped = (document_tokenizer.token_id(token) for token in (late.skipped if late else ()))
        self._skipped = frozenset(token for token in skipped if token is not None)

    def __repr__(self) -> str:
        return f"TextEncoder({self.name!r}, {self.backend.description!r})"

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        if self._vector_projections:
            return self._vector_projections[-1].dimension
        return self._state_size * len(self.folder.pooling)

    @property
    def token_dimension(self) -> int:
        """Length of each token's vector."""
        if self._tensor_projections:
            return self._tensor_projections[-1].dimension
        return self._state_size

    @property
    def vectors_of(self) -> str:
        """Fingerprint of the encoder whose pooled vectors are the same: its own, mostly."""
        return self.folder.vectors_of.get("fingerprint", self.fingerprint)

    @property
    def max_tokens(self) -> int:
        """Tokens the model reads of a document, special tokens and prompt included."""
        return self._document_tokenizer.max_tokens

    @property
    def pad_id(self) -> int:
        """The token that fills a batch up."""
        return self._document_tokenizer.pad_id

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries, prompted as the model expects; (n, dim)."""
        return self._embed(self.tokenize_queries(texts))

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents, prompted as the model expects; (n, dim)."""
        return self._embed(self.tokenize_documents(texts))

    def truncates(self, query: str) -> bool:
        """Tell whether the model reads only the beginning of a query."""
        return self.tokenize_queries([query])[0].truncated

    def embed_query_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Embed queries; one (tokens, dim) array each, rows of length 1."""
        return [encoding.tokens for encoding in self.encode_queries(texts)]

    def embed_document_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Embed documents; one (tokens, dim) array each, rows of length 1."""
        return [encoding.tokens for encoding in self.encode_documents(texts)]

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode queries, prompted as the model expects."""
        return self._encode(self.tokenize_queries(texts))

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode documents, prompted as the model expects."""
        return self._encode(self.tokenize_documents(texts), skipped=self._skipped)

    def tokenize_queries(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise queries as the model reads them."""
        return self._query_tokenizer.encode([self.folder.query_prompt + text for text in texts])

    def tokenize_documents(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise documents as the model reads them."""
        prompt = self.folder.document_prompt
        return self._document_tokenizer.encode([prompt + text for text in texts])

    @property
    def _state_size(self) -> int:
        """Length of what is pooled of each token."""
        if self._token_projections:
            return self._token_projections[-1].dimension
        return self.folder.hidden_size

    def _check_projections(self) -> None:
        size = self._state_size
        for projections, width in (
            (self._token_projections, self.folder.hidden_size),
            (self._tensor_projections, size),
            (self._vector_projections, size * len(self.folder.pooling)),
        ):
            for projection in projections:
                if len(projection.weight) != width:
                    raise ModelError(
                        f"a Dense module of {self.folder.path} takes {len(projection.weight):,}"
                        f" numbers; expected {width:,}, which come to it"
                    )
                width = projection.dimension

    def _encode(
        self, sequences: Sequence[Tokens], *, skipped: frozenset[int] = frozenset()
    ) -> list[Encoding]:
        encodings: dict[int, Encoding] = {}
        for index, states in self._states(sequences):
            sequence = sequences[index]
            kept = [i for i, token in enumerate(sequence.ids) if token not in skipped]
            tokens = states if len(kept) == len(states) else states[kept]
            for projection in self._tensor_projections:
                tokens = projection(tokens)
            encodings[index] = Encoding(self._pool(states), unit_rows(tokens), sequence.truncated)
        return [encodings[index] for index in range(len(sequences))]

    def _embed(self, sequences: Sequence[Tokens]) -> Vectors:
        vectors = np.empty((len(sequences), self.dimension), dtype=np.float32)
        for index, states in self._states(sequences):
            vectors[index] = self._pool(states)
        return vectors

    def _states(self, sequences: Sequence[Tokens]) -> Iterator[tuple[int, Vectors]]:
        for index, states in run_all(self.backend, sequences, pad_id=self.pad_id):
            if states.shape[-1] != self.folder.hidden_size:
                raise ModelError(
                    f"the network of {self.name} gives {states.shape[-1]:,} numbers for a token;"
                    f" expected {self.folder.hidden_size:,}, as its config.json says"
                )
            for projection in self._token_projections:
                states = projection(states)
            yield index, states

    def _pool(self, states: Vectors) -> Vectors:
        if self.folder.late_interaction:
            return unit_rows(unit_rows(states).mean(axis=0))
        vector = pool(states, self.folder.pooling)
        for projection in self._vector_projections:
            vector = projection(vector)
        return unit_rows(vector) if self.folder.normalize else vector
