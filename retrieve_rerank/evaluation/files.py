"""Queries, relevance judgments and run files, as BEIR and TREC write them.

Every file may be gzipped. What cannot be read raises InputError with the file and the line; blank
lines are passed over. Lines are split no further than their format has columns, so that one of
nothing else takes no more memory than its size.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeAlias

from retrieve_rerank.data.lines import LineFile
from retrieve_rerank.data.records import Reason, is_unicode, parse_json
from retrieve_rerank.errors import InputError, shown
from retrieve_rerank.text.template import readable
from retrieve_rerank.types import Qrels, Run

Rankings: TypeAlias = Mapping[str, Sequence[str]]
"""Query id -> document ids, best first."""

_GRADES_END = 2**31  # from which on trec_eval, without a word, counts nothing
BEIR_HEADER = ("query-id", "corpus-id", "score")
"""Of its judgments."""


def read_queries(path: Path) -> dict[str, str]:
    """Read query id -> text from JSON lines (`_id` or `id`, and `text`) or `id<TAB>text` lines."""
    queries: dict[str, str] = {}
    for number, line in LineFile(str(path)).texts():
        id_, text = (
            _json_query(path, number, line)
            if line.lstrip().startswith("{")
            else _tab_query(path, number, line)
        )
        if not id_ or not text:
            raise _bad(path, number, "a query id and a text", f"{shown(id_)} and {shown(text)}")
        if id_ in queries:
            raise InputError(
                f"{path}:{number}: query {shown(id_)} stands in the file twice; keep one"
            )
        if not is_unicode(id_):
            raise _bad(
                path, number, "a query id in Unicode", f"half a surrogate pair: {shown(id_)}"
            )
        queries[id_] = text
    if not queries:
        raise InputError(f"{path} holds no queries; expected one a line")
    return queries


def read_query_field(queries: Path, field: str) -> dict[str, str]:
    """Read a field of queries, beside the text or in `metadata`: query id -> value.

    `queries` is a BEIR folder, or a file as `read_queries` takes it.
    Queries without it are left out. Raises InputError where a value is neither text nor number.
    """
    path = plain_or_gzipped(queries / "queries.jsonl") if queries.is_dir() else queries
    found: dict[str, str] = {}
    for number, line in LineFile(str(path)).texts():
        record = parse_json(line.encode()) if line.lstrip().startswith("{") else {}
        if isinstance(record, Reason):
            raise _bad(path, number, "a JSON object", f"{shown(line)} ({record})")
        metadata = record.get("metadata")
        value = record.get(field, metadata.get(field) if isinstance(metadata, dict) else None)
        if value is None or value == "":
            continue
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _bad(path, number, f"a text as {field}", shown(str(value)))
        found[str(record.get("_id", record.get("id"))).strip()] = str(value).strip()
    return found


def read_qrels(path: Path) -> Qrels:
    """Read relevance judgments: BEIR (query, document, grade; tabs) or TREC (with a second column).

    Grades are whole numbers; above 0 is relevant. A judgment may be repeated, not contradicted.
    """
    qrels: Qrels = {}
    for number, line in LineFile(str(path)).texts():
        beir = tuple(line.split("\t", 3))
        if not qrels and beir == BEIR_HEADER:
            continue
        trec = line.split(None, 4)
        if len(beir) == 3:
            query, document, grade = (cell.strip() for cell in beir)
        elif len(trec) == 4:
            query, _, document, grade = trec
        else:
            raise _bad(
                path,
                number,
                "query, document and grade between tabs (BEIR), "
                "or query, 0, document and grade (TREC)",
                shown(line),
            )
        try:
            relevance = int(grade)
        except ValueError:
            raise _bad(path, number, "a whole number as grade", shown(grade)) from None
        if abs(relevance) >= _GRADES_END:
            raise _bad(path, number, "a grade of at most 31 bits", shown(grade))
        if qrels.setdefault(query, {}).setdefault(document, relevance) != relevance:
            raise InputError(
                f"{path}:{number}: document {shown(document)} was judged "
                f"{qrels[query][document]} for query {shown(query)} and now {relevance}; keep one"
            )
    if not qrels:
        raise InputError(f"{path} holds no judgments; expected one a line")
    return qrels


def read_run(path: Path) -> Run:
    """Read a TREC run: query, Q0, document, rank, score, tag; what follows the tag is ignored.

    The rank column is ignored too, as trec_eval does: the scores alone tell the order.
    """
    run: Run = {}
    for number, line in LineFile(str(path)).texts():
        cells = line.split(None, 6)
        if len(cells) < 6:
            raise _bad(path, number, "query, Q0, document, rank, score and tag", shown(line))
        query, _, document, _, score = cells[:5]
        try:
            value = float(score)
        except ValueError:
            raise _bad(path, number, "a number as score", shown(score)) from None
        if math.isnan(value):
            raise _bad(path, number, "a number as score", shown(score))
        if document in run.setdefault(query, {}):
            raise InputError(
                f"{path}:{number}: document {shown(document)} stands twice in the ranking of query "
                f"{shown(query)}; keep one"
            )
        run[query][document] = value
    if not run:
        raise InputError(f"{path} holds no results; expected one a line")
    return run


def write_run(path: Path, rankings: Rankings, *, tag: str) -> None:
    """Write a TREC run file whose scores are −rank.

    trec_eval sorts by score again and breaks ties by document id, so that the models' own scores,
    tied or not falling, would not bring back the order that was served. Raises InputError where an
    id holds white space, which the format cannot carry.
    """
    lines = []
    for query, documents in rankings.items():
        for rank, document in enumerate(documents, start=1):
            for kind, id_ in (("query", query), ("document", document)):
                if len(id_.split()) != 1:
                    raise InputError(
                        f"{kind} id {shown(id_)} holds white space, which a TREC run file cannot "
                        "carry; give it an id without"
                    )
            lines.append(f"{query} Q0 {document} {rank} {-rank} {'-'.join(tag.split())}\n")
    write_text(path, "".join(lines))


def write_runs(folder: Path, rankings: Mapping[str, Rankings]) -> None:
    """Write name -> rankings as `name.run` each; what a file name cannot hold becomes a dash."""
    for name, ranking in rankings.items():
        file = re.sub(r"[^\w.-]+", "-", name)
        write_run(folder / f"{file}.run", ranking, tag=name)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there; raise InputError on failure."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"cannot make folder {path}: {exc.strerror}; name another") from exc


def make_folder_for(path: Path) -> None:
    """Make the folder of a file that is written later; raise InputError where that will fail."""
    make_folder(path.parent)
    try:
        if not path.exists():  # what is there may be a pipe, or in a folder that takes nothing new
            TemporaryFile(dir=path.parent).close()  # tried, as permissions tell root nothing
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, whatever is in the text; raise InputError where that fails.

    It is gzipped where its name ends in .gz, as such a file is read.
    """
    content = readable(text).encode()
    try:
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


