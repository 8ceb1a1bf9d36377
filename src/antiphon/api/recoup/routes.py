"""What Recoup's wire serves, and the headers that all of it carries."""

from __future__ import annotations

from functools import cached_property

from antiphon import __version__
from antiphon.api.dialect import Dialect
from antiphon.api.http import JSON, Reply, Request, encode
from antiphon.api.openapi import document
from antiphon.api.recoup import wire
from antiphon.api.recoup.chats import Chats
from antiphon.api.recoup.errors import refuse
from antiphon.api.recoup.sessions import Sessions
from antiphon.api.routing import MethodNotAllowed, Route, RouteTable
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS, PATCH"),
    (b"access-control-allow-headers", b"Content-Type, Authorization, X-Requested-With, x-api-key"),
    (b"access-control-expose-headers", b"x-workflow-run-id, x-workflow-stream-tail-index"),
]
_ERRORS = {401: wire.Error, 403: wire.Error, 500: wire.Error, 503: wire.Error}
_SESSION_ERRORS = {**_ERRORS, 404: wire.Error}


class Recoup(Dialect):
    """Recoup's sessions and chats, under `/api`."""

    name = "recoup"

    def __init__(self, instance: Instance) -> None:
        sessions, chats = Sessions(instance), Chats(instance)
        one = "/api/sessions/{sessionId}"
        self.routes = RouteTable(
            [
                Route("GET", "/api/openapi.json", self.openapi, "This document.", {200: dict}, is_public=True),
                Route(
                    "POST",
                    "/api/sessions",
                    sessions.create,
                    "Create a session with its first chat.",
                    {200: wire.SessionCreated, 400: wire.FieldError, 413: wire.Error, **_ERRORS},
                    body=wire.CreateSession,
                    is_body_optional=True,
                ),
                Route("GET", one, sessions.get, "Get a session.", {200: wire.SessionAnswer, **_SESSION_ERRORS}),
                Route(
                    "GET",
                    f"{one}/chats",
                    chats.list,
                    "List the chats of a session, oldest first.",
                    {200: wire.ChatListAnswer, **_SESSION_ERRORS},
                ),
                Route(
                    "POST",
                    f"{one}/chats",
                    chats.create,
                    "Create a chat, or get the one that has this id in this session.",
                    {
                        200: wire.ChatAnswer,
                        400: wire.BareError,
                        409: wire.BareError,
                        413: wire.Error,
                        **_SESSION_ERRORS,
                    },
                    body=wire.CreateSessionChat,
                    is_body_optional=True,
                ),
                Route(
                    "GET",
                    f"{one}/chats/{{chatId}}",
                    chats.get,
                    "Get a chat with its messages.",
                    {200: wire.ChatDetailDocument, **_SESSION_ERRORS},
                ),
                Route(
                    "DELETE",
                    f"{one}/chats/{{chatId}}",
                    chats.delete,
                    "Delete a chat with its messages; the only one of a session stays.",
                    {200: wire.Success, 400: wire.Error, **_SESSION_ERRORS},
                ),
                Route(
                    "POST",
                    f"{one}/chats/{{chatId}}/read",
                    chats.mark_read,
                    "Mark a chat as read by the caller.",
                    {200: wire.Success, **_SESSION_ERRORS},
                ),
            ]
        )

    async def respond(self, request: Request) -> Reply:
        """See the base; a preflight is answered for any path, and every answer may be read from anywhere."""
        if request.method == "OPTIONS":
            return Reply(200, b"", list(_CORS))
        reply = await super().respond(request)
        reply.headers = [*reply.headers, *_CORS]
        return reply

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """See the base."""
        reply = refuse(error)
        reply.headers = [*reply.headers, *_CORS]
        if isinstance(error, MethodNotAllowed):
            reply.headers.append((b"allow", ", ".join(error.allowed).encode()))
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
                "Sessions with several chats each, as clients of Recoup Sessions know them.",
                self.routes.routes,
                {
                    "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                    "BearerAuth": {"type": "http", "scheme": "bearer"},
                },
            )
        )
