"""Training rerankers: the data, so far; losses are in `.losses`, mined negatives in `.mining`."""

from retrieve_rerank.training.converting import Conversion, write_groups
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource
from retrieve_rerank.training.sampling import Mixture, Resampled, ShuffledTexts

__all__ = [
    "Conversion",
    "Group",
    "GroupSource",
    "GroupText",
    "Mixture",
    "Resampled",
    "ShuffledTexts",
    "read_groups",
    "write_groups",
]
