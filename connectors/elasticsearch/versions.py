"""What a server is: its release and its licence, and what these allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from retrieve_rerank.connectors.elasticsearch.client import Request, Steps
from retrieve_rerank.errors import PermissionDeniedError, UnsupportedServerError

OLDEST = (8, 15)

ENTERPRISE_LICENSES = ("trial", "enterprise")
"""Those with fusion by the server, since 8.16 (https://github.com/elastic/elasticsearch/pull/113100),
and rank_vectors."""


class Server(NamedTuple):
    """The release of a server."""

    version: str | None
    """None where it may not be asked for."""
    serverless: bool = False

    def has(self, *since: int) -> bool:
        """Tell whether it is of this release or a later one; False where that is unknown."""
        return self.serverless or (self.version is not None and _numbers(self.version) >= since)


def ask_server(location: str) -> Steps[Server]:
    """Ask a server what it is; raise UnsupportedServerError where that will not do."""
    try:
        answer = yield Request("GET", "/")
    except PermissionDeniedError:  # a role that may read the index may still lack `monitor`
        return Server(None)
    return read_server(answer, location)


def read_server(answer: Any, location: str) -> Server:
    """Read the answer to GET /."""
    version = answer.get("version") if isinstance(answer, Mapping) else None
    if not isinstance(version, Mapping) or version.get("distribution") == "opensearch":
        raise UnsupportedServerError(f"the server of {location} is not Elasticsearch")
    server = Server(str(version.get("number", "0")), version.get("build_flavor") == "serverless")
    if not server.has(*OLDEST):
        raise UnsupportedServerError(
            f"{location} runs Elasticsearch {server.version}; the oldest that is understood is "
            f"{'.'.join(map(str, OLDEST))}"
        )
    return server


def ask_license() -> Steps[str | None]:
    """Ask for the licence's type: basic, trial, enterprise, …; None where it is not told."""
    try:
        answer = yield Request("GET", "/_license")
    except PermissionDeniedError:
        return None
    return str(answer["license"]["type"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
