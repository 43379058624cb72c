"""A rerank server as one writes it in an afternoon: FastAPI around sentence-transformers.

    python benchmarks/peers/rerank_server.py MODEL PORT

FastAPI runs the endpoint, a plain function, in its threads.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import CrossEncoder

app = FastAPI()
model = CrossEncoder(sys.argv[1], device="cpu")


class Request(BaseModel):
    """What is to be ranked."""

    query: str
    documents: list[str]


class Result(BaseModel):
    """The place of a document in the request, and its score."""

    index: int
    relevance_score: float


class Response(BaseModel):
    """The documents, best first."""

    results: list[Result]


@app.post("/rerank")
def rerank(request: Request) -> Response:
    """Score each document against the query."""
    scores = model.predict([(request.query, text) for text in request.documents])
    order = scores.argsort()[::-1]
    return Response(results=[Result(index=int(i), relevance_score=float(scores[i])) for i in order])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
