"""Looking at everything that an index holds: what opening it has no time for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import qdrant_edge as edge

from retrieve_rerank.base import Verification
from retrieve_rerank.connectors.embedded import inventory, requests
from retrieve_rerank.connectors.embedded.folder import IndexFolder, folder_of, open_folder
from retrieve_rerank.connectors.embedded.shard import TOKENS, engine_errors, open_shard
from retrieve_rerank.connectors.embedded.shared import count
from retrieve_rerank.connectors.hybrid import DENSE
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.connectors.records import record
from retrieve_rerank.errors import IndexCorruptError

_PAGE = 256
_ENOUGH = 100  # findings; more say nothing new


def verify(url: str, *, lock_timeout_s: float) -> Verification:
    """Look at every file and every document of an index that nobody has open.

    Where nothing is wrong and its files were not recorded, they are from now on. Raises what
    `EmbeddedConnector.connect` does, other than for damage.
    """
    folder = open_folder(folder_of(url), lock_timeout_s=lock_timeout_s)
    try:
        with engine_errors(folder.path):
            return _verify(folder)
    finally:
        folder.close()


def _verify(folder: IndexFolder) -> Verification:
    recorded = folder.manifest.inventory
    if recorded is None or folder.manifest.writing:
        recorded, damage = None, inventory.missing(folder.shard, recorded)
    else:
        damage = inventory.compare(folder.shard, recorded, thoroughly=True).damage
    if damage:
        return Verification(0, damage)
    try:
        shard = open_shard(folder.shard)
    except IndexCorruptError as exc:
        return Verification(0, [str(exc)])
    documents = count(shard)
    if recorded is not None and documents != recorded.documents:
        damage.append(f"{documents:,} documents where {recorded.documents:,} were written")
    damage += islice(_documents(shard, folder), _ENOUGH)
    shard.close()
    if recorded is None and not damage:
        open_shard(folder.shard).close()  # as when writing ends
        folder.end_writing(documents)
    return Verification(documents, damage)


def _documents(shard: edge.EdgeShard, folder: IndexFolder) -> Iterator[str]:
    """Look at each document; its hash is of what was written."""
    offset, seen = None, 0
    while True:
        page, offset = shard.scroll(
            edge.ScrollRequest(offset=offset, limit=_PAGE, with_payload=True, with_vector=True)
        )
        for point in page:
            seen += 1
            payload = point.payload or {}
            try:
                document = requests.document(payload)
                whole = record(document).content_hash == payload.get("hash")
            except (IndexCorruptError, ValueError, TypeError, AttributeError) as exc:
                yield f"a document cannot be read ({exc})"
                continue
            if not whole or point_id(document.id) != str(point.id):
                yield f"document {document.id!r} is not as it was written"
            yield from (
                f"document {document.id!r} has {problem}"
                for problem in _vectors(point.vector, folder)
            )
        if offset is None:
            break
    if seen != count(shard):
        yield f"{seen:,} documents can be read of {count(shard):,}"


def _vectors(found: object, folder: IndexFolder) -> Iterator[str]:
    encoder, of_tokens = folder.manifest.encoder, folder.manifest.token_encoder
    if encoder is None:
        return
    vectors = found if isinstance(found, dict) else {}
    if DENSE not in vectors:
        yield "no vector"
    for name, made_with in ((DENSE, encoder), (TOKENS, of_tokens or encoder)):
        if name in vectors:
            values = np.asarray(vectors[name], dtype=np.float32)
            if values.shape[-1] != made_with.dimension:
                yield f"a {name} vector of {values.shape[-1]} numbers, not {made_with.dimension}"
            elif not np.isfinite(values).all():
                yield f"a {name} vector with numbers that are infinite or none"
