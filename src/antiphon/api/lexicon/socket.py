"""The socket `/ws/chat`: a person says something, and the agent's answer streams back.

A socket is accepted before anything is checked: a refusal is told as an event, since a browser sees nothing of a
refused upgrade. Frames are handled one after the other; an answer ends with its socket, and what was unfinished is not
kept.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from antiphon.api.http import InternalFault
from antiphon.api.lexicon import wire
from antiphon.api.lexicon.bodies import read_frame
from antiphon.api.lexicon.errors import answer_of, details_of
from antiphon.api.lexicon.events import (
    ConnectionEstablished,
    Event,
    Failed,
    MessageReceived,
    StreamEnded,
    StreamStarted,
    StreamToken,
    UserCreated,
)
from antiphon.api.lexicon.events import text_of as event_text
from antiphon.api.lexicon.handshake import Given, admit, take_given, unknown_chat
from antiphon.api.ws import FrameRate
from antiphon.core.faults import describe
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.connections import Connection
from antiphon.domain.errors import (
    AntiphonError,
    ChatNotFound,
    ConnectionNotFound,
    RateLimitExceeded,
    StoreError,
    StoreUnavailable,
)
from antiphon.domain.ids import text_of
from antiphon.domain.messages import Message

CLOSE_GOING_AWAY = 1001

_log = logging.getLogger(__name__)


class SocketLimits(NamedTuple):
    """What a socket may do; a rate of 0 is no limit. `send_seconds` is how long a client may leave events unread."""

    handshake_seconds: float = limits.SOCKET_HANDSHAKE_SECONDS
    frames_per_second: int = limits.SOCKET_FRAMES_PER_SECOND
    frames_waiting: int = limits.SOCKET_FRAMES_WAITING
    send_seconds: float = limits.SOCKET_PONG_SECONDS
    close_seconds: float = limits.SOCKET_CLOSE_SECONDS


class _ClientLeft(Exception):
    """The other end is gone: there is nobody to tell anything."""


class ChatSocket:
    """The handler of `/ws/chat`, and all the sockets that it holds."""

    def __init__(self, instance: Instance, socket_limits: SocketLimits | None = None) -> None:
        self._instance = instance
        self._limits = socket_limits or SocketLimits()
        self._open: set[_Conversation] = set()
        self._is_closing = False

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one socket until it ends."""
        given = take_given(socket.scope)
        await socket.accept()
        if self._is_closing:
            with suppress(WebSocketDisconnect):
                await socket.close(CLOSE_GOING_AWAY)
            return
        conversation = _Conversation(self._instance, socket, self._limits)
        self._open.add(conversation)
        try:
            await conversation.run(given)
        finally:
            self._open.discard(conversation)

    async def close_all(self, grace_seconds: float) -> None:
        """Take nothing new; let the exchanges that are under way end; close every socket with 1001.

        All within that time, of which the last `close_seconds` are for those that must be broken off.
        """
        self._is_closing = True
        await asyncio.gather(*(conversation.stop(grace_seconds) for conversation in list(self._open)))


