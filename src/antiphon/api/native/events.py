"""The events of a chat's turns as server-sent events: the running turn, or the last."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Reply, Request, StreamReply
from antiphon.api.native.bodies import sequence_of
from antiphon.api.native.errors import refusals
from antiphon.api.native.examples import EVENTS
from antiphon.api.native.reach import Reach
from antiphon.api.native.wire import parse_turn_id, show_turn_id, sse_frame, sse_live_frame
from antiphon.api.routing import Content, Query, Route
from antiphon.api.sse import HEADERS, EventStream
from antiphon.api.ws import Places
from antiphon.core.instance import Instance
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.turns import RUNNING, Turn

QUERY = (
    Query("after", {"type": "integer", "minimum": 0}, "The last sequence that is known; as `Last-Event-ID`."),
    Query("turn", {"type": "string"}, "The turn whose sequence that is."),
    Query("live", {"type": "boolean", "default": False}, "Events before they are stored, and without ids."),
    Query("ticket", {"type": "string"}, "A ticket, in place of a key."),
)


class Start(msgspec.Struct, frozen=True):
    """Where a client begins, or goes on: behind a sequence of a turn (None: of whichever is the newest)."""

    turn_id: Uid | None = None
    after: int | None = None

    def first_of(self, turn: Turn) -> int:
        """The sequence of the first event that it lacks; another turn than its own it lacks as a whole."""
        if self.after is None or self.turn_id not in (None, turn.id):
            return 0
        return self.after + 1


def read_start(request: Request) -> Start:
    """Where the client begins. Raises InvalidInput."""
    name = request.query.get("turn")
    turn_id = None if name is None else parse_turn_id(name)
    if name is not None and turn_id is None:
        raise InvalidInput("turn is no id of a turn", field="turn")
    return Start(turn_id, sequence_of(request))


class Events:
    """The stream of a chat. With `places` it shares how many followers a tenant may have."""

    def __init__(self, instance: Instance, reach: Reach, places: Places) -> None:
        self._instance = instance
        self._reach = reach
        self._places = places

    def routes(self, prefix: str) -> list[Route]:
        """The route under that prefix."""
        return [
            Route(
                "GET",
                f"{prefix}/chats/{{chat_id}}/events",
                self.get,
                "The events of the running turn, or of the last, to its end; also a WebSocket.",
                {200: Content(str, "text/event-stream", EVENTS), 204: None, **refusals(429)},
                query=QUERY,
            )
        ]

    async def get(self, request: Request) -> Reply | StreamReply:
        """GET /chats/{chat_id}/events: 204 when nothing runs and the client has all of the last turn."""
        principal, chat = await self._reach.follower(request, request.params["chat_id"])
        start, is_live = read_start(request), _is_live(request)
        turn = await self._reach.last_turn(principal, chat)
        if turn is None or start.turn_id not in (None, turn.id):
            return Reply(204)
        first = start.first_of(turn)
        if turn.state != RUNNING and first >= turn.event_count:
            return Reply(204)
        headers = [*HEADERS, (b"antiphon-turn", show_turn_id(turn.id).encode())]
        if request.method == "HEAD":
            return Reply(200, b"", headers)
        frame_of = sse_live_frame if is_live else sse_frame
        with self._places.take(turn.tenant_id) as place:
            follower = await self._instance.turns.follow(
                turn.tenant_id, turn.id, first, request.abort, is_stored_only=not is_live
            )
            place.enter_context(self._instance.keys.watched(principal, follower.let_go))
            return StreamReply(200, EventStream(follower, frame_of, on_close=place.pop_all().close), headers)


def _is_live(request: Request) -> bool:
    given = request.query.get("live", "false")
    if given not in {"true", "false"}:
        raise InvalidInput("live is true or false", field="live")
    return given == "true"
