"""Texts as vectors, dense, sparse, or one for each token."""
