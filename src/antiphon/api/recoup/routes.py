"""What Recoup's wire serves, and the headers that all of it carries."""

from __future__ import annotations

from functools import cached_property

from antiphon import __version__
from antiphon.api.dialect import Dialect
from antiphon.api.http import JSON, Reply, Request, StreamReply, encode
from antiphon.api.openapi import document
from antiphon.api.recoup.chats import Chats
from antiphon.api.recoup.errors import refuse
from antiphon.api.recoup.examples import EXAMPLES
from antiphon.api.recoup.rooms import Rooms
from antiphon.api.recoup.runs import Runs
from antiphon.api.recoup.sandboxes import PREFLIGHT_204, Sandboxes
from antiphon.api.recoup.sessions import Sessions
from antiphon.api.recoup.turns import Turns
from antiphon.api.routing import MethodNotAllowed, Route, RouteTable
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS, PATCH"),
    (b"access-control-allow-headers", b"Content-Type, Authorization, X-Requested-With, x-api-key"),
    (b"access-control-expose-headers", b"x-workflow-run-id, x-workflow-stream-tail-index"),
]


class Recoup(Dialect):
    """Recoup's sessions and chats, under `/api`."""

    name = "recoup"
    has_own_cors = True

    def __init__(self, instance: Instance) -> None:
        self.routes = RouteTable(
            [
                Route("GET", "/api/openapi.json", self.openapi, "This document", {200: dict}, is_public=True),
                *Sessions(instance).routes(),
                *Chats(instance).routes(),
                *Turns(instance).routes(),
                *Sandboxes(instance).routes(),
                *Runs(instance).routes(),
                *Rooms(instance).routes(),
            ]
        )

    async def respond(self, request: Request) -> Reply | StreamReply:
        """See the base; a preflight is answered for any path, and every answer may be read from anywhere."""
        if request.method == "OPTIONS":
            return Reply(204 if tuple(request.segments) in PREFLIGHT_204 else 200, b"", list(_CORS))
        reply = await super().respond(request)
        reply.headers = [*reply.headers, *_CORS]
        return reply

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """See the base."""
        reply = refuse(error)
        reply.headers = [*reply.headers, *_CORS]
        if isinstance(error, MethodNotAllowed):
            allowed = sorted({*error.allowed, "OPTIONS"})
            reply.headers.append((b"allow", ", ".join(allowed).encode()))
        return reply

    async def openapi(self, request: Request) -> Reply:
        """GET /api/openapi.json."""
        return Reply(200, self._document, [JSON])

    @cached_property
    def _document(self) -> bytes:
        return encode(
            document(
                "Antiphon: the Recoup dialect",
                __version__,
                "Sessions of one or more chats, as the clients of Recoup's Sessions API know them.",
                self.routes.routes,
                {
                    "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                    "BearerAuth": {"type": "http", "scheme": "bearer"},
                },
                EXAMPLES,
            )
        )
