"""The events of a chat over a WebSocket: turn after turn, for as long as the chat is there.

A socket only reads: it is no connection of the chat, so it does not stand in the way of a deletion, which ends it with
4404. Errors are told by the close: its code, and as its reason the code of the problem.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from starlette.websockets import WebSocket

from antiphon.api.auth import api_key_of, bearer_of
from antiphon.api.http import WIRE, InternalFault, Request, Wire, decode_json
from antiphon.api.native.bodies import convert
from antiphon.api.native.errors import row_of
from antiphon.api.native.events import QUERY, Start, read_start
from antiphon.api.native.queries import check_names
from antiphon.api.native.reach import Reach
from antiphon.api.native.wire import AuthFrame, socket_bytes, socket_frame
from antiphon.api.ws import CLOSE_GOING_AWAY, ClientLeft, FrameRate, Places, close, cut, send
from antiphon.core.faults import describe
from antiphon.core.instance import Instance
from antiphon.core.ports.streams import Record
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import (
    AntiphonError,
    AuthenticationFailed,
    FollowerTooSlow,
    RateLimitExceeded,
    TurnNotFound,
)
from antiphon.domain.events import TurnEnded
from antiphon.domain.keys import Principal
from antiphon.domain.turns import RUNNING, Turn

_log = logging.getLogger(__name__)


class EventSockets:
    """The handler of the sockets, and all that are open."""

    def __init__(self, instance: Instance, reach: Reach, places: Places) -> None:
        self._instance = instance
        self._reach = reach
        self._places = places
        self._open: set[_EventSocket] = set()
        self._is_closing = False

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one socket until it ends. It is accepted first: a browser sees nothing of a refused upgrade."""
        served = _EventSocket(self._instance, self._reach, self._places, socket)
        await socket.accept()
        if self._is_closing:
            await close(socket, CLOSE_GOING_AWAY)
            return
        self._open.add(served)
        try:
            await served.run()
        finally:
            self._open.discard(served)

    async def close_all(self, grace_seconds: float) -> None:
        """Take nothing new; tell the ends of the turns of this process; close every socket with 1001, in that time."""
        self._is_closing = True
        await asyncio.gather(*(served.stop(grace_seconds) for served in list(self._open)))


class _EventSocket:
    """One socket, from its key to its end."""

    def __init__(self, instance: Instance, reach: Reach, places: Places, socket: WebSocket) -> None:
        self._instance = instance
        self._reach = reach
        self._places = places
        self._socket = socket
        self._request = Request({**socket.scope, "method": "GET"}, socket.receive)
        socket.scope["query_string"] = b""  # it may hold a ticket, and servers write queries into their logs
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()
        self._over = asyncio.Event()
        self._is_cut = self._is_refused = False

    async def run(self) -> None:
        """Check who is there, then tell events until one of the two ends has had enough."""
        try:
            code, reason = await self._serve()
        except ClientLeft:
            return
        except AntiphonError as error:
            row = row_of(error)
            code, reason = row.close_code, row.code
        except Exception as fault:  # noqa: BLE001  the client is told, whatever it was
            _log.error("unforeseen fault", extra=describe(fault))
            row = row_of(InternalFault())
            code, reason = row.close_code, row.code
        finally:
            self._over.set()
        if not self._is_cut:
            await close(self._socket, code, reason)

    async def stop(self, grace_seconds: float) -> None:
        """End the socket with 1001, after the end of a turn of this process is told or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, grace_seconds - limits.SOCKET_CLOSE_SECONDS)):
                await self._idle.wait()
        self._ended.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.SOCKET_CLOSE_SECONDS):
                await self._over.wait()

    async def _serve(self) -> tuple[int, str]:
        """Follow the chat; the close code and reason when it is the server that ends it. Raises what ends it else."""
        try:
            async with asyncio.timeout(limits.SOCKET_HANDSHAKE_SECONDS):
                principal, chat = await self._admitted(self._socket.path_params["chat_id"])
                check_names(self._request, QUERY)
                start = read_start(self._request)
        except TimeoutError:
            raise AuthenticationFailed("no key in time") from None
        self._places.check(principal.tenant_id)
        with self._places.taken(principal.tenant_id), self._instance.keys.watched(principal, self._refuse):
            tasks = [
                asyncio.create_task(self._tell(principal, chat, start)),
                asyncio.create_task(self._listen()),
                asyncio.create_task(self._ended.wait()),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        if self._is_refused:
            raise AuthenticationFailed
        return CLOSE_GOING_AWAY, ""

    async def _admitted(self, chat_id: str) -> tuple[Principal, Chat]:
        """Whose ticket or key it is, of the upgrade or else of the first frame, and the chat."""
        request = self._request
        is_known = request.query.get("ticket") or bearer_of(request) or api_key_of(request)
        if is_known or self._instance.everybody is not None:
            return await self._reach.follower(request, chat_id)
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ClientLeft
        frame = convert(decode_json((message.get("text") or "").encode()), AuthFrame)
        principal = await self._reach.caller_of_key(frame.key, frame.tenant or request.header(b"x-tenant"))
        return principal, await self._reach.chat(principal, chat_id)

    async def _listen(self) -> None:
        """Until the client leaves: nothing that it says matters, only how much. Raises ClientLeft."""
        rate = FrameRate(limits.SOCKET_FRAMES_PER_SECOND)
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            if not rate.take():
                raise RateLimitExceeded(1)
        raise ClientLeft

    async def _tell(self, principal: Principal, chat: Chat, start: Start) -> None:
        """Tell the newest turn, then each that follows. Raises ChatNotFound when the chat is gone."""
        seen = None
        while True:
            turn = await self._instance.streams.next_turn(principal.tenant_id, chat.key, seen)
            seen, first, start = turn.id, start.first_of(turn), Start()
            if turn.node == self._instance.turns.node:
                self._idle.clear()
            try:
                await self._tell_turn(turn, first)
            except TurnNotFound:
                continue  # whether the chat is gone too is found out by waiting for its next turn
            finally:
                self._idle.set()

    async def _tell_turn(self, turn: Turn, first: int) -> None:
        """Tell the events of a turn, and its end whatever the client has: in a crash it may have had others before."""
        if await self._tell_events(turn, first):
            return
        now = await self._instance.turns.get(turn.tenant_id, turn.id)
        if now.state != RUNNING:
            await self._tell_events(now, now.event_count - 1)

    async def _tell_events(self, turn: Turn, first: int) -> bool:
        """Tell them from that sequence on; whether the end was among them."""
        follower = await self._instance.turns.follow(turn.tenant_id, turn.id, first, self._cut)
        wire: Wire | None = self._socket.scope.get(WIRE)
        last: Record | None = None

        def write(records: Sequence[Record]) -> bool:
            nonlocal last
            has_room = True
            for last in records:
                has_room = wire is None or wire.write(socket_bytes(last, turn.id))
            return has_room

        try:
            if wire is not None:
                await follower.pump(write, wire.drained)
            else:
                async for records in follower:
                    for last in records:
                        await send(self._socket, socket_frame(last, turn.id))
        finally:
            follower.close()
        return last is not None and isinstance(last.event, TurnEnded)

    def _refuse(self) -> None:
        """The key has ended, and with it what was let in by it."""
        self._is_refused = True
        self._ended.set()

    def _cut(self) -> None:
        """The client does not keep up: what ends the socket must not wait for it."""
        row = row_of(FollowerTooSlow())
        _log.warning("a socket was cut off", extra={"code": row.code})
        self._is_cut = True
        cut(self._socket, row.close_code, row.code)
        self._ended.set()