USER = "user"
"""Field of queries that holds a text on who asks."""

FITTING_SPLITS = ("dev", "validation", "valid", "val", "train")
"""Names of judgments that something may be fitted on, the best first; those of `test` are kept."""


def splits_of(folder: Path) -> list[str]:
    """List the splits of a BEIR folder's judgments, each of them a file in qrels/."""
    return sorted({file.name.split(".")[0] for file in (folder / "qrels").glob("*.tsv*")})


def fitting_split(folder: Path) -> str:
    """Choose the judgments to fit something on; raise InputError where several are left."""
    there = splits_of(folder)
    found = next((split for split in FITTING_SPLITS if split in there), None)
    if found is None and len(there) > 1:
        raise InputError(f"{folder} has the splits {', '.join(there)}; choose one with --split")
    return found or (there[0] if there else "test")


def read_folder(folder: Path, *, split: str) -> tuple[dict[str, str], Qrels]:
    """Read queries and judgments of a BEIR folder: queries.jsonl and qrels/<split>.tsv."""
    splits = splits_of(folder)
    if splits and split not in splits:
        raise InputError(f"{folder} has no split {split!r}; it has: {', '.join(splits)}")
    return (
        read_queries(plain_or_gzipped(folder / "queries.jsonl")),
        read_qrels(plain_or_gzipped(folder / "qrels" / f"{split}.tsv")),
    )


def plain_or_gzipped(path: Path) -> Path:
    """Return the file of a BEIR folder, gzipped or not; raise InputError where there is none."""
    gzipped = path.with_name(f"{path.name}.gz")
    if not path.exists() and not gzipped.exists():
        raise InputError(
            f"expected {path} (or {gzipped.name}), as in a BEIR folder; there is none: name the "
            "files themselves with --queries and --qrels"
        )
    return path if path.exists() else gzipped


def _json_query(path: Path, number: int, line: str) -> tuple[str, str]:
    record = parse_json(line.encode())
    if isinstance(record, Reason):
        raise _bad(path, number, "a JSON object", f"{shown(line)} ({record})")
    id_ = record.get("_id", record.get("id"))
    text = record.get("text")
    if not isinstance(id_, (str, int)) or not isinstance(text, str):
        raise _bad(path, number, 'a JSON object with "_id" and "text"', shown(line))
    return str(id_).strip(), text.strip()


def _tab_query(path: Path, number: int, line: str) -> tuple[str, str]:
    id_, tab, text = line.partition("\t")
    if not tab:
        raise _bad(path, number, "a query id, a tab and the text, or a JSON object", shown(line))
    return id_.strip(), text.strip()


def _unwritable(path: Path, exc: OSError) -> InputError:
    return InputError(f"cannot write {path}: {exc.strerror}; name a file elsewhere")


def _bad(path: Path, number: int, expected: str, got: str) -> InputError:
    return InputError(f"{path}:{number}: expected {expected}; got {got}")
