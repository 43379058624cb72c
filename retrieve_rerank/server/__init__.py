"""The HTTP server: search, and rerank endpoints in the shapes that clients speak."""
