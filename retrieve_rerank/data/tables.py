"""CSV and TSV files."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from retrieve_rerank.data.lines import MAX_LINE_BYTES, LineFile
from retrieve_rerank.data.records import (
    ID_FIELDS,
    TEXT_FIELDS,
    Fields,
    Found,
    Note,
    Reason,
    is_unicode,
    read_document,
)
from retrieve_rerank.errors import InputError, shown

MAX_COLUMNS = 1_000_000
"""Separators of one line; a line of nothing else would take many times its size."""

NAMED_COLUMNS = 20
"""How many a message lists."""

_NEVER_CLOSED = ("unexpected end of data", "field larger than field limit")
"""How Python's reader begins its errors about a cell whose quote is not closed."""

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


class Table(LineFile):
    """Rows under a header that names the columns; cells are text, and empty ones are left out.

    CSV is quoted as RFC 4180 says, so that a cell may hold line breaks; a quote that is never
    closed raises InputError when it is reached. Where the header has no comma, semicolons divide
    the columns, as spreadsheets have it where the comma is the decimal mark. In TSV every line is a
    row, since most collections write quotes there as they come; quotes around a whole cell are
    taken off. TSV of two columns without a header is read as id and text, as MS MARCO has it.
    Columns without a name, such as the row numbers of a data frame, are left out; two of one name
    are refused.
    """

    def __init__(self, path: str, fields: Fields, *, tabs: bool) -> None:
        super().__init__(path)
        self._fields = fields
        self._rows = self._tsv_rows if tabs else self._csv_rows
        self._tabs = tabs
        if self.size:
            next(self.records(), None)  # raises where the header is of no use

    def records(self) -> Iterator[tuple[str, Found]]:
        """Iterate over line numbers and what stands there."""
        columns: list[str] = []
        for number, row in self._rows():
            place = f"{self.name}:{number}"
            if isinstance(row, Reason):
                yield place, row
            elif not columns and self._is_header(names := [name.strip() for name in row]):
                columns = names
                if nameless := names.count(""):
                    count = f"{nameless} column{'s' * (nameless != 1)}"
                    yield place, Note("columns without a name", f"{count} left out")
            else:
                columns = columns or ["id", "text"]
                for found in self._document(columns, row):
                    yield place, found

    def _is_header(self, row: list[str]) -> bool:
        has_id = _has(row, self._fields.id, ID_FIELDS)
        has_text = _has(row, self._fields.text, TEXT_FIELDS)
        if not (has_id or has_text) and self._tabs and len(row) == 2 and self._fields == Fields():
            return False
        for what, found, otherwise in (
            ("id", has_id, "; where there is none, add a column of ids"),
            ("text", has_text, ""),
        ):
            if not found:
                raise InputError(
                    f"{self.name} has no column for the {what}; its columns: {_listed(row)}. "
                    f"Name it with --{what}-field{otherwise}"
                )
        name, times = Counter(name for name in row if name).most_common(1)[0]
        if times > 1:
            first = row.index(name)
            raise InputError(
                f"{self.name} has two columns of the same name, {shown(name)}: columns {first + 1} "
                f"and {row.index(name, first + 1) + 1}. Rename one of them"
            )
        return True

    def _document(self, columns: list[str], row: list[str]) -> Iterator[Found]:
        if len(row) != len(columns):
            yield Reason("wrong number of columns", f"expected {len(columns)}; got {len(row)}")
        elif not is_unicode("".join(row)):
            yield Reason("invalid UTF-8")
        else:
            cells = {n: cell for n, cell in zip(columns, row, strict=True) if cell and n}
            yield from read_document(cells, self._fields)

    def _csv_rows(self) -> Iterator[tuple[int, list[str] | Reason]]:
        csv.field_size_limit(MAX_LINE_BYTES)
        unread: list[tuple[int, Reason]] = []
        text = self._text(unread)
        before: list[str] = []
        for line in text:
            before.append(line)
            if line.strip("\r\n"):
                break
        header = before[-1] if before else ""
        # Read with commas it would be one column, which cannot be both id and text.
        semicolons = ";" in header and "," not in header and header.count('"') % 2 == 0
        reader = csv.reader(chain(before, text), strict=True, delimiter=";" if semicolons else ",")
        while True:
            start = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as exc:
                swallowed = reader.line_num - start
                if swallowed and str(exc).startswith(_NEVER_CLOSED):
                    # Not one bad record among others, as nobody knows how many it has swallowed.
                    raise InputError(
                        f"{self.name}:{start}: a quote that is opened in this row is never closed, "
                        f"and {swallowed:,} lines after it were not read; close it and run again"
                    ) from exc
                lines = f", in lines {start} to {reader.line_num}" if swallowed else ""
                yield start, Reason("malformed CSV", f"{exc}{lines}")
                continue
            yield from unread
            unread.clear()
            if row is None:
                return
            if row:
                yield start, row

    def _text(self, unread: list[tuple[int, Reason]]) -> Iterator[str]:
        for number, line in self._narrow_lines(b",", b";"):
            if isinstance(line, Reason):
                unread.append((number, line))
            # What is not UTF-8 passes as lone surrogates, by which the row is then refused.
            yield "\n" if isinstance(line, Reason) else line.decode(errors="surrogateescape")

    def _tsv_rows(self) -> Iterator[tuple[int, list[str] | Reason]]:
        for number, line in self._narrow_lines(b"\t"):
            if isinstance(line, Reason):
                yield number, line
            elif line.strip():
                text = line.decode(errors="surrogateescape").rstrip("\r\n")
                yield number, [_unquote(cell) for cell in text.split("\t")]

    def _narrow_lines(self, *separators: bytes) -> Iterator[tuple[int, bytes | Reason]]:
        for number, line in self.lines():
            if isinstance(line, bytes) and max(map(line.count, separators)) >= MAX_COLUMNS:
                yield number, Reason("too many columns", f"over {MAX_COLUMNS:,}")
            else:
                yield number, line


def _has(columns: list[str], named: str | None, common: tuple[str, ...]) -> bool:
    return named in columns if named is not None else any(name in columns for name in common)


def _listed(columns: list[str]) -> str:
    more = f", … ({len(columns)} in all)" if len(columns) > NAMED_COLUMNS else ""
    return ", ".join(f"{name:.80}" for name in columns[:NAMED_COLUMNS]) + more


def _unquote(cell: str) -> str:
    quoted = _QUOTED.fullmatch(cell)
    return quoted[1].replace('""', '"') if quoted else cell
