"""Callers of two tenants, a client whose answers are held against the served document, a real server for sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from antiphon.api.lexicon.routes import Lexicon
from antiphon.api.lexicon.socket import ChatSocket, SocketLimits
from antiphon.api.metrics import Metrics
from antiphon.api.server import Server
from antiphon.api.system.routes import System
from antiphon.core.instance import Instance
from antiphon.domain import limits
from tests.wire.lexicon.caller import Caller, Document, Exchange

Serve = Callable[..., Awaitable[Exchange]]


@pytest.fixture
async def document(server: Server) -> Document:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as client:
        answer = await client.get("/api/v1/openapi.json")
    return Document(answer.json())


@pytest.fixture
async def http(server: Server, document: Document) -> AsyncIterator[httpx.AsyncClient]:
    hooks = {"response": [document.check]}
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test", event_hooks=hooks) as client:
        yield client


@pytest.fixture
def caller(http: httpx.AsyncClient, make_key: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[Caller]]:
    """caller(tenant, participant, scope, …): that tenant through a new key of that kind."""

    async def make(*who: Any, **more: str) -> Caller:
        return Caller(http, await make_key(*who, **more))

    return make


@pytest.fixture
async def ours(caller: Callable[..., Awaitable[Caller]]) -> Caller:
    """The tenant `t1` through its own key."""
    return await caller("t1")


@pytest.fixture
async def theirs(caller: Callable[..., Awaitable[Caller]]) -> Caller:
    """Another tenant."""
    return await caller("t2")


@pytest.fixture
def sockets(instance: Instance) -> ChatSocket:
    """The sockets of the server at `exchange`."""
    return ChatSocket(instance)


@pytest.fixture
async def serve(instance: Instance) -> AsyncIterator[Serve]:
    """serve(…): an address with a server of its own, whose sockets have the limits that are given."""
    async with AsyncExitStack() as stack:

        async def start(chat_socket: ChatSocket | None = None, **socket_limits: float) -> Exchange:
            made = chat_socket or ChatSocket(instance, SocketLimits(**socket_limits))  # type: ignore[arg-type]
            return Exchange(await stack.enter_async_context(_serving(instance, made)))

        yield start


@pytest.fixture
async def exchange(serve: Serve, sockets: ChatSocket) -> Exchange:
    """The address of a server as `antiphon serve` configures it."""
    return await serve(sockets)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _serving(instance: Instance, chat_socket: ChatSocket) -> AsyncIterator[str]:
    metrics, lexicon = Metrics(), Lexicon(instance, 0)
    dialects = {"/api/v1": lexicon, "/ws": lexicon, "": System(instance, metrics)}
    config = uvicorn.Config(
        Server(dialects, {"/ws/chat": chat_socket}, metrics),
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=limits.FRAME_BYTES,
        ws_ping_interval=limits.SOCKET_PING_SECONDS,
        ws_ping_timeout=limits.SOCKET_PONG_SECONDS,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"{host}:{port}"  # connections wait in the backlog until the server takes them
        finally:
            server.should_exit = True
            await serving
