"""Keys of every scope in two tenants, chats, and a real server for sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from antiphon.api.server import Server
from antiphon.cli.protocol import SocketProtocol, StrictProtocol
from antiphon.core.instance import Instance
from antiphon.domain import limits
from tests.conftest import MakeKey
from tests.wire.native.caller import Caller, Document, good

MakeCaller = Callable[..., Awaitable[Caller]]
MakeChat = Callable[..., Awaitable[str]]
Pages = Callable[[Caller, str], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
async def document(server: Server) -> Document:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as client:
        return Document((await client.get("/antiphon/v1/openapi.json")).json())


@pytest.fixture
async def http(server: Server, document: Document) -> AsyncIterator[httpx.AsyncClient]:
    hooks = {"response": [document.check]}
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test", event_hooks=hooks) as client:
        yield client


@pytest.fixture
def caller(http: httpx.AsyncClient, make_key: MakeKey) -> MakeCaller:
    """caller(tenant, participant, scope, session_id=…): a client with a new key of that kind."""

    async def make(tenant: str = "t1", participant: str | None = None, scope: str | None = None, **more: str) -> Caller:
        return Caller(http, await make_key(tenant, participant, scope, **more))

    return make


@pytest.fixture
async def ours(caller: MakeCaller) -> Caller:
    """The whole tenant `t1`."""
    return await caller("t1")


@pytest.fixture
def make_chat(instance: Instance, make_key: MakeKey) -> MakeChat:
    """make_chat(owner, tenant): the id of a new chat that somebody owns."""

    async def make(owner: str = "ann", tenant: str = "t1") -> str:
        await make_key(tenant)
        found = await instance.tenants.get(tenant)
        chat, _ = await instance.chats.create_single(found.id, owner, None, "{}")
        return chat.id

    return make


@pytest.fixture
def pages() -> Pages:
    """pages(key, path): all items of a list, read page by page; no page is empty but an only one."""

    async def read(key: Caller, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = good(await key.ask("GET", path))
        while page["next"] is not None:
            assert page["items"]
            found += page["items"]
            page = good(await key.ask("GET", f"{path}&cursor={page['next']}"))
            assert page["items"]
        return found + page["items"]

    return read


@pytest.fixture
async def chat(make_chat: MakeChat) -> str:
    """A chat of ann's."""
    return await make_chat()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def address(server: Server) -> AsyncIterator[str]:
    """The host and port of the server, which listens."""
    config = uvicorn.Config(
        server,
        http=StrictProtocol,
        ws=SocketProtocol,
        ws_per_message_deflate=False,
        ws_max_size=limits.FRAME_BYTES,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        served = _Uvicorn(config)
        serving = asyncio.create_task(served.serve(sockets=[listener]))
        try:
            yield f"{host}:{port}"  # connections wait in the backlog until the server takes them
        finally:
            served.should_exit = True
            await serving
