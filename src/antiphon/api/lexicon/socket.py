"""The socket `/ws/chat`: a person says something, and the agent's answer streams back.

A socket is accepted before anything is checked: a refusal is told as an event, since a browser sees nothing of a refused
upgrade. Frames are handled one after the other; an answer ends with its socket, and what was unfinished is not kept.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from antiphon.api.http import decode_json
from antiphon.api.lexicon import wire
from antiphon.api.lexicon.chats import metadata_of
from antiphon.api.lexicon.errors import answer_of, details_of, socket_code
from antiphon.api.lexicon.rates import FrameRate
from antiphon.api.lexicon.reach import check_scope, may_speak_for, visible_chat
from antiphon.core.faults import describe
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.connections import Connection
from antiphon.domain.errors import (
    AntiphonError,
    AuthenticationFailed,
    ChatNotFound,
    ConnectionNotFound,
    InvalidInput,
    RateLimitExceeded,
    StoreFailed,
)
from antiphon.domain.ids import text_of
from antiphon.domain.keys import Principal
from antiphon.domain.messages import Message
from antiphon.domain.texts import check_text

_GOING_DOWN = 1001
_INTERNAL = 1011

_log = logging.getLogger(__name__)


class _ClientLeft(Exception):
    """The other end is gone: there is nobody to tell anything."""


class ChatSocket:
    """The handler of `/ws/chat`, and all the sockets that it holds."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._open: set[_Conversation] = set()

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one socket until it ends."""
        await socket.accept()
        conversation = _Conversation(self._instance, socket)
        self._open.add(conversation)
        try:
            await conversation.run()
        finally:
            self._open.discard(conversation)

    async def close_all(self, grace_seconds: float) -> None:
        """Take nothing new; let what is being answered end within that time; then close every socket with 1001."""
        await asyncio.gather(*(conversation.stop(grace_seconds) for conversation in list(self._open)))


class _Conversation:
    """One socket, from the handshake to its end."""

    def __init__(self, instance: Instance, socket: WebSocket) -> None:
        self._instance = instance
        self._socket = socket
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(limits.SOCKET_FRAMES_WAITING)
        self._rate = FrameRate()
        self._sending = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()
        self._is_over = asyncio.Event()
        self._reason: AntiphonError | None = None
        self._model: str | None = None
        self._agent_name = ""

    # The life of the socket

    async def run(self) -> None:
        """Check who is there, then talk until one of the two ends has had enough."""
        try:
            connection = await self._enter()
            if connection is not None:
                try:
                    await self._talk(connection)
                finally:
                    await self._instance.connections.close(connection)
        except _ClientLeft:
            return
        finally:
            self._is_over.set()

    async def stop(self, grace_seconds: float) -> None:
        """End the socket with 1001, after the exchange that is under way or when the time is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_seconds)
        self._ended.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_over.wait(), 1)

    def _lose(self, reason: AntiphonError) -> None:
        self._reason = reason
        self._ended.set()

    async def _enter(self) -> Connection | None:
        """The handshake; None when it was refused, which the client has been told."""
        try:
            async with asyncio.timeout(limits.SOCKET_HANDSHAKE_SECONDS):
                return await self._check_in()
        except AntiphonError as error:
            await self._refuse(error)
        except TimeoutError:
            await self._refuse(StoreFailed("the handshake took too long"))
        except _ClientLeft:
            raise
        except Exception as fault:  # noqa: BLE001  the client is told, whatever it was
            _log.error("unforeseen fault", extra=describe(fault))
            await self._refuse(StoreFailed())
        return None

    async def _check_in(self) -> Connection:
        principal = await self._caller()
        user_id = self._value("user_id", "x-user-id")
        if user_id is None:
            raise AuthenticationFailed("user_id is missing")
        try:
            check_text(user_id, "user_id", limits.LEXICON_USER_ID_CHARACTERS)
        except InvalidInput as error:
            raise AuthenticationFailed(error.message) from None
        if not may_speak_for(principal, user_id):
            raise AuthenticationFailed("this key does not speak for this user_id")
        chat_id = self._value("chat_id", "x-chat-id")
        if chat_id is None:
            raise AuthenticationFailed("chat_id is missing")
        try:
            chat = await visible_chat(self._instance, principal, chat_id)
            self._model, self._agent_name = chat.model, principal.agent_name
            connection = await self._instance.connections.open(principal.tenant_id, chat.key, user_id, self._lose)
        except ChatNotFound:
            raise ChatNotFound(f"No chat {chat_id[: limits.CLIENT_ID_CHARACTERS]!r} in this tenant") from None
        try:
            await self._greet(connection, text_of(principal.tenant_id))
        except _ClientLeft:
            await self._instance.connections.close(connection)
            raise
        return connection

    async def _caller(self) -> Principal:
        if self._instance.everybody is not None:
            return self._instance.everybody
        key = self._value("api_key", "x-api-key")
        if key is None:
            raise AuthenticationFailed("api_key is missing")
        try:
            principal = await self._instance.keys.authenticate(key)
        except AuthenticationFailed:
            raise AuthenticationFailed("Invalid API key") from None
        check_scope(principal)
        return principal

    def _value(self, parameter: str, header: str) -> str | None:
        """A value of the handshake: from the query, else from the header; a blank one is none."""
        for given in (self._socket.query_params.get(parameter), self._socket.headers.get(header)):
            if given is not None and given.strip():
                return given
        return None

    async def _greet(self, connection: Connection, tenant_id: str) -> None:
        user_id = connection.participant_name
        await self._send("connection_established", user_id=user_id, chat_id=connection.chat_id, tenant_id=tenant_id)
        if connection.is_new_participant:
            await self._send("user_created", user_id=user_id)

    async def _talk(self, connection: Connection) -> None:
        """Read and answer side by side until one of them ends; then end the other, and tell the client why."""
        tasks = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._answer_frames(connection)),
            asyncio.create_task(self._ended.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._reason is not None:
            await self._refuse(self._reason)
        elif self._ended.is_set():
            await self._close(_GOING_DOWN, "server going down")

    # What comes in

    async def _read(self) -> None:
        """Take frames as they come, until the client leaves; those that come too fast are refused at once."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if not self._rate.take():
                await self._say(RateLimitExceeded(1, f"more than {limits.SOCKET_FRAMES_PER_SECOND} frames in a second"))
                continue
            try:
                self._frames.put_nowait(message.get("text"))
            except asyncio.QueueFull:
                await self._say(RateLimitExceeded(1, f"more than {limits.SOCKET_FRAMES_WAITING} frames are waiting"))

    async def _answer_frames(self, connection: Connection) -> None:
        """Handle frames one after the other; what cannot be got over ends the socket."""
        while True:
            frame = await self._frames.get()
            self._idle.clear()
            try:
                await self._exchange(connection, frame)
            except (ChatNotFound, ConnectionNotFound) as error:
                self._lose(error)
                return
            except AntiphonError as error:
                await self._say(error)
            except _ClientLeft:
                return
            except Exception as fault:  # noqa: BLE001  one frame's fault is not the next one's
                _log.error("unforeseen fault", extra=describe(fault))
                await self._say(StoreFailed())
            finally:
                self._idle.set()

    async def _exchange(self, connection: Connection, frame: str | None) -> None:
        content, metadata = read_frame(frame)
        about = {"chat_id": connection.chat_id, "user_id": connection.participant_name}
        said = await self._instance.replies.ask(connection, content, metadata)
        await self._send("message_received", message_id=wire.message_id(said), **about, content=content)
        await self._send("message_stream_started", **about)
        async with aclosing(self._instance.replies.answer(connection, self._agent_name, self._model)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Message):
                    ended = {"message_id": wire.message_id(piece), **about, "content": piece.text}
                    await self._send("message_stream_ended", **ended)
                else:
                    await self._send("message_stream_token", chat_id=connection.chat_id, token=piece)

    # What goes out

    async def _say(self, error: AntiphonError) -> None:
        await self._send(
            "error",
            error_code=socket_code(error),
            error_message=error.message,
            details=details_of(error),
        )

    async def _refuse(self, error: AntiphonError) -> None:
        """Tell of an error that ends the socket, and end it; the reason repeats the code."""
        await self._say(error)
        await self._close(answer_of(error).close_code or _INTERNAL, socket_code(error))

    async def _send(self, kind: str, **fields: Any) -> None:
        text = wire.event(kind, **fields)
        async with self._sending:
            try:
                await self._socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):  # starlette's two ways to say that the other end is gone
                raise _ClientLeft from None

    async def _close(self, code: int, reason: str) -> None:
        async with self._sending:
            if self._socket.application_state == WebSocketState.CONNECTED:
                with suppress(WebSocketDisconnect, RuntimeError):
                    await self._socket.close(code, reason)


def read_frame(frame: str | None) -> tuple[str, str]:
    """Content and metadata (as JSON text) of a frame. Raises InvalidInput for anything that is not one."""
    if frame is None:
        raise InvalidInput("frames are text, not binary")
    body = decode_json(frame.encode("utf-8", "surrogatepass"))
    if not isinstance(body, dict):
        raise InvalidInput("a frame is a JSON object")
    content = body.get("content")
    if not isinstance(content, str) or not content.strip():
        raise InvalidInput("content must be a string that is not blank", field="content")
    return check_text(content, "content", limits.LEXICON_CONTENT_CHARACTERS), metadata_of(body)
