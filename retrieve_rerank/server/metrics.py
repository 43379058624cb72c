"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from retrieve_rerank.models.runtimes.common_batches import BatchReport
from retrieve_rerank.server.admission import Admission
from retrieve_rerank.types import SearchResult

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """The counters of one server."""

    def __init__(self, admission: Admission) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "rr_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "rr_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.documents = Counter(
            "rr_documents_reranked",
            "Documents scored at rerank endpoints.",
            ("model",),
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "rr_stage_seconds",
            "What a stage of a search took.",
            ("index", "stage"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._stage_failures = Counter(
            "rr_stage_failures",
            "Stages that left the incoming order, or a part of it.",
            ("index", "stage"),
            registry=registry,
        )
        self._truncated = Counter(
            "rr_truncated_texts",
            "Texts of which a stage's model read only the beginning.",
            ("index", "stage"),
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "rr_batch_seconds",
            "What a batch took.",
            ("served",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_tokens = Histogram(
            "rr_batch_tokens", "Tokens in a batch.", ("served",), buckets=_SIZES, registry=registry
        )
        self._batch_callers = Histogram(
            "rr_batch_requests",
            "Requests that shared a batch.",
            ("served",),
            buckets=_SIZES,
            registry=registry,
        )
        self.reloads = Counter(
            "rr_reloads",
            "Promoted or rolled-back models taken over.",
            ("served",),
            registry=registry,
        )
        self._failing = Gauge(
            "rr_promotions_failing",
            "Failed attempts to load what is promoted, while something else still serves.",
            ("served",),
            registry=registry,
        )
        under_way = Gauge("rr_requests_under_way", "Requests being worked on.", registry=registry)
        under_way.set_function(lambda: admission.requests)
        queued = Gauge("rr_documents_under_way", "Documents of these.", registry=registry)
        queued.set_function(lambda: admission.documents)

    def search(self, index: str, result: SearchResult) -> None:
        """Count what each stage of a search did."""
        for stage in result.stages:
            self._stage_seconds.labels(index, stage.name).observe(stage.ms / 1000)
            if stage.error is not None:
                self._stage_failures.labels(index, stage.name).inc()
            if stage.truncated:
                self._truncated.labels(index, stage.name).inc(stage.truncated)

    def batch(self, served: str, report: BatchReport) -> None:
        """Count a batch; may be called from any thread."""
        self._batch_seconds.labels(served).observe(report.seconds)
        self._batch_tokens.labels(served).observe(report.tokens)
        self._batch_callers.labels(served).observe(report.callers)

    def failing(self, failures: Mapping[str, int]) -> None:
        """Tell what could not be taken over, and how often that was tried."""
        self._failing.clear()
        for served, times in failures.items():
            self._failing.labels(served).set(times)

    def exposition(self) -> bytes:
        """Write all of it in the text format of Prometheus."""
        exposition: bytes = generate_latest(self._registry)
        return exposition
