"""The Honcho dialect: its table of routes, and the order of its checks."""

from __future__ import annotations

import secrets

from antiphon.api import openapi
from antiphon.api.dialect import Dialect
from antiphon.api.honcho import errors, messages
from antiphon.api.honcho.conclusions import Conclusions
from antiphon.api.honcho.keys import Keys
from antiphon.api.honcho.members import Members
from antiphon.api.honcho.memory import Memory
from antiphon.api.honcho.messages import Messages
from antiphon.api.honcho.peers import Peers
from antiphon.api.honcho.queue import Queue
from antiphon.api.honcho.reach import Reach
from antiphon.api.honcho.reads import Reads
from antiphon.api.honcho.scopes import Scopes
from antiphon.api.honcho.sessions import Sessions
from antiphon.api.honcho.tokens import Tokens
from antiphon.api.honcho.webhooks import Webhooks
from antiphon.api.honcho.workspaces import Workspaces
from antiphon.api.http import JSON, Reply, Request, StreamReply, encode
from antiphon.api.routing import MethodNotAllowed, Route, RouteTable
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError

DOCUMENT_PATH = "/openapi.json"
"""Where this wire's clients look for its document, outside of its prefix."""

_VERSION = "3.0.12"
_DESCRIPTION = (
    "Workspaces, peers, sessions and messages. Every route but this document needs `Authorization: Bearer` with a key."
)


class Honcho(Dialect):
    """Version 3 of Honcho's HTTP API over an instance: workspace = tenant, peer = participant, session = session.

    `jwt_secret` is what its tokens are signed with; without it one that nobody knows afterwards.
    """

    name = "honcho"

    def __init__(self, instance: Instance, jwt_secret: str | None = None) -> None:
        tokens = Tokens(instance, jwt_secret or secrets.token_urlsafe())
        reach = Reach(instance, tokens)
        nouns = (
            Workspaces(instance, reach),
            Peers(instance, reach),
            Sessions(instance, reach),
            Members(instance, reach),
            Messages(instance, reach),
            Reads(instance, reach),
            Memory(instance, reach),
            Conclusions(instance, reach),
            Scopes(instance, reach),
            Webhooks(instance, reach),
            Queue(instance, reach),
            Keys(instance, reach, tokens),
        )
        documents = [
            Route("GET", path, self.document, "This document.", {200: dict}, is_public=True)
            for path in ("/v3/openapi.json", DOCUMENT_PATH)
        ]
        self.routes = RouteTable([*(route for noun in nouns for route in noun.routes()), *documents])
        self._document = b""

    async def respond(self, request: Request) -> Reply | StreamReply:
        """The answer to a request; a path that only a slash at its end keeps from being a route is sent to that route.

        New messages are taken at the path with the slash, too.
        """
        if request.segments[-1] != "":
            return await self.routes.match(request).handler(request)
        request.segments = request.segments[:-1]
        try:
            route = self.routes.match(request)
        except MethodNotAllowed:
            return _without_slash(request)
        if route.method == "POST" and route.path == messages.PATH:
            return await route.handler(request)
        return _without_slash(request)

    async def document(self, request: Request) -> Reply:
        """GET /v3/openapi.json and GET /openapi.json."""
        if not self._document:
            schemes = {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
            routes = [route for route in self.routes.routes if route.path != DOCUMENT_PATH]
            made = openapi.document("Antiphon: Honcho API", _VERSION, _DESCRIPTION, routes, schemes)
            self._document = encode(made)
        return Reply(200, self._document, [JSON])

    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """The error as `{"detail": …}`."""
        return errors.refuse(error)


def _without_slash(request: Request) -> Reply:
    """307 to the same path without the slash at its end."""
    path = (request.scope.get("raw_path") or request.scope["path"].encode()).split(b"?", 1)[0]
    query = request.scope.get("query_string", b"")
    return Reply(307, headers=[(b"location", path[:-1] + (b"?" + query if query else b""))])
