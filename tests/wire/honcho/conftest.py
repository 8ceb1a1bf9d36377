"""A client whose every answer is held against the served document, and workspaces seen by tokens of every scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from antiphon.api.server import Server
from tests.wire.honcho.caller import Caller, Document

MakeCaller = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def document(server: Server) -> Document:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as client:
        answer = await client.get("/v3/openapi.json")
    return Document(answer.json())


@pytest.fixture
async def http(server: Server, document: Document) -> AsyncIterator[httpx.AsyncClient]:
    hooks = {"response": [document.check]}
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test", event_hooks=hooks) as client:
        yield client


@pytest.fixture
def caller(http: httpx.AsyncClient, make_key: Callable[..., Awaitable[str]]) -> MakeCaller:
    """caller(workspace, participant, scope, session_id=…, home=…): that workspace through a new token of that kind."""

    async def make(workspace: str, *who: Any, home: str | None = None, **more: str) -> Caller:
        return Caller(http, await make_key(home or workspace, *who, **more), workspace)

    return make


@pytest.fixture
async def w(caller: MakeCaller) -> Caller:
    """The workspace `w1` through its own token."""
    return await caller("w1")


@pytest.fixture
async def admin(caller: MakeCaller) -> Caller:
    """The workspace `w1` through the token of an administrator who is at home elsewhere."""
    return await caller("w1", None, "admin", home="headquarters")
