"""JSON Lines: BEIR, Pyserini, Tevatron, and what LangChain, LlamaIndex and Haystack write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retrieve_rerank.data.lines import LineFile
from retrieve_rerank.data.records import Fields, Found, Reason, parse_json, read_document
from retrieve_rerank.errors import InputError


class JsonRecords(LineFile):
    """One JSON object a line; empty lines are passed over."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        if self.first_line().lstrip().startswith(b"["):
            raise InputError(
                f"{path} holds one JSON array; expected one object a line: "
                f"jq -c '.[]' {path} > NEW.jsonl"
            )

    def objects(self) -> Iterator[tuple[str, dict[str, Any] | Reason]]:
        """Iterate over places, as file:line, and the objects there."""
        for number, line in self.lines():
            if isinstance(line, Reason):
                yield f"{self.name}:{number}", line
            elif line.strip():
                yield f"{self.name}:{number}", parse_json(line)


class JsonLines(JsonRecords):
    """Documents, one JSON object a line."""

    def __init__(self, path: str, fields: Fields) -> None:
        super().__init__(path)
        self._fields = fields

    def records(self) -> Iterator[tuple[str, Found]]:
        """Iterate over line numbers and what stands there."""
        for place, record in self.objects():
            found = [record] if isinstance(record, Reason) else read_document(record, self._fields)
            for each in found:
                yield place, each
