"""What is to be labelled: hits of the retriever that serves, or groups that are there already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from retrieve_rerank.base import Scorer
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining.searching import search_all
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource
from retrieve_rerank.types import Qrels


def candidates_of(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    depth: int,
    users: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Group]:
    """Search for each query as serving does, and yield its first hits as a group.

    Those that `qrels` judge have their grade as label, the others none. `users` tell for queries
    what is known of who asks.
    """
    connector = retriever.connector
    judged = JudgedDocuments(connector, qrels)
    template = Template()
    for searched in search_all(retriever, queries, own={}, filter=None, users=users):
        grades = qrels.get(searched.query_id, {})
        texts = []
        for hit in searched.hits[:depth]:
            grade = grades.get(judged.id_of(hit.document))
            texts.append(
                GroupText(
                    template.render(hit.document),
                    None if grade is None else float(grade),
                    hit.document.id,
                    "mined",
                    rank=hit.rank,
                    label_source=None if grade is None else "qrels",
                )
            )
        if texts:
            user = users.get(searched.query_id, "")
            yield Group(searched.query, tuple(texts), searched.query_id, user=user)


def mined_candidates(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    depth: int,
    beside: Path,
    users: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[int], None] | None = None,
) -> GroupSource:
    """Return what `candidates_of` yields from a file beside `beside`, which is written once.

    So that a labelling which was broken off goes on with the same candidates, whatever was added
    to the index meanwhile; other queries or settings get a file of their own.
    """
    digest = _digest(retriever, queries, qrels, users, depth)
    path = Path(f"{beside}.candidates-{digest}.jsonl")
    if not path.exists():
        tell = on_progress or (lambda count: None)

        def counted() -> Iterator[Group]:
            for group in candidates_of(retriever, queries, qrels, depth=depth, users=users):
                tell(1)
                yield group

        path.parent.mkdir(parents=True, exist_ok=True)
        write_groups(counted(), path)
    return read_groups(path, format="grouped")


def _digest(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    users: Mapping[str, str],
    depth: int,
) -> str:
    schema = retriever.connector.schema()
    stages = [
        [s.reranker.name, s.depth, s.weight]
        + ([s.reranker.fingerprint] if isinstance(s.reranker, Scorer) else [])
        for s in retriever.stages
    ]
    facts = [schema.location, list(schema.rankings), retriever.candidates, stages, depth]
    said = json.dumps([*facts, list(queries.items()), qrels, dict(users)], sort_keys=True)
    return hashlib.blake2b(said.encode(errors="replace"), digest_size=6).hexdigest()
