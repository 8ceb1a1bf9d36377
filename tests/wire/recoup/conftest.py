"""A client whose every answer is held against the served document, and the accounts that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.domain.ids import text_of
from tests.wire.recoup.caller import Caller, Document

MakeCaller = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def document(server: Server) -> Document:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as client:
        return Document((await client.get("/api/openapi.json")).json())


@pytest.fixture
async def http(server: Server, document: Document) -> AsyncIterator[httpx.AsyncClient]:
    hooks = {"response": [document.check]}
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test", event_hooks=hooks) as client:
        yield client


@pytest.fixture
def caller(http: httpx.AsyncClient, instance: Instance, make_key: Callable[..., Awaitable[str]]) -> MakeCaller:
    """caller(tenant, participant, scope, session_id=…): a client with a new key of that kind."""

    async def make(tenant: str, participant: str | None = None, scope: str | None = None, **more: str) -> Caller:
        key = await make_key(tenant, participant, scope, **more)
        principal = await instance.keys.authenticate(key)
        account = text_of(principal.participant_id) if principal.participant_id else ""
        return Caller(http, key, principal.tenant_id, account)

    return make


@pytest.fixture
async def ann(caller: MakeCaller) -> Caller:
    """An account of the tenant `t1`."""
    return await caller("t1", "ann")


@pytest.fixture
async def bob(caller: MakeCaller) -> Caller:
    """Another account of the tenant `t1`."""
    return await caller("t1", "bob")


@pytest.fixture
async def eve(caller: MakeCaller) -> Caller:
    """An account of another tenant."""
    return await caller("t2", "eve")


@pytest.fixture
def anybody(http: httpx.AsyncClient) -> Caller:
    """A client without a key."""
    return Caller(http, None)


@pytest.fixture
async def session(ann: Caller) -> dict[str, Any]:
    """A session of ann's, with its first chat."""
    return await ann.new_session()
