"""Training rerankers: the data, so far; losses are in `.losses`, mined negatives in `.mining`."""

from retrieve_rerank.training.converting import Conversion, write_groups
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.lengths import PairLengths
from retrieve_rerank.training.linter import DataReport, check_groups
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource
from retrieve_rerank.training.sampling import Mixture, Resampled, ShuffledTexts
from retrieve_rerank.training.splits import Splits, split_groups, split_queries

__all__ = [
    "Conversion",
    "DataReport",
    "Group",
    "GroupSource",
    "GroupText",
    "Mixture",
    "PairLengths",
    "Resampled",
    "ShuffledTexts",
    "Splits",
    "check_groups",
    "read_groups",
    "split_groups",
    "split_queries",
    "write_groups",
]
