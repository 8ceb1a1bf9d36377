"""What Lexicon's wire serves over REST: who is calling comes before everything else, even before the path."""

from __future__ import annotations

from functools import cached_property

from antiphon import __version__
from antiphon.api.auth import api_key_of, authenticate
from antiphon.api.dialect import Dialect
from antiphon.api.http import JSON, Reply, Request, StreamReply, encode
from antiphon.api.lexicon import wire
from antiphon.api.lexicon.asyncapi import socket_document
from antiphon.api.lexicon.chats import Chats
from antiphon.api.lexicon.errors import UpgradeRequired, refuse
from antiphon.api.lexicon.reach import check_scope
from antiphon.api.openapi import document
from antiphon.api.routing import MethodNotAllowed, Query, Route, RouteTable
from antiphon.core.instance import Instance
from antiphon.core.rates import RequestRates
from antiphon.domain import limits
from antiphon.domain.errors import AntiphonError
from antiphon.domain.ids import Uid

_NO_STORE = (b"cache-control", b"no-store")
_SOCKET_PATH = ["ws", "chat"]
_DOCUMENT_PATHS = (["api", "v1", "openapi.json"], ["ws", "asyncapi.json"])
_USER_PATH = ["api", "v1", "chats", "user"]
_ERRORS = {401: wire.Error, 429: wire.Error, 500: wire.Error, 503: wire.Error}
_PAGING = (
    Query("offset", {"type": "integer", "minimum": 0, "default": 0}, "How many to leave out at the beginning."),
    Query("limit", {"type": "integer", "minimum": 1, "maximum": limits.PAGE_ITEMS, "default": 50}, "How many at most."),
    Query("order", {"type": "string", "enum": ["asc", "desc"]}, "By the moment of making."),
)


class Lexicon(Dialect):
    """Lexicon's chats, under `/api/v1`. `requests_per_minute` is the limit of tenants without one of their own."""

    name = "lexicon"

    def __init__(self, instance: Instance, requests_per_minute: int) -> None:
        self._instance = instance
        self._requests_per_minute = requests_per_minute
        self._rates = RequestRates()
        chats = Chats(instance)
        one = "/api/v1/chats/{chat_id}"
        created = {201: wire.CreatedChat, 400: wire.Error, 413: wire.Error, **_ERRORS}
        found = {404: wire.Error, **_ERRORS}
        create, many = chats.create, {400: wire.Error, **found}
        self.routes = RouteTable(
            [
                Route("GET", "/api/v1/openapi.json", self.openapi, "This document.", {200: dict}, is_public=True),
                Route("GET", "/ws/asyncapi.json", self.asyncapi, "That of the socket.", {200: dict}, is_public=True),
                Route("POST", "/api/v1/chats/", create, "Create a chat.", created, body=wire.NewChat),
                Route("POST", "/api/v1/chats", create, "The same, without the slash.", created, body=wire.NewChat),
                Route(
                    "GET",
                    "/api/v1/chats/user/{user_id}",
                    chats.list,
                    "List a user's chats, newest first.",
                    {200: wire.ChatPage, **many},
                    query=_PAGING,
                ),
                Route("GET", one, chats.get, "Get a chat.", {200: wire.FullChat, **found}),
                Route(
                    "GET",
                    f"{one}/messages",
                    chats.messages,
                    "List a chat's messages, oldest first.",
                    {200: wire.MessagePage, **many},
                    query=_PAGING,
                ),
                Route(
                    "DELETE",
                    one,
                    chats.delete,
                    "Delete a chat with all its messages, for good; refused while a socket is open on it.",
                    {200: wire.ChatDeleted, 409: wire.Error, **found},
                ),
            ]
        )

    async def respond(self, request: Request) -> Reply | StreamReply:
        """See the base. The order of checks is this wire's: caller, rate, route, request, resource."""
        segments = request.segments
        if segments == _SOCKET_PATH:
            raise UpgradeRequired
        if segments in _DOCUMENT_PATHS:
            return await super().respond(request)
        principal = await authenticate(self._instance, request, api_key_of(request))
        check_scope(principal)
        limit = (await self._instance.tenants.settings(principal.tenant_id)).rate_limit
        self._rates.count(principal.tenant_id, self._requests_per_minute if limit is None else limit)
        if segments[: len(_USER_PATH)] == _USER_PATH and len(segments) > len(_USER_PATH) + 1:
            segments[len(_USER_PATH) :] = ["/".join(segments[len(_USER_PATH) :])]  # a user's id may hold slashes
        reply = await super().respond(request)
        reply.headers = [*reply.headers, _NO_STORE, *self._standing(principal.tenant_id)]
        return reply

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """See the base; whoever is known is told of the rate here too."""
        reply = refuse(error)
        reply.headers.append(_NO_STORE)
        if request.principal is not None:
            reply.headers += self._standing(request.principal.tenant_id)
        if isinstance(error, MethodNotAllowed):
            reply.headers.append((b"allow", ", ".join(error.allowed).encode()))
        if isinstance(error, UpgradeRequired):
            reply.headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
        return reply

    def _standing(self, tenant_id: Uid) -> list[tuple[bytes, bytes]]:
        """What tells the client where its tenant stands."""
        standing = self._rates.standing(tenant_id)
        if standing is None:
            return []
        return [
            (b"x-ratelimit-limit", b"%d" % standing.limit),
            (b"x-ratelimit-remaining", b"%d" % standing.remaining),
            (b"x-ratelimit-reset", b"%d" % standing.ends_at),
        ]

    async def openapi(self, request: Request) -> Reply:
        """GET /api/v1/openapi.json."""
        return Reply(200, self._document, [JSON, _NO_STORE])

    async def asyncapi(self, request: Request) -> Reply:
        """GET /ws/asyncapi.json."""
        return Reply(200, self._socket_document, [JSON, _NO_STORE])

    @cached_property
    def _socket_document(self) -> bytes:
        return encode(socket_document())

    @cached_property
    def _document(self) -> bytes:
        return encode(
            document(
                "Antiphon: the Lexicon dialect",
                __version__,
                "Chats and their messages, as clients of Lexicon Chat know them. The socket is at /ws/chat.",
                self.routes.routes,
                {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
            )
        )
