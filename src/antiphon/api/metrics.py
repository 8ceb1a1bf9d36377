"""What the server counts, in Prometheus' form. Labels never hold a tenant, an id or a text."""

from __future__ import annotations

import logging
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from antiphon.api.http import Request
from antiphon.api.logs import access
from antiphon.domain.ids import text_of

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TURNED_AWAY = frozenset({401, 403, 429})


class Metrics:
    """The counters of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "antiphon_requests",
            "Requests answered.",
            ["dialect", "route", "method", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "antiphon_request_seconds", "Time to answer a request.", ["dialect"], registry=self._registry
        )
        self.sockets = Gauge("antiphon_sockets", "Sockets open in this process.", registry=self._registry)
        self.deletions = Gauge("antiphon_deletions_pending", "Deletions not yet done.", registry=self._registry)
        self.deletions_overdue = Gauge(
            "antiphon_deletions_overdue", "Deletions that should be done by now.", registry=self._registry
        )
        self.deletion_age = Gauge(
            "antiphon_deletion_oldest_seconds",
            "Age of the oldest deletion not yet done.",
            registry=self._registry,
        )
        self.indexing = Gauge(
            "antiphon_indexing_pending", "Messages that wait to be indexed.", ["kind"], registry=self._registry
        )
        self.indexing_age = Gauge(
            "antiphon_indexing_oldest_seconds",
            "For how long the first of them has been waiting.",
            ["kind"],
            registry=self._registry,
        )
        self.passed_over = Gauge(
            "antiphon_indexing_passed_over",
            "Messages that this process could not index and has passed over.",
            ["kind"],
            registry=self._registry,
        )
        self.embedding_failures = Gauge(
            "antiphon_embedding_failures",
            "Batches and queries of this process of which no vectors could be made.",
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, str, int], Any] = {}

    def observe(self, dialect: str, request: Request, status: int, seconds: float) -> None:
        """Count one answered request, and log it."""
        method = request.method if request.method in _METHODS else "OTHER"
        key = (dialect, request.route, method, status)
        child = self._children.get(key)
        if child is None:
            labels = self.requests.labels(dialect, request.route or "none", method, status)
            child = self._children[key] = (labels.inc, self.seconds.labels(dialect).observe)
        child[0]()
        child[1](seconds)
        if access.isEnabledFor(logging.INFO):
            access.info(
                "request",
                extra={
                    "request": request.id,
                    "dialect": dialect,
                    "method": method,
                    "route": request.route or None,
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "tenant": text_of(request.principal.tenant_id) if request.principal else None,
                    **(_address_of(request) if status in _TURNED_AWAY else {}),
                },
            )

    def text(self) -> bytes:
        """All values in the exposition format."""
        return generate_latest(self._registry)


def _address_of(request: Request) -> dict[str, str]:
    """Where a request came from: only of those that are turned away, for whoever has to keep somebody out."""
    address = request.scope.get("client")
    return {"client": address[0]} if address else {}
