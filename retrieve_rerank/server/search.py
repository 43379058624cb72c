"""`POST /search`: an index by its name, as `rr search` searches it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.pipeline.result_json import result_as_json
from retrieve_rerank.server.filters import read_filter
from retrieve_rerank.server.keys import Key
from retrieve_rerank.server.served import ServedIndex
from retrieve_rerank.server.shapes import MOST_CHARACTERS
from retrieve_rerank.types import SearchResult

MOST_HITS = 1_000
MOST_EXCLUDED = 1_000

_Name = Annotated[StrictStr, Field(max_length=1_000)]


class SearchRequest(BaseModel):
    """What `POST /search` takes."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "query": "how do I get a refund",
                    "top_k": 5,
                    "filter": {"lang": "en", "published": {"gte": "2024-01-01"}},
                }
            ]
        },
    )

    query: Annotated[StrictStr, Field(min_length=1, max_length=MOST_CHARACTERS)]
    index: _Name | None = Field(default=None, description="The server's first where not set.")
    top_k: Annotated[StrictInt, Field(ge=1, le=MOST_HITS)] | None = Field(
        default=None, description="Hits to return."
    )
    filter: dict[str, Any] | None = Field(
        default=None,
        description="What the documents' metadata must be, as in docs/filters.md, with "
        '{"gte": …, "lt": …} for a range.',
    )
    exclude: list[_Name] = Field(
        default=[], max_length=MOST_EXCLUDED, description="Ids of documents to leave out."
    )
    user: Annotated[StrictStr, Field(max_length=MOST_CHARACTERS)] | None = Field(
        default=None,
        description="What is known of who asks, for models that were trained to read it.",
    )
    deadline_s: Annotated[StrictFloat, Field(ge=0.001, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Seconds that it may take; what cannot finish is left out.",
    )


async def search(
    served: ServedIndex, asked: SearchRequest, key: Key, deadline: Deadline
) -> tuple[dict[str, Any], SearchResult]:
    """Search what the key may see; return what is answered, and the result it was made of."""
    if deadline.over:
        raise deadline.exceeded()
    left_s = [each for each in (deadline.left_s, served.retriever.deadline_s) if each is not None]
    wanted = None if asked.filter is None else read_filter(asked.filter)
    result = await served.retriever.asearch(
        asked.query,
        top_k=asked.top_k,
        filter=key.seen(wanted),
        deadline_s=min(left_s, default=None),
        exclude=asked.exclude,
        user=asked.user,
    )
    return result_as_json(result, stages=served.retriever.stages), result
