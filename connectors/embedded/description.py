"""What `rr info` shows of an embedded index."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.connectors.embedded.folder import IndexFolder
from retrieve_rerank.connectors.embedded.shard import bytes_on_disk
from retrieve_rerank.connectors.field_types import field_types
from retrieve_rerank.connectors.hybrid import BM25, DENSE, Fusion


def describe(
    folder: IndexFolder, info: edge.ShardInfo, *, documents: int, fusion: Fusion
) -> IndexSchema:
    """Gather what the manifest, the engine and the disk say."""
    manifest = folder.manifest
    settings, bm25, encoder = manifest.settings, manifest.bm25, manifest.encoder
    details: dict[str, Any] = {
        "segments": info.segments_count,
        "indexed_vectors": info.indexed_vectors_count,
        "template": settings.template,
        "fusion": {"method": fusion.method, "weights": dict(fusion.weights)},
        "bm25": {
            "k1": settings.k1,
            "b": settings.b,
            "average_length": round(bm25.average_length, 1) if bm25 else None,
        },
    }
    if encoder:
        details["fingerprint"] = encoder.fingerprint
        details["tensors"] = {
            "pooling_factor": settings.pooling_factor,
            "storage": settings.tensor_storage,
        }
        if tokens := manifest.token_encoder:
            details["tensors"] |= {
                "encoder": tokens.name,
                "fingerprint": tokens.fingerprint,
                "dimension": tokens.dimension,
            }
    return IndexSchema(
        connector="embedded",
        location=str(folder.path),
        documents=documents,
        rankings=(DENSE, BM25) if encoder else (BM25,),
        encoder=encoder.name if encoder else None,
        dimension=encoder.dimension if encoder else None,
        token_tensors=encoder is not None,
        fields=field_types(manifest.fields),
        language=bm25.language if bm25 else settings.language,
        bytes_on_disk=bytes_on_disk(folder.shard),
        details=details,
        notes=_notes(folder, documents),
    )


def _notes(folder: IndexFolder, documents: int) -> list[str]:
    recorded = folder.manifest.inventory
    if folder.written or not folder.manifest.writing:
        return []
    if recorded is None:
        return [
            "what its files hold is not recorded (an earlier release made it, or making it was "
            "interrupted), so that damage may go unnoticed; `rr info --verify` looks at each "
            "document and records it"
        ]
    return [
        f"writing to it was interrupted: it holds {documents:,} documents, and held "
        f"{recorded.documents:,} when it was last closed; the same `rr index` goes on from there"
    ]
