"""JSON Lines: BEIR, Pyserini, Tevatron, and what LangChain, LlamaIndex and Haystack write.

Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Iterator

from retrieve_rerank.errors import InputError
from retrieve_rerank.sources.lines import LineFile
from retrieve_rerank.sources.records import Fields, Found, Reason, parse_json, read_document


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

    def records(self) -> Iterator[tuple[str, Found]]:
        """Iterate over line numbers and what stands there."""
        for number, line in self.lines():
            if isinstance(line, bytes) and not line.strip():
                continue
            record = line if isinstance(line, Reason) else parse_json(line)
            found = [record] if isinstance(record, Reason) else read_document(record, self._fields)
            for each in found:
                yield f"{self.name}:{number}", each
