"""A receiver of webhooks that answers as it is told to: a status, a redirect, nothing at all, or without end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Self

import msgspec

OK, BROKEN, GONE, REDIRECT = 204, 500, 410, 302
SILENT, HANG_UP, FLOOD, DRIP = -1, -2, -3, -4
"""What is answered instead of a status: nothing, an end of the connection, a body or a head that never ends."""

_WAIT_SECONDS = 20
_DRIP_SECONDS = 0.05
_PIECE = b"x" * 65_536


class Received(msgspec.Struct, frozen=True):
    """A request as it came: header names in lowercase."""

    target: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Listens on a free port of the loopback while inside. `answer` says what each request gets, `flooded` how much."""

    def __init__(self, answer: Callable[[Received], int] = lambda _: OK, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.flooded = 0
        self.port = 0
        self._tls = tls
        self._news = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def url(self, host: str = "127.0.0.1", path: str = "/hook?x=1") -> str:
        """Its address under that name."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    async def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are so many; AssertionError when they do not come."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                while len(self.received) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{len(self.received)} of {count} requests came") from None
        return self.received

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(head[0].split()[1], headers, body)
        answer = self.answer(request)
        self.received.append(request)
        self._news.set()
        if answer == SILENT:
            await asyncio.Event().wait()
        elif answer == FLOOD:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            while True:
                writer.write(_PIECE)
                await writer.drain()
                self.flooded += len(_PIECE)
        elif answer == DRIP:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(_DRIP_SECONDS)  # slowly is the point: never silent, never done
        elif answer != HANG_UP:
            where = "location: http://127.0.0.1:9/\r\n" if answer == REDIRECT else ""
            writer.write(f"HTTP/1.1 {answer} X\r\n{where}content-length: 0\r\n\r\n".encode())
            await writer.drain()
