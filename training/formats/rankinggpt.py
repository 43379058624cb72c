"""RankingGPT's first stage: a prompt that holds the document, and the query as the response."""

from __future__ import annotations

import re

from retrieve_rerank.training.formats.fields import Record, UnfitRecordError, text
from retrieve_rerank.training.formats.format import Format, ReadOptions
from retrieve_rerank.training.groups import Group, GroupText

_PROMPT = re.compile(r"\s*Document:(.*)Query:\s*", re.DOTALL)


def _recognises(record: Record) -> bool:
    query = record.get("query")
    return "response" in record and isinstance(query, str) and bool(_PROMPT.fullmatch(query))


def _read(record: Record, options: ReadOptions) -> Group:
    prompt = _PROMPT.fullmatch(text(record, "query"))
    if prompt is None:
        raise UnfitRecordError(
            "no prompt in 'query'", "expected 'Document: …' that ends in 'Query:'"
        )
    document = GroupText(prompt[1].strip(), 1.0, source="text pair")
    return Group(text(record, "response").strip(), (document,))


RANKINGGPT = Format(
    "rankinggpt",
    '{"query": "Document: … Query:", "response": …}',
    _recognises,
    _read,
    one_text_a_line=True,
)
