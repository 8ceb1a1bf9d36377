"""HTTP/1.1 on the wire, stricter than uvicorn's: what its parser lets pass would reach the dialects in disguise.

Tried from outside against uvicorn 0.54: a head of any length is collected (80 MB kept everybody waiting for four
seconds), trailers of a chunked body are merged into the headers, and a body after `Upgrade` is read as a request.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from antiphon.domain import limits

ABORT = "antiphon.abort"
"""Where a scope holds the function that cuts its connection; the layer above looks for it by this name.

That of a socket takes the code and the reason of the close.
"""

_BODY_HEADERS = {b"content-length", b"transfer-encoding"}


WIRE = "antiphon.wire"
"""Where a scope holds a way past ASGI to its connection, for streams with very many readers."""


_UNREADABLE = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 24\r\n"
    b"connection: close\r\n\r\nUpgrade head too large.\n"
)


EMPTIED = "antiphon.emptied"
"""Where a scope holds the function that waits until nothing of the answer waits to be sent."""


class ChunkWire:
    """Writes pieces of one chunked body (RFC 9112, 7.1) straight to the connection."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._transport = protocol.transport
        self._flow = protocol.flow

    def write(self, data: bytes) -> bool:
        """See api.http.Wire."""
        if not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not self._flow.write_paused

    async def drained(self) -> None:
        """See api.http.Wire."""
        await self._flow.drain()


class StrictProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on heads, in bytes and in time, and without trailers or tricks with `Upgrade`."""

    _is_in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See uvicorn; from here on the head must come within HEAD_SECONDS."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See uvicorn."""
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See uvicorn; a head that is too long is refused, and what follows it is not read."""
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        if self._head_bytes > limits.HEAD_BYTES:
            self.send_400_response("Request head too large.")
        elif self._head_timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """See uvicorn."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """See uvicorn; what comes after the head is a trailer, and no header (RFC 9110, 6.5.1)."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See uvicorn; a request that asks for an upgrade has no body that could be told from what follows."""
        self._is_in_head = False
        self._forget_timer()
        cast("dict[str, Any]", self.scope).update({ABORT: self.transport.abort, EMPTIED: self.emptied})
        if self.scope["http_version"] == "1.1":  # an older one knows no chunks
            self.scope.update({WIRE: ChunkWire(self)})  # type: ignore[misc]
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            return
        has_body = any(name in _BODY_HEADERS and value != b"0" for name, value in self.headers)
        if has_body or (self._should_upgrade() and self.parser.get_method() != b"GET"):
            self.send_400_response("An upgrade takes no body, and GET.")
            return
        super().on_headers_complete()
        if not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser is at its end: nothing that follows would be read

    async def emptied(self) -> bool:
        """Returns when nothing waits to be sent; whether the connection is there then."""
        if not self.transport.is_closing():
            self.transport.set_write_buffer_limits(0)  # from here on there is room only when nothing is left
            await self.flow.drain()
        if self.transport.is_closing():
            return False
        self.transport.set_write_buffer_limits()
        return True

    def on_body(self, body: bytes) -> None:
        """See uvicorn; a request that was refused has no body."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See uvicorn; likewise."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """See uvicorn; nothing is left to be upgraded when the request was refused."""
        if not self.transport.is_closing():
            super().handle_websocket_upgrade()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(limits.HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self._is_in_head and not self.transport.is_closing():
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol with a way to end a socket whose client does not read, and no upgrade without an answer."""

    def data_received(self, data: bytes) -> None:
        """See uvicorn; its parser gives up on a line over 8 KiB or on over 128 headers, and nobody would be told."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def handle_connect(self, event: Any) -> None:
        """See uvicorn; the application runs only after this."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            cast("dict[str, Any]", self.scope).update({ABORT: self.cut, WIRE: self})

    def write(self, data: bytes) -> bool:
        """See api.http.Wire: whole frames, which stand between those that uvicorn sends."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(data)
        return self.writable.is_set()

    async def drained(self) -> None:
        """See api.http.Wire."""
        await self.writable.wait()

    def cut(self, code: int, reason: str) -> None:
        """Put the close behind what waits to be sent, without waiting; break the connection soon after, read or not."""
        if self.disconnected:
            return
        if not self.close_sent and not self.transport.is_closing():  # else a close waits there, read or not
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.writable.set()  # what waits there to write more is refused, now that the close is sent
        self.close_timer = self.loop.call_later(limits.SOCKET_CLOSE_SECONDS, self.transport.abort)
