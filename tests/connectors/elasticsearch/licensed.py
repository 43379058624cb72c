"""A stand-in for a server with an Enterprise licence: a real one, and before it rank_vectors.

Answers in the words of https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/rank-vectors
and of the server's own source. What passes here has still not met such a server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np

from tests.servers import Server

ASIDE = {"type": "object", "enabled": False}  # kept in the source, and not looked at


class Licensed:
    """What is asked, and what it does."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.license = "enterprise"
        self.fields: dict[str, Any] = {}
        """Path of an index -> its field of the type."""
        self.scorings: list[Any] = []
        """Bodies of the searches that score."""

    def answer(self, method: str, path: str, data: bytes, headers: Message) -> tuple[int, Any]:
        index = "/" + urlsplit(path).path.split("/")[1]
        if index == "/_license":
            return 200, {"license": {"type": self.license, "status": "active"}}
        if method == "PUT" and b'"rank_vectors"' in data:
            body = json.loads(data)
            self.fields[index] = body["mappings"]["properties"]["tensor"]
            body["mappings"]["properties"]["tensor"] = ASIDE
            data = json.dumps(body).encode()
        if path.startswith(f"{index}/_search") and b"maxSimDotProduct" in data:
            return self._score(index, json.loads(data))
        status, found = self._forward(method, path, data, headers)
        if path.endswith("/_mapping") and index in self.fields and status == 200:
            [mapping] = found.values()
            mapping["mappings"]["properties"]["tensor"] = self.fields[index]
        return status, found

    def _score(self, index: str, body: Any) -> tuple[int, Any]:
        self.scorings.append(body)
        if self.license == "basic":
            reason = "current license is non-compliant for [Rank Vectors]"
            error = {"type": "security_exception", "reason": reason}
            return 403, {"error": {**error, "root_cause": [error]}, "status": 403}
        scoring = body["query"]["script_score"]
        [wanted, there] = scoring["query"]["bool"]["filter"]
        assert there == {"exists": {"field": "tensor"}}
        script = scoring["script"]
        assert script["source"] == "maxSimDotProduct(params.q, 'tensor') + params.m"
        query = np.asarray(script["params"]["q"])
        asked = {"query": wanted, "size": body["size"], "_source": ["tensor"]}
        found = self.server.call("POST", f"{index}/_search", asked)["hits"]["hits"]
        tensors = {each["_id"]: each["_source"]["tensor"] for each in found}
        for tensor in tensors.values():
            assert {len(row) for row in tensor} == {self.fields[index]["dims"]}
        hits = [
            {"_index": index.strip("/"), "_id": id_, "_score": score + script["params"]["m"]}
            for id_, tensor in tensors.items()
            for score in [float((query @ np.asarray(tensor).T).max(axis=1).sum())]
        ]
        assert all(hit["_score"] >= 0 for hit in hits)
        return 200, {"timed_out": False, "hits": {"hits": hits[: body["size"]]}}

    def _forward(self, method: str, path: str, data: bytes, headers: Message) -> tuple[int, Any]:
        request = Request(self.server.url + path, data=data or None, method=method)
        for name in ("Content-Type", "Accept"):
            if name in headers:
                request.add_header(name, headers[name])
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except HTTPError as exc:
            return exc.code, json.load(exc)


@contextmanager
def licensed(server: Server) -> Iterator[tuple[Licensed, Server]]:
    """Stand before a real server."""
    stand_in = Licensed(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = stand_in.answer(self.command, self.path, data, self.headers)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=front.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{front.server_address[1]}"
        yield stand_in, Server(url, server.version)
    finally:
        front.shutdown()
        front.server_close()
        thread.join()
