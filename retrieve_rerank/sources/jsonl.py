"""JSON Lines: BEIR, Pyserini, Tevatron, and what LangChain, LlamaIndex and Haystack write.

Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Iterator

from retrieve_rerank.errors import InputError
from retrieve_rerank.sources.lines import LineFile
from retrieve_rerank.sources.records import Fields, Reason, parse_json, to_document
from retrieve_rerank.types import Document


class JsonLines(LineFile):
    """One JSON object a line; empty lines are passed over."""

    def __init__(self, path: str, fields: Fields) -> None:
        super().__init__(path)
        self._fields = fields
        if self.first_line().lstrip().startswith(b"["):
            raise InputError(
                f"{path} holds one JSON array; expected one object a line: "
                f"jq -c '.[]' {path} > NEW.jsonl"
            )

    def records(self) -> Iterator[tuple[str, Document | Reason]]:
        """Iterate over line numbers and what stands there."""
        for number, line in self.lines():
            if isinstance(line, Reason):
                yield f"{self.name}:{number}", line
            elif line.strip():
                record = parse_json(line)
                if not isinstance(record, Reason):
                    yield f"{self.name}:{number}", to_document(record, self._fields)
                else:
                    yield f"{self.name}:{number}", record
