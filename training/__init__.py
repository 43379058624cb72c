"""Training rerankers: the data, so far; losses are in `.losses`, mined negatives in `.mining`."""

from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource

__all__ = ["Group", "GroupSource", "GroupText", "read_groups"]
