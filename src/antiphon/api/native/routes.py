"""What our own wire serves: everything under `/antiphon/v1`."""

from __future__ import annotations

from functools import cached_property

from antiphon import __version__
from antiphon.api.dialect import Dialect
from antiphon.api.http import JSON, Reply, Request, StreamReply, encode, json_reply
from antiphon.api.native.bodies import Nothing, read_body
from antiphon.api.native.chats import Chats
from antiphon.api.native.connections import Connections
from antiphon.api.native.deletions import Deletions
from antiphon.api.native.errors import refusals, refuse
from antiphon.api.native.events import Events
from antiphon.api.native.examples import EXAMPLES
from antiphon.api.native.export import Exports
from antiphon.api.native.imports import Imports
from antiphon.api.native.keys import Keys
from antiphon.api.native.messages import Messages
from antiphon.api.native.participants import Participants
from antiphon.api.native.queries import check_names
from antiphon.api.native.rates import Rates, headers_of
from antiphon.api.native.reach import Reach
from antiphon.api.native.receipts import Receipts
from antiphon.api.native.retries import Retries, documented
from antiphon.api.native.sessions import Sessions
from antiphon.api.native.sockets import EventSockets
from antiphon.api.native.tenants import Tenants
from antiphon.api.native.tickets import Tickets
from antiphon.api.native.turns import Turns
from antiphon.api.native.webhooks import Webhooks
from antiphon.api.native.wire import Whoami, show_caller
from antiphon.api.openapi import document
from antiphon.api.routing import Content, Route, RouteTable
from antiphon.api.ws import Places
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError, InvalidInput

PREFIX = "/antiphon/v1"
SOCKET_PATH = f"{PREFIX}/chats/{{chat_id}}/events"

_DOCUMENT = Content(dict, "application/json", {"openapi": "3.1.0", "info": {"title": "Antiphon", "version": "1"}})
_NO_STORE = (b"cache-control", b"no-store")


class Native(Dialect):
    """Our own API. `sockets` serves the WebSockets of SOCKET_PATH.

    `requests_per_minute` is the limit of tenants without one of their own.
    """

    name = "native"

    def __init__(self, instance: Instance, requests_per_minute: int) -> None:
        self._reach = Reach(instance, Rates(instance, requests_per_minute))
        self._retries = Retries(instance, self._reach)
        exports = Exports(instance, self._reach)
        places = Places()
        self.sockets = EventSockets(instance, self._reach, places)
        document_path = f"{PREFIX}/openapi.json"
        self.routes = RouteTable(
            [
                documented(route)
                for route in (
                    Route("GET", document_path, self.openapi, "This document.", {200: _DOCUMENT}, is_public=True),
                    Route(
                        "GET", f"{PREFIX}/whoami", self.whoami, "Whom the key stands for.", {200: Whoami, **refusals()}
                    ),
                    *Tenants(instance, self._reach).routes(PREFIX),
                    *Keys(instance, self._reach).routes(PREFIX),
                    *Participants(instance, self._reach).routes(PREFIX),
                    *Sessions(instance, self._reach).routes(PREFIX),
                    *Chats(instance, self._reach).routes(PREFIX),
                    *Messages(instance, self._reach).routes(PREFIX),
                    *Connections(instance, self._reach).routes(PREFIX),
                    *Turns(instance, self._reach).routes(PREFIX),
                    *Tickets(instance, self._reach).routes(PREFIX),
                    *Events(instance, self._reach, places).routes(PREFIX),
                    *Deletions(instance, self._reach, exports).routes(PREFIX),
                    *exports.routes(PREFIX),
                    *Imports(instance, self._reach).routes(PREFIX),
                    *Receipts(instance, self._reach).routes(PREFIX),
                    *Webhooks(instance, self._reach).routes(PREFIX),
                )
            ]
        )

    async def respond(self, request: Request) -> Reply | StreamReply:
        """See the base; a request that is sent again is answered as before, and nothing is kept by caches."""
        route = self.routes.match(request)
        try:
            await _check(request, route)
        except InvalidInput:
            await self._reach.caller(request)  # who has no key is told that, and nothing else
            raise
        reply = await self._retries.answer(request, route)
        if not isinstance(reply, StreamReply):
            reply.headers = [*reply.headers, _NO_STORE]
        reply.headers = [*reply.headers, *headers_of(request)]
        return reply

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """See the base; whoever is known is told of the rate here too."""
        reply = refuse(request, error)
        reply.headers += headers_of(request)
        return reply

    async def whoami(self, request: Request) -> Reply:
        """GET /whoami."""
        return json_reply(200, show_caller(await self._reach.caller(request)))

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
                EXAMPLES,
            )
        )


async def _check(request: Request, route: Route) -> None:
    """Raise InvalidInput for parameters that the route does not have, and for a body where it takes none.

    What is for everybody does nothing that a mistake could change.
    """
    if route.is_public:
        return
    check_names(request, route.query)
    if route.body is None and request.method not in {"GET", "HEAD"}:
        await read_body(request, Nothing)
