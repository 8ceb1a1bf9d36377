"""What our own wire serves: everything under `/antiphon/v1`."""

from __future__ import annotations

from functools import cached_property

from antiphon import __version__
from antiphon.api.dialect import Dialect
from antiphon.api.http import JSON, Reply, Request, StreamReply, encode, json_reply
from antiphon.api.native.deletions import Deletions
from antiphon.api.native.errors import refusals, refuse
from antiphon.api.native.events import Events
from antiphon.api.native.export import Exports
from antiphon.api.native.reach import Reach
from antiphon.api.native.receipts import Receipts
from antiphon.api.native.sockets import EventSockets
from antiphon.api.native.tickets import Tickets
from antiphon.api.native.turns import Turns
from antiphon.api.native.webhooks import Webhooks
from antiphon.api.native.wire import Chat, Whoami, show_caller, show_chat
from antiphon.api.openapi import document
from antiphon.api.routing import Route, RouteTable
from antiphon.api.ws import Places
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError

PREFIX = "/antiphon/v1"
SOCKET_PATH = f"{PREFIX}/chats/{{chat_id}}/events"

_NO_STORE = (b"cache-control", b"no-store")


class Native(Dialect):
    """Our own API. `sockets` serves the WebSockets of SOCKET_PATH."""

    name = "native"

    def __init__(self, instance: Instance) -> None:
        self._reach = Reach(instance)
        exports = Exports(instance, self._reach)
        places = Places()
        self.sockets = EventSockets(instance, self._reach, places)
        document_path = f"{PREFIX}/openapi.json"
        self.routes = RouteTable(
            [
                Route("GET", document_path, self.openapi, "This document.", {200: dict}, is_public=True),
                Route("GET", f"{PREFIX}/whoami", self.whoami, "Whom the key stands for.", {200: Whoami, **refusals()}),
                Route("GET", f"{PREFIX}/chats/{{chat_id}}", self.chat, "Get a chat.", {200: Chat, **refusals()}),
                *Turns(instance, self._reach).routes(PREFIX),
                *Tickets(instance, self._reach).routes(PREFIX),
                *Events(instance, self._reach, places).routes(PREFIX),
                *Deletions(instance, self._reach, exports).routes(PREFIX),
                *exports.routes(PREFIX),
                *Receipts(instance, self._reach).routes(PREFIX),
                *Webhooks(instance, self._reach).routes(PREFIX),
            ]
        )

    async def respond(self, request: Request) -> Reply | StreamReply:
        """See the base; nothing of it is kept by caches."""
        reply = await super().respond(request)
        if not isinstance(reply, StreamReply):
            reply.headers = [*reply.headers, _NO_STORE]
        return reply

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """See the base."""
        return refuse(request, error)

    async def whoami(self, request: Request) -> Reply:
        """GET /whoami."""
        return json_reply(200, show_caller(await self._reach.caller(request)))

    async def chat(self, request: Request) -> Reply:
        """GET /chats/{chat_id}."""
        principal = await self._reach.caller(request)
        return json_reply(200, show_chat(await self._reach.chat(principal, request.params["chat_id"])))

    async def openapi(self, request: Request) -> Reply:
        """GET /openapi.json."""
        return Reply(200, self._document, [JSON])

    @cached_property
    def _document(self) -> bytes:
        return encode(
            document(
                "Antiphon",
                __version__,
                "The native API: what none of the other dialects has. docs/protocol/native.md says how it behaves.",
                self.routes.routes,
                {
                    "Bearer": {"type": "http", "scheme": "bearer"},
                    "ApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                },
            )
        )
