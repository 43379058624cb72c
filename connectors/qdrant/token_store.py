"""The part of a connector that token tensors are added by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieve_rerank.base import TensorDtype, TensorReplacing, TensorSettings, TokenTensor
from retrieve_rerank.connectors.qdrant.tensor_draft import Draft
from retrieve_rerank.connectors.qdrant.tensors import Tensors


class QdrantTensorStore(TensorReplacing):
    """Keeps token tensors in the collection, or in a companion of the same point ids."""

    _tensors: Tensors
    _draft: Draft

    @property
    def tensor_dtype(self) -> TensorDtype:
        """int8, or float16 where the server is too old for it."""
        return self._tensors.dtype

    def tensor_settings(self) -> TensorSettings | None:
        """Tell how the tensors that are there were made; None where there are none."""
        return self._tensors.settings()

    def create_tensors(self, settings: TensorSettings, *, companion: bool | None = None) -> None:
        """Make room for tensors, in the collection itself or in a companion, `NAME.rr-tensors`.

        None chooses: a companion where the only vector has no name, which it would get for good,
        where sharding is custom, before Qdrant 1.18, which cannot add vectors to a collection, and
        where the key may not change it. Raises IndexMismatchError where tensors of other settings
        or at the other place are, UnsupportedServerError, PermissionDeniedError, IndexExistsError
        where something else has the companion's name, and ConfigError for int8 before 1.20.
        """
        self._tensors.create(settings, companion=companion)

    def tensor_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a tensor."""
        return self._tensors.hashes(ids)

    def write_tensors(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents; raise PartialWriteError.

        Those of documents that are gone are left out, and tokens of one that together have more
        numbers than Qdrant takes (1,048,576) are averaged with their neighbours.
        """
        self._tensors.write(tensors)

    def tensor_ids(self) -> Iterator[str]:
        """Iterate over the ids that have a tensor; in a companion, deleted documents' too."""
        return self._tensors.ids()

    def delete_tensors(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""
        self._tensors.delete(ids)

    def drop_tensors(self) -> None:
        """Delete all tensors, the room made for them and their record; the documents stay."""
        self._draft.discard()
        self._tensors.drop()

    def draft_tensors(self, settings: TensorSettings) -> Draft:
        """Make room beside the tensors that serve, where these are: here or in a companion.

        What was begun with other settings is deleted. Raises UnsupportedServerError for the
        collection itself before Qdrant 1.18, PermissionDeniedError, IndexExistsError where
        something else has the companion's name, and ConfigError for int8 before 1.20.
        """
        self._draft.begin(settings)
        return self._draft

    def drafted(self) -> TensorSettings | None:
        """Tell how the tensors are made that were begun and do not serve; None where none were."""
        return self._draft.look()

    def discard_draft(self) -> None:
        """Delete what was begun and does not serve, and what is left of those that served."""
        self._draft.discard()
