"""What the rings share: a store, an instance over it, and the whole server behind an in-process client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.api.honcho.routes import DOCUMENT_PATH, Honcho
from antiphon.api.lexicon.routes import Lexicon
from antiphon.api.lexicon.socket import ChatSocket
from antiphon.api.metrics import Metrics
from antiphon.api.native.routes import SOCKET_PATH, Native
from antiphon.api.recoup.routes import Recoup
from antiphon.api.server import Server
from antiphon.api.system.routes import System
from antiphon.core.instance import Instance
from antiphon.core.ports.embeddings import Embedder
from antiphon.domain.errors import TenantNameTaken
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.log_watch import no_secrets_in_the_log, planting
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent

__all__ = ["no_secrets_in_the_log", "planting"]

MakeKey = Callable[..., Awaitable[str]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A fresh SQLite store."""
    opened = await SqliteStore.open(tmp_path / "data")
    yield opened
    await opened.close()


@pytest.fixture
def agent() -> ScriptedAgent:
    """An agent that answers what the last message tells it to."""
    return ScriptedAgent()


@pytest.fixture
def embedder() -> Embedder | None:
    """Nobody makes vectors, but where a test says who does."""
    return None


@pytest.fixture
async def instance(
    store: SqliteStore, agent: ScriptedAgent, embedder: Embedder | None, tmp_path: Path
) -> AsyncIterator[Instance]:
    """An instance at work; a token is a word."""
    made = Instance(
        store,
        agent,
        lambda text: len(text.split()),
        default_model="scripted",
        streams=LiveStreams(store),
        receipts=receipts_of(store, tmp_path),
        embedder=embedder,
    )
    async with made.running():
        yield made


@pytest.fixture
def server(instance: Instance) -> Server:
    """The whole server, without a rate limit."""
    return build_server(instance, requests_per_minute=0)


def build_server(instance: Instance, requests_per_minute: int) -> Server:
    """The server as `app` composes it."""
    metrics = Metrics()
    lexicon, native = Lexicon(instance, requests_per_minute), Native(instance, requests_per_minute)
    honcho = Honcho(instance)
    dialects = {
        "/antiphon/v1": native,
        "/api": Recoup(instance),
        "/api/v1": lexicon,
        "/ws": lexicon,
        "/v3": honcho,
        DOCUMENT_PATH: honcho,
        "": System(instance, metrics),
    }
    return Server(dialects, {"/ws/chat": ChatSocket(instance), SOCKET_PATH: native.sockets}, metrics)


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server, in process."""
    transport = httpx.ASGITransport(app=server)
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test") as client:
        yield client


@pytest.fixture
def make_key(instance: Instance) -> MakeKey:
    """Makes a key of a tenant, and the tenant when it is missing; gives the key's text."""

    async def make(tenant: str = "t1", participant: str | None = None, scope: str | None = None, **more: Any) -> str:
        try:
            tenant_id = (await instance.tenants.create(tenant)).id
        except TenantNameTaken:
            tenant_id = (await instance.tenants.get(tenant)).id
        _, text = await instance.keys.create(tenant_id, participant, scope, **more)
        return text

    return make
