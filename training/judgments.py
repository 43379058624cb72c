"""Relevance judgments as groups: a BEIR folder, or qrels with queries and a corpus.

The judgments and the judged texts are held in memory; the corpus is passed through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError, shown
from retrieve_rerank.evaluation.files import read_folder, read_qrels, read_queries
from retrieve_rerank.evaluation.judges import folder_judges, llm_judges
from retrieve_rerank.training.formats.fields import UnfitRecordError
from retrieve_rerank.training.formats.format import ReadOptions
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.reading import Found, GroupSource, group_problem
from retrieve_rerank.types import Qrels

TRAIN_SPLIT = "train"


class JudgedGroups(GroupSource):
    """A group for each judged query, with the judged documents and their grades as labels."""

    def __init__(
        self,
        name: str,
        *,
        queries: Mapping[str, str],
        qrels: Qrels,
        judges: Mapping[str, int],
        corpus: str,
        options: ReadOptions,
        skip_bad: bool,
    ) -> None:
        super().__init__(name, skip_bad=skip_bad)
        self.judges = judges
        self._queries = queries
        self._qrels = qrels
        self._corpus = corpus
        self._options = options
        self._reading = Corpus([corpus])
        self._given = 0  # queries of them
        self.size = self._reading.size

    @property
    def format(self) -> str:
        """Name of the format."""
        return "judgments"

    @property
    def has_titles(self) -> bool:
        """Whether the template lays the texts out."""
        return True

    @property
    def position(self) -> int:
        """Bytes read of the corpus, which count as half of the way; the queries are the other."""
        queries = self._given / max(len(self._qrels), 1)
        return int((self._reading.position + queries * self.size) / 2)

    def found(self) -> Iterator[tuple[str, Found]]:
        """Iterate over judged queries and their groups, or what is missing of them."""
        judged = {id_ for grades in self._qrels.values() for id_ in grades}
        self._reading, self._given = Corpus([self._corpus]), 0
        texts = {
            document.id: self._options.template.render(document)
            for document in self._reading
            if document.id in judged
        }
        for query, grades in self._qrels.items():
            self._given += 1
            place = f"{self.name}: query {shown(query)}"
            if query not in self._queries:
                yield place, Reason("judged query without a text", shown(query))
                continue
            for missing in (id_ for id_ in grades if id_ not in texts):
                yield place, Reason("judged document that the corpus lacks", shown(missing))
            try:
                group = self._group(
                    query, {id_: grades[id_] for id_ in grades if id_ in texts}, texts
                )
            except UnfitRecordError as exc:
                yield place, exc.reason
            else:
                yield place, group_problem(group) or group

    def _group(self, query: str, grades: Mapping[str, int], texts: Mapping[str, str]) -> Group:
        judged = (
            GroupText(texts[id_], self._options.label(float(grade)), id_, "qrels")
            for id_, grade in grades.items()
            if id_ in texts
        )
        return Group(self._queries[query], tuple(judged), query)


def folder_groups(
    folder: Path,
    *,
    split: str,
    options: ReadOptions,
    skip_bad: bool,
) -> JudgedGroups:
    """Open a BEIR folder; raise InputError where it lacks the split, queries or a corpus."""
    lacking = [
        file
        for file in ("queries.jsonl", "corpus.jsonl")
        if not any((folder / name).exists() for name in (file, f"{file}.gz"))
    ]
    if lacking:
        raise InputError(
            f"{folder} lacks {' and '.join(lacking)}; expected a BEIR folder: name the files of "
            "other training data themselves"
        )
    queries, qrels = read_folder(folder, split=split)
    return JudgedGroups(
        f"{folder} ({split})",
        queries=queries,
        qrels=qrels,
        judges=folder_judges(folder, splits=[split]),
        corpus=str(folder),
        options=options,
        skip_bad=skip_bad,
    )


def qrels_groups(
    path: Path,
    *,
    queries: Path,
    corpus: str,
    options: ReadOptions,
    skip_bad: bool,
) -> JudgedGroups:
    """Open judgments in BEIR's form or TREC's; raise InputError where they cannot be read."""
    return JudgedGroups(
        str(path),
        queries=read_queries(queries),
        qrels=read_qrels(path),
        judges=llm_judges(path),
        corpus=corpus,
        options=options,
        skip_bad=skip_bad,
    )
