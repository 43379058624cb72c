"""CSV and TSV files.

Knows nothing of JSON.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from retrieve_rerank.errors import InputError
from retrieve_rerank.sources.lines import MAX_LINE_BYTES, LineFile
from retrieve_rerank.sources.records import (
    ID_FIELDS,
    TEXT_FIELDS,
    Fields,
    Reason,
    is_unicode,
    to_document,
)
from retrieve_rerank.types import Document

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


class Table(LineFile):
    """Rows under a header that names the columns; cells are text, and empty ones are left out.

    CSV is quoted as RFC 4180 says, so that a cell may hold line breaks. In TSV every line is a
    row, since most collections write quotes there as they come; quotes around a whole cell are
    taken off. TSV of two columns without a header is read as id and text, as MS MARCO has it.
    """

    def __init__(self, path: str, fields: Fields, *, tabs: bool) -> None:
        super().__init__(path)
        self._fields = fields
        self._rows = self._tsv_rows if tabs else self._csv_rows
        self._tabs = tabs
        if self.size:
            next(self.records(), None)  # raises where the header is of no use

    def records(self) -> Iterator[tuple[str, Document | Reason]]:
        """Iterate over line numbers and what stands there."""
        columns: list[str] = []
        for number, row in self._rows():
            place = f"{self.name}:{number}"
            if isinstance(row, Reason):
                yield place, row
            elif not columns and self._is_header(row):
                columns = row
            else:
                columns = columns or ["id", "text"]
                yield place, self._document(columns, row)

    def _is_header(self, row: list[str]) -> bool:
        has_id = _has(row, self._fields.id, ID_FIELDS)
        has_text = _has(row, self._fields.text, TEXT_FIELDS)
        if not (has_id or has_text) and self._tabs and len(row) == 2 and self._fields == Fields():
            return False
        for what, found in (("id", has_id), ("text", has_text)):
            if not found:
                raise InputError(
                    f"{self.name} has no column for the {what}; its columns: {', '.join(row)}. "
                    f"Name it with --{what}-field"
                )
        return True

    def _document(self, columns: list[str], row: list[str]) -> Document | Reason:
        if len(row) != len(columns):
            return Reason("wrong number of columns", f"expected {len(columns)}; got {len(row)}")
        if not is_unicode("".join(row)):
            return Reason("invalid UTF-8")
        cells = {name: cell for name, cell in zip(columns, row, strict=True) if cell}
        return to_document(cells, self._fields)

    def _csv_rows(self) -> Iterator[tuple[int, list[str] | Reason]]:
        csv.field_size_limit(MAX_LINE_BYTES)
        unread: list[tuple[int, Reason]] = []
        reader = csv.reader(self._text(unread), strict=True)
        while True:
            start = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as exc:
                yield start, Reason("malformed CSV", str(exc))
                continue
            yield from unread
            unread.clear()
            if row is None:
                return
            if row:
                yield start, row

    def _text(self, unread: list[tuple[int, Reason]]) -> Iterator[str]:
        for number, line in self.lines():
            if isinstance(line, Reason):
                unread.append((number, line))
            # What is not UTF-8 passes as lone surrogates, by which the row is then refused.
            yield "\n" if isinstance(line, Reason) else line.decode(errors="surrogateescape")

    def _tsv_rows(self) -> Iterator[tuple[int, list[str] | Reason]]:
        for number, line in self.lines():
            if isinstance(line, Reason):
                yield number, line
            elif line.strip():
                text = line.decode(errors="surrogateescape").rstrip("\r\n")
                yield number, [_unquote(cell) for cell in text.split("\t")]


def _has(columns: list[str], named: str | None, common: tuple[str, ...]) -> bool:
    return named in columns if named is not None else any(name in columns for name in common)


def _unquote(cell: str) -> str:
    quoted = _QUOTED.fullmatch(cell)
    return quoted[1].replace('""', '"') if quoted else cell
