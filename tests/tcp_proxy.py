"""A proxy between the server and PostgreSQL that fails when it is told to: cuts, delays, swallows, refuses.

It reads the protocol's framing, so that a test can name a boundary: before the server gets request number 3, or after
it has answered it. It runs on an event loop of its own in a thread, and every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.postgres_server import USER, PostgresServer

T = TypeVar("T")

_HOST = "127.0.0.1"
_CHUNK = 64 * 1024
_ANSWER_SECONDS = 10
_REQUEST_ENDS = b"SQ"  # Sync and a simple query: after either the server says that it is ready again
_READY = b"Z"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that sends RST


class Fault(Enum):
    """What happens to a connection."""

    RST = "both ends are cut, the client by a reset"
    FIN = "both ends are closed"
    HOLD = "nothing passes any more, and nobody is told"


class Way(Enum):
    """A direction."""

    TO_SERVER = "what the client sends"
    TO_CLIENT = "what the server sends"


class _Break:
    """A fault that waits for its moment: so many requests, or bytes of one direction, from when it was made."""

    def __init__(self, fault: Fault, way: Way, requests: int | None = None, octets: int | None = None) -> None:
        self.fault, self.way, self.requests, self.octets = fault, way, requests, octets
        self.reached = threading.Event()

    def admit(self, way: Way, frame: bytes, is_end: bool) -> bytes | None:
        """What of a frame still passes; None when all of it does."""
        if self.reached.is_set() or way is not self.way:
            return None
        if self.octets is not None:
            self.octets -= len(frame)
            if self.octets > 0:
                return None
            self.reached.set()
            return frame[: len(frame) + self.octets]
        assert self.requests is not None
        self.requests -= is_end
        if self.requests > 0:
            return None
        self.reached.set()
        return b""


class _Frames:
    """Cuts a stream into messages: a letter, four bytes of length, the rest. A client's first has no letter."""

    def __init__(self, has_greeting: bool) -> None:
        self._bytes = bytearray()
        self._has_greeting = has_greeting

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages that are now whole, each with its letter."""
        self._bytes += chunk
        while len(self._bytes) >= (start := 0 if self._has_greeting else 1) + 4:
            size = start + int.from_bytes(self._bytes[start : start + 4], "big")
            if len(self._bytes) < size:
                return
            frame = bytes(self._bytes[:size])
            del self._bytes[:size]
            self._has_greeting = False
            yield frame[:start], frame


class _Link:
    """One client's connection and the one to the server behind it."""

    def __init__(self, proxy: TcpProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.is_held = proxy.is_holding

    async def run(self) -> None:
        """Pass on what comes until one side ends."""
        reader, writer = await asyncio.open_unix_connection(str(self._proxy.upstream))
        self._server = (reader, writer)
        ways = [
            asyncio.ensure_future(self._pass_on(Way.TO_SERVER, self._client[0], writer)),
            asyncio.ensure_future(self._pass_on(Way.TO_CLIENT, reader, self._client[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = _Frames(has_greeting=way is Way.TO_SERVER)
        ends = _REQUEST_ENDS if way is Way.TO_SERVER else _READY
        while chunk := await reader.read(_CHUNK):
            if self._proxy.delay_seconds:
                await asyncio.sleep(self._proxy.delay_seconds)
            for letter, frame in frames.feed(chunk):
                if self.is_held:
                    continue
                is_end = letter != b"" and letter in ends
                self._proxy.requests += is_end and way is Way.TO_SERVER
                if (left := self._proxy.admit(way, frame, is_end)) is not None:
                    writer.write(left)
                    self.suffer(self._proxy.fault)
                    continue
                writer.write(frame)
            await writer.drain()

    def suffer(self, fault: Fault) -> None:
        """Do that to this connection now."""
        if fault is Fault.HOLD:
            self.is_held = True
        else:
            self.end(fault)

    def end(self, fault: Fault) -> None:
        """Close both sides."""
        self.is_held = True
        client = self._client[1]
        with contextlib.suppress(OSError):
            if fault is Fault.RST and (raw := client.get_extra_info("socket")) is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.transport.abort()
        client.close()
        if self._server is not None:
            self._server[1].close()


class TcpProxy:
    """The proxy to a PostgreSQL server. `requests` counts what clients have asked, over all connections."""

    def __init__(self, server: PostgresServer) -> None:
        self.upstream: Path = server.directory / ".s.PGSQL.5432"
        self.port = 0
        self.requests = 0
        self.delay_seconds = 0.0
        self.is_holding = False
        self.fault = Fault.RST
        self._break: _Break | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")
        self._listener: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, database: str) -> str:
        """The URL of a database behind the proxy."""
        return f"postgresql://{USER}@{_HOST}:{self.port}/{database}?sslmode=disable"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    def cut(self, fault: Fault = Fault.RST) -> None:
        """Do that to all connections that there are; new ones work."""

        async def work() -> None:
            for link in list(self._links.values()):
                link.suffer(fault)

        self._do(work)

    def blackhole(self) -> None:
        """From now on everything is taken and nothing arrives, on old connections and new ones, until `restore`."""
        self.is_holding = True
        self.cut(Fault.HOLD)

    def refuse(self) -> None:
        """Cut all connections, and let nobody connect until `restore`."""

        async def work() -> None:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

        self._do(work)
        self.cut()

    def restore(self) -> None:
        """New connections work again. Those that were held stay dead: their ends must find out."""
        self.is_holding, self._break, self.delay_seconds = False, None, 0.0
        self._do(self._listen)

    def break_at(self, request: int, fault: Fault = Fault.RST, *, is_answered: bool = False) -> threading.Event:
        """Once: before the server gets that request, counted from now, or when it has answered and nobody knows.

        What is given back is set when it has happened.
        """
        way = Way.TO_CLIENT if is_answered else Way.TO_SERVER
        return self._arm(_Break(fault, way, requests=request))

    def break_after(self, octets: int, way: Way, fault: Fault = Fault.RST) -> threading.Event:
        """Once: when so many bytes have gone that way, counted from now; the last of them do arrive."""
        return self._arm(_Break(fault, way, octets=octets))

    def _arm(self, fault: _Break) -> threading.Event:
        self._break = fault
        return fault.reached

    def admit(self, way: Way, frame: bytes, is_end: bool) -> bytes | None:
        """What of a frame passes before the fault that waits; None when all of it does."""
        waiting = self._break
        if waiting is None or (left := waiting.admit(way, frame, is_end)) is None:
            return None
        self._break, self.fault = None, waiting.fault
        return left

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._take, _HOST, self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        link = self._links[task] = _Link(self, reader, writer)
        try:
            await link.run()
        except OSError:
            pass  # the server behind is not there, or one of the two was reset
        finally:
            link.end(Fault.FIN)
            del self._links[task]

    async def _end(self) -> None:
        if self._listener is not None:
            self._listener.close()
        await asyncio.sleep(0)  # who was accepted just now is in the list
        tasks = list(self._links)
        for task in tasks:
            self._links[task].end(Fault.RST)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports let go of their sockets

    def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await work()

        done: Any = asyncio.run_coroutine_threadsafe(whole(), self._loop)
        result: T = done.result(_ANSWER_SECONDS)
        return result


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[TcpProxy]:
    """A proxy to the server of this run."""
    with TcpProxy(postgres_server) as running:
        yield running


@pytest.fixture
def proxied_url(proxy: TcpProxy, postgres_url: str) -> str:
    """The URL of a fresh, migrated database behind the proxy."""
    return proxy.url(urlsplit(postgres_url).path[1:])
