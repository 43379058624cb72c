"""Large language models as rerankers."""
