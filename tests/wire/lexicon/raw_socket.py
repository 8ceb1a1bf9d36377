"""A WebSocket client without manners: frames as bytes, right or wrong, over a plain connection."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Self
from urllib.parse import urlencode, urlsplit

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
_CLOSE_SECONDS, _QUIET_SECONDS, _SEND_SECONDS = 0.5, 0.3, 5
_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(opcode: int, payload: bytes, *, is_final: bool = True, is_masked: bool = True, reserved: int = 0) -> bytes:
    """One frame (RFC 6455, 5.2); a client's must be masked, and nothing may be reserved."""
    first = (0x80 if is_final else 0) | reserved << 4 | opcode
    mask = os.urandom(4) if is_masked else b""
    size, bit = len(payload), 0x80 if is_masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if is_masked:
        whole = int.from_bytes(payload, "big")
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        payload = (whole ^ key).to_bytes(size, "big")
    return head + mask + payload


class RawSocket:
    """A connection whose upgrade was answered; `answer` is the head of that."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.answer = b""

    @classmethod
    async def open(cls, url: str, **query: str) -> Self:
        """Connect and ask for an upgrade."""
        asked = urlsplit(url)
        made = cls(*await asyncio.open_connection(asked.hostname, asked.port))
        await made.send(_UPGRADE.format(path=f"{asked.path}?{urlencode(query)}").encode())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            made.answer = await made._reader.readuntil(b"\r\n\r\n")
        return made

    async def send(self, *pieces: bytes) -> None:
        """Send bytes; that the server has had enough of them is no error."""
        with suppress(ConnectionError, TimeoutError):
            self._writer.write(b"".join(pieces))
            async with asyncio.timeout(_SEND_SECONDS):
                await self._writer.drain()

    async def read(self) -> bytes:
        """All that comes until the server closes, or has nothing to say for a moment."""
        said = b""
        with suppress(TimeoutError, ConnectionError):
            while True:
                async with asyncio.timeout(_QUIET_SECONDS):
                    piece = await self._reader.read(65536)
                if not piece:
                    break
                said += piece
        return said

    async def hear(self) -> bytes:
        """The next bytes."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_SEND_SECONDS):
                return await self._reader.read(65536)
        return b""

    def half_close(self) -> None:
        """Say that nothing more will come, and keep listening."""
        with suppress(OSError):
            self._writer.write_eof()

    def reset(self) -> None:
        """Break the connection as a crash does."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Let go of it, also of what the server does not take any more."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self._writer.transport.abort()
