"""The ids of points in our own indexes of Qdrant's, in-process and on servers alike."""

from __future__ import annotations

import uuid

from retrieve_rerank.connectors.records import uuid_of

_NAMESPACE = uuid.UUID("6e0c4c6a-8f0e-5f3e-9a53-0f2b5c1d7a11")


def point_id(document_id: str) -> str:
    """Map a document's id to a point's: Qdrant takes numbers and UUIDs only."""
    return str(uuid_of(_NAMESPACE, document_id))
