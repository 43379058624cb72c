"""Writing to an index: batch by batch, leaving out what is there already.

What has been reported survives the end of the process at any moment, and running the same again
goes on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import qdrant_edge as edge

from retrieve_rerank.base import IndexReport, Vectors
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.batches import batches, sample
from retrieve_rerank.connectors.embedded.encoding import IndexEncoder
from retrieve_rerank.connectors.embedded.folder import IndexFolder
from retrieve_rerank.connectors.embedded.graph_part import counted_in_graph
from retrieve_rerank.connectors.embedded.points import make_points
from retrieve_rerank.connectors.embedded.requests import HASH_ONLY
from retrieve_rerank.connectors.embedded.shard import require_space
from retrieve_rerank.connectors.embedded.shared import SharedShard
from retrieve_rerank.connectors.field_types import add_fields
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.connectors.records import Record, record
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Document

_STEP_POINTS = 16  # written at once; the engine reads its last step again at every opening
_STEP_BYTES = 8 << 20
_FLUSH_EVERY_S = 5.0  # opening after a kill writes again what was not flushed


class Writer:
    """Changes an index and its manifest; one thread at a time, the others wait."""

    def __init__(self, folder: IndexFolder, shard: SharedShard, encoder: IndexEncoder) -> None:
        self._folder = folder
        self._shard = shard
        self._encoder = encoder
        self._turn = threading.RLock()  # `on_progress` may write too

    def index(
        self,
        documents: Iterable[Document],
        on_progress: Callable[[int], None] | None,
        vectors: Callable[[Sequence[str]], Mapping[str, Vectors]] | None = None,
    ) -> IndexReport:
        """Add the documents; flush now and then, and whatever ends it.

        `vectors` gives those that the first stage searches by, where they are there already.
        """
        indexed = unchanged = truncated = 0
        with self._turn:
            flushed = time.monotonic()
            try:
                for batch in batches(self._fit(documents)):
                    records = {each.id: each for each in map(record, batch)}  # the last one counts
                    new = self._changed(records)
                    self._learn_fields(new)
                    truncated += self._write(new, vectors)
                    indexed += len(new)
                    unchanged += len(records) - len(new)
                    if time.monotonic() - flushed > _FLUSH_EVERY_S:
                        self._shard.flush()
                        flushed = time.monotonic()
                    if on_progress:
                        on_progress(len(batch))
            finally:
                self._shard.flush()
        return IndexReport(indexed, unchanged, truncated)

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents; return how many there were."""
        points: list[edge.PointId] = list({point_id(id_) for id_ in ids})
        with self._turn, self._shard.use() as shard:
            found = len(shard.retrieve(points, HASH_ONLY, False))
            self._shard.update(edge.UpdateOperation.delete_points(points))
            shard.flush()
        return found

    def optimize(self, on_progress: Callable[[float], None] | None) -> bool:
        """Optimize the shard between two writes."""
        with self._turn:
            changed = self._shard.optimize(on_progress)
            if changed:
                with self._shard.use() as shard:
                    in_graph = counted_in_graph(shard.info())
                self._folder.save(replace(self._folder.manifest, in_graph=in_graph))
        return changed

    def _fit(self, documents: Iterable[Document]) -> Iterable[Document]:
        """Tell language and average length from the first documents an index ever sees."""
        if self._folder.manifest.bm25 is not None:
            return documents
        settings = self._folder.manifest.settings
        first, documents = sample(documents)
        if first:
            template = Template(settings.template)
            bm25 = Bm25.fit(
                [template.render(document) for document in first],
                language=settings.language,
                k1=settings.k1,
                b=settings.b,
            )
            self._folder.save(replace(self._folder.manifest, bm25=bm25))
        return documents

    def _changed(self, records: dict[str, Record]) -> list[Record]:
        points = {point_id(id_): each for id_, each in records.items()}
        with self._shard.use() as shard:
            stored = shard.retrieve(list(points), HASH_ONLY, False)
        for old in stored:
            if (old.payload or {}).get("hash") == points[str(old.id)].content_hash:
                del points[str(old.id)]
        return list(points.values())

    def _learn_fields(self, records: Iterable[Record]) -> None:
        # Before their documents are written: a filter may name too many fields, never too few.
        fields = deepcopy(self._folder.manifest.fields)
        changed = [add_fields(fields, each.metadata) for each in records]
        if any(changed):
            self._folder.save(replace(self._folder.manifest, fields=fields))

    def _write(
        self,
        records: Sequence[Record],
        vectors: Callable[[Sequence[str]], Mapping[str, Vectors]] | None,
    ) -> int:
        bm25 = self._folder.manifest.bm25
        if not records or bm25 is None:
            return 0
        require_space(self._folder.path)
        made = make_points(
            records,
            settings=self._folder.manifest.settings,
            bm25=bm25,
            encoder=self._encoder.of_tokens() if vectors else self._encoder.get(),
            dimension=self._encoder.dimension,
            token_dimension=self._encoder.token_dimension,
            vectors=vectors([each.id for each in records]) if vectors else None,
        )
        steps = cut(made.points, lambda each: each.size, size=_STEP_BYTES, count=_STEP_POINTS)
        for step in steps:
            require_space(self._folder.path, sum(each.size for each in step))
            points = [each.point for each in step]
            self._shard.update(edge.UpdateOperation.upsert_points(points))
        return made.truncated
