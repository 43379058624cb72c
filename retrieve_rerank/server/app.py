"""The server: its endpoints, and what they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from retrieve_rerank.concurrency.caller import Caller
from retrieve_rerank.models.runtimes.common_batches import BatchReport
from retrieve_rerank.server.admission import MOST_REQUESTS, Admission
from retrieve_rerank.server.bodies import Bodies, answer, check_count, checked
from retrieve_rerank.server.gate import Gate, refused
from retrieve_rerank.server.keys import Keys
from retrieve_rerank.server.metrics import Metrics
from retrieve_rerank.server.openapi import describe, operation
from retrieve_rerank.server.refusals import INVALID, Refusal
from retrieve_rerank.server.reranking import rerank
from retrieve_rerank.server.search import SearchRequest, search
from retrieve_rerank.server.served import Served
from retrieve_rerank.server.shapes import PATHS, UNNAMED, shape_of
from retrieve_rerank.server.tracing import stage_spans
from retrieve_rerank.server.visit import Visit
from retrieve_rerank.server.work import Workers, deadline_of, refusal_of, while_waited_for
from retrieve_rerank.settings.sources import Settings

WATCH_S = 1.0
"""Between looks at what is promoted, and at the file of keys."""

Endpoint = Callable[[Request, Visit], Awaitable[Response]]

logger = logging.getLogger(__name__)


class Server:
    """What is served, and the counters and limits of it; `app` is what speaks HTTP."""

    def __init__(self, settings: Settings) -> None:
        """Open all that is served; raise what is wrong with any of it."""
        self.settings = settings.server
        self.keys = Keys(settings.server)
        self.admission = Admission(documents=settings.server.queue, wait_s=settings.server.queue_s)
        self.bodies = Bodies(most_bytes=settings.server.max_body_mb << 20)
        self.metrics = Metrics(self.admission)
        self.served = Served(settings, on_batch=self._on_batch)
        self.ready = False
        self.routes = FastAPI(
            lifespan=self._lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
        )
        self._add_routes()
        self.app = Gate(self.routes, keys=self.keys, metrics=self.metrics)

    def drain(self) -> None:
        """Have load balancers and clients go elsewhere, while requests are still answered."""
        self.ready = False
        self.app.draining = True

    def _on_batch(self, served: str, report: BatchReport) -> None:
        self.metrics.batch(served, report)
        self.admission.learn(served, report)

    def _add_routes(self) -> None:
        describe(self.routes, root_path=self.settings.root_path, keys_needed=self.keys.needed)
        self._add("/search", self._search, method="POST")
        for path in PATHS:
            self._add(path, self._rerank, method="POST")
        self._add("/v1/models", self._models)
        self._add("/tei/info", self._tei_info)
        self._add("/health", self._health)
        self._add("/tei/health", self._health)
        self._add("/ready", self._ready)
        self._add("/metrics", self._metrics)

        self.routes.add_exception_handler(HTTPException, _no_such_route)

    def _add(self, path: str, work: Endpoint, *, method: str = "GET") -> None:
        async def endpoint(request: Request) -> Response:
            visit: Visit = request.scope["visit"]
            visit.route = path
            try:
                return await work(request, visit)
            except Exception as exc:
                return refused(request.scope, refusal_of(request, exc))
            finally:
                self.bodies.release(visit.body_bytes)

        self.routes.add_api_route(
            path, endpoint, methods=[method], response_model=None, **operation(path)
        )
        if method == "GET":  # as some probes ask
            self.routes.add_api_route(
                path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False
            )

    async def _search(self, request: Request, visit: Visit) -> Response:
        asked = checked(SearchRequest, await self.bodies.read(request, visit))
        visit.texts = [asked.query, asked.user or ""]
        served = self.served.index(asked.index)
        who = Caller(
            deadline_of(request, asked_s=asked.deadline_s, most_s=self.settings.deadline_s)
        )
        visit.facts["index"] = served.name
        with self.admission.admit(served.name, served.scored(asked.top_k), who):
            work = search(served, asked, visit.key, who.deadline)
            found, result = await while_waited_for(request, work, who)
        self.metrics.search(served.name, result)
        if any(stage.error is not None for stage in result.stages):
            # What a service says of a request may repeat any text of it.
            documents = [hit.document for hit in result]
            visit.texts = [*visit.texts, *(part for d in documents for part in (d.text, d.title))]
        stage_spans(served.name, result, told=visit.without_texts)
        visit.facts |= {"hits": len(result), "degraded": result.degraded}
        visit.facts["stages_ms"] = {each.name: round(each.ms, 3) for each in result.stages}
        for stage in result.stages:
            if stage.error is not None:
                facts = {"request_id": visit.request_id, "index": served.name}
                told = visit.without_texts(stage.error)
                logger.warning("%s: %s", stage.name, told, extra={"facts": facts})
        return answer(found)

    async def _rerank(self, request: Request, visit: Visit) -> Response:
        shapes = PATHS[visit.route]
        shape = shapes[0]
        try:
            content = await self.bodies.read(request, visit)
            shape = shape_of(shapes, content)
            check_count(content, shape.texts, most=self.settings.max_documents)
            asked = checked(shape.request, content)
            visit.texts = [asked.query, *asked.contents]
            named = request.query_params.get("model") or asked.model
            served = self.served.model(None if named in UNNAMED else named)
            count = len(asked.texts)
            who = Caller(deadline_of(request, most_s=self.settings.deadline_s))
            visit.facts |= {"model": served.name, "documents": count, "shape": shape.name}
            with self.admission.admit(served.name, count, who):
                work = rerank(served, asked, who, request_id=visit.request_id)
                ranked, result = await while_waited_for(request, work, who)
        except Exception as exc:
            refusal = refusal_of(request, exc)
            status = shape.invalid if refusal.status == INVALID else refusal.status
            body = shape.error(status, refusal.message, visit.request_id)
            return answer(body, status=status, headers=refusal.headers)
        self.metrics.documents.labels(served.name).inc(count)
        visit.facts |= {"tokens": who.tokens, "truncated": result.truncated}
        return answer(shape.answer(ranked))

    async def _models(self, request: Request, visit: Visit) -> Response:
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "retrieve-rerank"}
            for name in self.served.models
        ]
        return answer({"object": "list", "data": data})

    async def _tei_info(self, request: Request, visit: Visit) -> Response:
        served = self.served.model(request.query_params.get("model"))
        return answer(
            {
                "model_id": served.name,
                "model_sha": served.fingerprint or None,
                "model_type": {"reranker": {}},
                "max_client_batch_size": self.settings.max_documents,
                "auto_truncate": True,
            }
        )

    async def _health(self, request: Request, visit: Visit) -> Response:
        return answer({"status": "ok"})

    async def _ready(self, request: Request, visit: Visit) -> Response:
        if self.ready:
            return answer({"status": "ready"})
        raise Refusal(503, "draining" if self.app.draining else "warming up", retry_after_s=1.0)

    async def _metrics(self, request: Request, visit: Visit) -> Response:
        return Response(self.metrics.exposition(), media_type="text/plain; version=0.0.4")

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        threads = Workers(MOST_REQUESTS, thread_name_prefix="retrieve-rerank request")
        asyncio.get_running_loop().set_default_executor(threads)
        watching = asyncio.create_task(self._warm_up_and_watch())
        try:
            yield
        finally:
            watching.cancel()
            self.served.close()

    async def _warm_up_and_watch(self) -> None:
        await asyncio.to_thread(self.served.warm_up)
        self.ready = not self.app.draining
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                self.keys.refresh()
                changed = await asyncio.to_thread(self.served.refresh)
                self.metrics.failing(self.served.attempts.failures)
                for name in changed:
                    self.metrics.reloads.labels(name).inc()
                    logger.info("%s has taken over what was promoted or rolled back", name)
            except Exception:  # watching goes on
                logger.exception("cannot look at what is promoted")


async def _no_such_route(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    refusal = Refusal(status, f"{request.method} is not served at this path")
    response = refused(request.scope, refusal)
    response.headers.update(getattr(exc, "headers", None) or {})  # Allow, of a 405
    return response
