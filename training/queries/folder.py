"""Generated queries as a BEIR folder: `queries.jsonl`, `qrels/` by split, and `cuts.jsonl`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieve_rerank.data.json_lines import JsonRecords
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import make_folder, write_text
from retrieve_rerank.training.queries.cuts import Cut, Cuts
from retrieve_rerank.training.queries.generate import Generated
from retrieve_rerank.training.queries.proposals import ALL_SOURCES
from retrieve_rerank.training.splits import SPLITS

CUTS = "cuts.jsonl"


def write_folder(generated: Generated, folder: Path) -> None:
    """Write queries, judgments and cuts; raise InputError where that fails, or as `check_new`."""
    check_new(folder)
    make_folder(folder / "qrels")
    for split in SPLITS:
        rows = [
            f"{query}\t{_one_cell(document)}\t{grade}\n"
            for query, its in generated.splits.items()
            if its == split
            for document, grade in generated.qrels[query].items()
        ]
        if rows:
            write_text(
                folder / "qrels" / f"{split}.tsv", "query-id\tcorpus-id\tscore\n" + "".join(rows)
            )
    cuts = (
        {
            "query-id": query,
            "corpus-id": document,
            "source": cut.source,
            "span": cut.span,
            "whole": query in generated.cuts.whole,
        }
        for document, of in generated.cuts.of.items()
        for query, cut in of.items()
    )
    write_text(folder / CUTS, "".join(map(_line, cuts)))
    # Last, and whole or not at all: who finds the queries finds the rest.
    queries = ({"_id": id_, "text": text} for id_, text in generated.queries.items())
    half = folder / ".queries.jsonl"
    write_text(half, "".join(map(_line, queries)))
    half.replace(folder / "queries.jsonl")


def check_new(folder: Path) -> None:
    """Raise InputError where a folder holds queries."""
    if (folder / "queries.jsonl").exists():
        raise InputError(f"{folder} holds queries already; name another folder")


def read_cuts(folder: Path) -> Cuts:
    """Read what `write_folder` wrote; no cuts where the folder has none, as most have."""
    path = folder / CUTS
    if not path.exists():
        return Cuts()
    of: defaultdict[str, dict[str, Cut]] = defaultdict(dict)
    whole: set[str] = set()
    for place, record in JsonRecords(str(path)).objects():
        query, document, cut = _cut(place, record)
        of[document][query] = cut
        if isinstance(record, Mapping) and record.get("whole") is True:
            whole.add(query)
    return Cuts(dict(of), frozenset(whole), generated=True)


def _cut(place: str, record: Mapping[str, Any] | Reason) -> tuple[str, str, Cut]:
    if isinstance(record, Reason):
        raise InputError(f"{place}: {record}")
    wanted = ("query-id", "corpus-id", "source", "span")
    query, document, source, span = values = [record.get(name) for name in wanted]
    if not all(isinstance(each, str) and each for each in values) or source not in ALL_SOURCES:
        raise InputError(
            f"{place}: expected {', '.join(wanted)}, with {', '.join(ALL_SOURCES)} as source;"
            f" got {json.dumps(record, ensure_ascii=False):.120}"
        )
    return str(query), str(document), Cut(source, str(span))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _one_cell(document: str) -> str:
    if any(sign in document for sign in "\t\r\n"):
        raise InputError(f"document id {document!r} holds a tab or a line's end, as no qrels can")
    return document
