"""Connections on our own wire: which sockets are open on a chat, and the closing of one."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.errors import refusals
from antiphon.api.native.queries import PAGE, cut_page, list_name, read_cursor, read_limit
from antiphon.api.native.reach import Reach
from antiphon.api.native.wire import CONNECTION, parse_id, show_time
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain.connections import Presence
from antiphon.domain.ids import text_of


class Connection(msgspec.Struct, frozen=True):
    """An open socket: whose, since when, and in which process.

    `until` is when it stops counting if its process is dead.
    """

    id: str
    participant: str
    since: str
    until: str
    node: str


class ConnectionList(msgspec.Struct, frozen=True):
    """Some open sockets in order of opening, and where the next are."""

    items: list[Connection]
    next: str | None


class Connections:
    """The routes of connections."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/chats/{{chat_id}}/connections", f"{prefix}/connections/{{connection_id}}"
        listed = {200: ConnectionList, **refusals()}
        return [
            Route("GET", path, self.list, "List the sockets that are open on a chat.", listed, query=PAGE),
            Route("DELETE", one, self.dismiss, "Close a socket.", {204: None, **refusals()}),
        ]

    async def list(self, request: Request) -> Reply:
        """GET /chats/{chat_id}/connections, those of all processes in order of opening."""
        principal = await self._reach.caller(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        limit, of_list = read_limit(request), list_name("connections", principal.tenant_id, text_of(chat.key))
        after = read_cursor(of_list, request)
        found = await self._instance.connections.list(principal.tenant_id, chat.key, after, limit + 1)
        page, following = cut_page(found, limit, of_list, lambda one: one.id)
        return json_reply(200, ConnectionList([show_connection(one) for one in page], following))

    async def dismiss(self, request: Request) -> Reply:
        """DELETE /connections/{connection_id}: 204; nothing is stored for it any more.

        The socket is closed at once when this process holds it, else when the one that does renews its leases.
        """
        principal = await self._reach.steward(request)
        connection_id = parse_id(request.params["connection_id"], CONNECTION)
        await self._instance.connections.dismiss(principal.tenant_id, connection_id)
        return Reply(204)


def show_connection(one: Presence) -> Connection:
    """An open socket."""
    return Connection(
        CONNECTION + text_of(one.id),
        one.participant_name,
        show_time(one.since),
        show_time(one.until),
        text_of(one.node),
    )
