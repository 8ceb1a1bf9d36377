"""`/healthz`, `/readyz`, `/metrics`, `/health` and the documentation: they need no key."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from antiphon.api.dialect import Dialect
from antiphon.api.http import Reply, Request, encode, json_reply
from antiphon.api.metrics import Metrics
from antiphon.api.routing import MethodNotAllowed, Route, RouteNotFound, RouteTable
from antiphon.api.system.pages import Pages
from antiphon.core.instance import Instance
from antiphon.domain import limits, times
from antiphon.domain.errors import AntiphonError, StoreError, StoreUnavailable


class System(Dialect):
    """The dialect of nobody: it also answers what no other dialect is asked."""

    name = "system"

    def __init__(self, instance: Instance, metrics: Metrics) -> None:
        self._instance = instance
        self._metrics = metrics
        self.routes = RouteTable(
            [
                Route(
                    "GET",
                    "/healthz",
                    self.alive,
                    "Whether the process is alive.",
                    {200: dict},
                    is_public=True,
                ),
                Route(
                    "GET",
                    "/health",
                    self.alive,
                    "The same, for Honcho's clients.",
                    {200: dict},
                    is_public=True,
                ),
                Route(
                    "GET",
                    "/readyz",
                    self.ready,
                    "Whether it can serve: the store answers.",
                    {200: dict, 503: dict},
                    is_public=True,
                ),
                Route("GET", "/metrics", self.metrics, "What it has counted.", {200: str}, is_public=True),
                *Pages().routes(),
            ]
        )

    async def alive(self, request: Request) -> Reply:
        """GET /healthz and GET /health."""
        return json_reply(200, {"status": "ok"})

    async def ready(self, request: Request) -> Reply:
        """GET /readyz: 200 when the store can be read and written, else 503, with what was found out."""
        detail: dict[str, Any] = {"store": {"kind": self._instance.store.kind, "ok": True}}
        try:
            await self._instance.store.check()
            pending, age, overdue = await self._backlog()
            detail["deletions"] = {
                "pending": pending,
                "oldest_seconds": age // times.SECOND,
                "overdue": overdue,
            }
            detail["indexing"] = {
                kind: {"pending": waits.messages, "oldest_seconds": int(waits.oldest_seconds)}
                for kind, waits in (await self._instance.indexing.backlogs()).items()
            }
        except StoreError as error:
            detail["store"] |= {"ok": False, "code": error.code}
            wait = b"%d" % StoreUnavailable.retry_after_seconds
            return json_reply(503, {"status": "unavailable", **detail}, [(b"retry-after", wait)])
        return json_reply(200, {"status": "ready", **detail})

    async def metrics(self, request: Request) -> Reply:
        """GET /metrics."""
        self._metrics.sockets.set(self._instance.connections.count)
        try:
            pending, age, overdue = await self._backlog()
            waiting = await self._instance.indexing.backlogs()
        except StoreError:
            pass  # what the store does not tell keeps its last value: the rest is wanted most when it is away
        else:
            self._metrics.deletions.set(pending)
            self._metrics.deletions_overdue.set(overdue)
            self._metrics.deletion_age.set(age / times.SECOND)
            for kind, waits in waiting.items():
                self._metrics.indexing.labels(kind).set(waits.messages)
                self._metrics.indexing_age.labels(kind).set(waits.oldest_seconds)
        for kind, count in self._instance.indexing.passed_over.items():
            self._metrics.passed_over.labels(kind).set(count)
        self._metrics.embedding_failures.set(self._instance.embeddings.failures)
        return Reply(200, self._metrics.text(), [(b"content-type", self._metrics.content_type.encode())])

    async def _backlog(self) -> tuple[int, int, int]:
        """How many deletions wait, for how many microseconds the oldest, and how many should be done by now."""
        pending, age = await self._instance.store.deletions.pending()
        if age <= limits.JOB_OVERDUE_SECONDS * times.SECOND:
            return pending, age, 0
        return pending, age, await self._instance.store.deletions.overdue(limits.JOB_OVERDUE_SECONDS)

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """Problem details (RFC 9457)."""
        if isinstance(error, RouteNotFound):
            return _problem(request, 404, error)
        if isinstance(error, MethodNotAllowed):
            reply = _problem(request, 405, error)
            reply.headers.append((b"allow", ", ".join(error.allowed).encode()))
            return reply
        if isinstance(error, StoreUnavailable):
            reply = _problem(request, 503, error)
            reply.headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
            return reply
        return _problem(request, 500, error)


def _problem(request: Request, status: int, error: AntiphonError) -> Reply:
    """The members are those of our own wire: paths beside it are nobody's, and so are answered here."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": error.message}
    body = encode({**problem, "code": error.code, "request_id": request.id})
    return Reply(status, body, [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")])