class _Conversation:
    """One socket, from the handshake to its end."""

    def __init__(self, instance: Instance, socket: WebSocket, socket_limits: SocketLimits) -> None:
        self._instance = instance
        self._socket = socket
        self._limits = socket_limits
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(socket_limits.frames_waiting)
        self._rate = FrameRate(socket_limits.frames_per_second)
        self._sending = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()
        self._is_over = asyncio.Event()
        self._leaving = asyncio.Event()
        self._reason: AntiphonError | None = None
        self._connection: Connection | None = None
        self._model: str | None = None

    # The life of the socket

    async def run(self, given: Given) -> None:
        """Check who is there, then talk until one of the two ends has had enough; the registration goes last."""
        try:
            connection = await self._admitted(given)
            if connection is not None:
                await self._talk(connection)
        except _ClientLeft:
            return
        finally:
            if self._connection is not None:
                await self._instance.connections.close(self._connection)
            self._is_over.set()

    async def stop(self, grace_seconds: float) -> None:
        """End the socket with 1001, after the exchange that is under way or when the time is over."""
        self._leaving.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, grace_seconds - self._limits.close_seconds)):
                await self._idle.wait()
        self._ended.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_seconds):
                await self._is_over.wait()

    def _lose(self, reason: AntiphonError) -> None:
        """The chat, or the registration, is gone."""
        if self._reason is None:
            self._reason = reason
        self._ended.set()

    async def _admitted(self, given: Given) -> Connection | None:
        """The handshake; None when it was refused, which the client has been told."""
        try:
            async with asyncio.timeout(self._limits.handshake_seconds):
                return await self._enter(given)
        except AntiphonError as error:
            await self._refuse(error)
        except TimeoutError:
            await self._refuse(StoreUnavailable("the handshake took too long"))
        except _ClientLeft:
            raise
        except Exception as fault:  # noqa: BLE001  the client is told, whatever it was
            _log.error("unforeseen fault", extra=describe(fault))
            await self._refuse(InternalFault())
        return None

    async def _enter(self, given: Given) -> Connection:
        principal, user_id, chat = await admit(self._instance, given)
        self._model = chat.model
        try:
            connection = await self._instance.connections.open(principal.tenant_id, chat.key, user_id, self._lose)
        except ChatNotFound:
            raise unknown_chat(chat.id) from None
        self._connection = connection
        tenant_id = text_of(principal.tenant_id)
        await self._send(ConnectionEstablished(user_id=user_id, chat_id=chat.id, tenant_id=tenant_id))
        if connection.is_new_participant:
            await self._send(UserCreated(user_id=user_id))
        return connection

    async def _talk(self, connection: Connection) -> None:
        """Read and answer side by side until one of them ends; then end the other, and tell the client why."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._answer_frames(connection)),
            asyncio.create_task(self._ended.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for fault in outcomes:
            if isinstance(fault, Exception) and not isinstance(fault, _ClientLeft):
                _log.error("unforeseen fault", extra=describe(fault))
                self._lose(InternalFault())
        if isinstance(self._reason, ChatNotFound):
            await self._refuse(unknown_chat(connection.chat_id))
        elif self._reason is not None:
            await self._refuse(self._reason)
        elif self._leaving.is_set():
            await self._close(CLOSE_GOING_AWAY, "")

    # What comes in

    async def _read(self) -> None:
        """Take frames as they come, until the client leaves; those that come too fast are refused at once."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if not self._rate.take():
                await self._say(RateLimitExceeded(1, f"more than {self._limits.frames_per_second} frames in a second"))
                continue
            try:
                self._frames.put_nowait(message.get("text"))
            except asyncio.QueueFull:
                await self._say(RateLimitExceeded(1, f"{self._limits.frames_waiting} frames are waiting already"))

    async def _answer_frames(self, connection: Connection) -> None:
        """Handle frames one after the other, until one cannot be got over or the server goes down."""
        while not self._leaving.is_set():
            frame = await self._frames.get()
            if self._leaving.is_set():
                return
            self._idle.clear()
            try:
                await self._exchange(connection, frame)
            except (ChatNotFound, ConnectionNotFound) as error:
                reason: AntiphonError = error
                with suppress(StoreError):
                    reason = await self._instance.connections.why_lost(connection)
                self._lose(reason)
                return
            except AntiphonError as error:
                await self._say(error)
            except _ClientLeft:
                return
            except Exception as fault:  # noqa: BLE001  one frame's fault is not the next one's
                _log.error("unforeseen fault", extra=describe(fault))
                await self._say(InternalFault())
            finally:
                self._idle.set()

    async def _exchange(self, connection: Connection, frame: str | None) -> None:
        content, metadata = read_frame(frame)
        chat_id, user_id = connection.chat_id, connection.participant_name
        said = await self._instance.replies.ask(connection, content, metadata)
        await self._send(
            MessageReceived(message_id=wire.message_id(said), chat_id=chat_id, user_id=user_id, content=content)
        )
        await self._send(StreamStarted(chat_id=chat_id, user_id=user_id))
        async with aclosing(self._instance.replies.answer(connection, self._model)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Message):
                    message_id, text = wire.message_id(piece), piece.text
                    await self._send(StreamEnded(message_id=message_id, chat_id=chat_id, user_id=user_id, content=text))
                else:
                    await self._send(StreamToken(chat_id=chat_id, token=piece))

    # What goes out

    async def _say(self, error: AntiphonError) -> None:
        code = answer_of(error).event_code
        await self._send(Failed(error_code=code, error_message=error.message, details=details_of(error)))

    async def _refuse(self, error: AntiphonError) -> None:
        """Tell of an error that ends the socket, and end it; the reason repeats the code, or speaks for itself."""
        row = answer_of(error)
        if row.close_reason is None:
            await self._say(error)
        await self._close(row.close_code, row.close_reason or row.event_code)

    async def _send(self, event: Event) -> None:
        """Send an event. Raises _ClientLeft, also when the client has not read for `send_seconds`."""
        text = event_text(event)
        try:
            async with asyncio.timeout(self._limits.send_seconds), self._sending:
                await self._socket.send_text(text)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):  # starlette says in two ways that nobody is there
            raise _ClientLeft from None

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state == WebSocketState.CONNECTED:
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(self._limits.close_seconds):
                    await self._socket.close(code, reason)
