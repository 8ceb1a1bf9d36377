"""A client whose every answer is held against the served document, and workspaces seen by tokens of every scope.

Whatever asks for a server runs twice: over SQLite, and over PostgreSQL, whose answers are the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.api.server import Server
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sqlite.store import SqliteStore
from tests.postgres_server import PostgresServer, postgres_server
from tests.wire.honcho.caller import Caller, Document

__all__ = ["postgres_server"]

MakeCaller = Callable[..., Awaitable[Caller]]

_databases: dict[Path, str] = {}
"""The database of this process on each server, emptied for each test; it goes with the server."""


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteStore | PostgresStore]:
    """A fresh store of either kind."""
    if request.param == "sqlite":
        opened = await SqliteStore.open(tmp_path / "data")
        yield opened
        await opened.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    if server.directory not in _databases:
        _databases[server.directory] = await server.create_database()
    name = _databases[server.directory]
    await server.empty_database(name)
    other = await PostgresStore.open(server.url(name))
    yield other
    await other.close()


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
