"""What every request passes through: its id, its key, and what is counted and logged of it."""

from __future__ import annotations

import logging
import re
import time
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieve_rerank.server.bodies import answer
from retrieve_rerank.server.keys import Keys, loopback
from retrieve_rerank.server.metrics import Metrics
from retrieve_rerank.server.refusals import Refusal
from retrieve_rerank.server.shapes import errors_at
from retrieve_rerank.server.visit import Visit

OPEN = frozenset(("/health", "/ready", "/openapi.json", "/tei/health"))
"""Paths that need no key; whatever is added to the app needs one."""

REQUEST_ID = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

access = logging.getLogger("retrieve_rerank.server.access")


class Gate:
    """The outermost layer of the app. Reached as `request.scope["visit"]` within it."""

    def __init__(self, app: ASGIApp, *, keys: Keys, metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self.draining = False
        """Whether connections are to be closed after their next answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        known = _REQUEST_ID.fullmatch(given)
        visit = Visit(given if known else uuid.uuid4().hex)
        scope["visit"] = visit

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                told = MutableHeaders(scope=message)
                told.update({REQUEST_ID: visit.request_id, **_HEADERS})
                if self.draining:
                    told["Connection"] = "close"
            await send(message)

        try:
            await self._admitted(scope, visit, headers)(scope, receive, send_on)
        finally:
            self._told(scope, visit, time.perf_counter() - started)

    def _admitted(self, scope: Scope, visit: Visit, headers: Headers) -> ASGIApp:
        """Return the app for a request with a valid key, and what refuses any other."""
        try:
            if scope["path"].removeprefix(scope.get("root_path", "")) not in OPEN:
                visit.key = self._keys.find(headers.get("authorization"))
                visit.key.count()
            if not self._keys.needed and not _from_here(headers.get("origin")):
                raise Refusal(403, "without keys no page of another host is answered")
        except Refusal as refusal:
            return refused(scope, refusal)
        return self._app

    def _told(self, scope: Scope, visit: Visit, seconds: float) -> None:
        self._metrics.requests.labels(visit.route, visit.status or "none").inc()
        self._metrics.seconds.labels(visit.route).observe(seconds)
        facts = {
            "request_id": visit.request_id,
            "key": visit.key.name,
            "client": (scope.get("client") or [""])[0],
            "method": scope["method"],
            "route": visit.route,
            "status": visit.status,
            "ms": round(seconds * 1000, 3),
            **visit.facts,
        }
        # What probes ask every few seconds would drown the rest.
        level = logging.DEBUG if visit.route in OPEN else logging.INFO
        told = (scope["method"], visit.route, visit.status)
        access.log(level, "%s %s %s", *told, extra={"facts": facts})


def _from_here(origin: str | None) -> bool:
    """Whether a request is no browser's, or of a page from this machine.

    A page whose name its owner has pointed at this machine counts as of the same origin to its
    browser, so that nothing else would keep it from reading what needs no key.
    """
    if origin is None:
        return True
    try:
        return loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


def refused(scope: Scope, refusal: Refusal) -> Response:
    """Make the answer that tells of a refusal, in the shape of the vendor whose path it is."""
    visit: Visit = scope["visit"]
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    body = errors_at(path)(refusal.status, refusal.message, visit.request_id)
    return answer(body, status=refusal.status, headers=refusal.headers)
