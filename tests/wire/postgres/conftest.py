"""The whole server over a PostgreSQL store behind a proxy that fails when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from antiphon.stores.postgres.store import PostgresStore
from tests.postgres_server import postgres_server, postgres_url
from tests.tcp_proxy import proxied_url, proxy

__all__ = ["aside", "postgres_server", "postgres_url", "proxied_url", "proxy", "store"]


@pytest.fixture
async def store(proxied_url: str) -> AsyncIterator[PostgresStore]:
    """A fresh store behind the proxy."""
    opened = await PostgresStore.open(proxied_url)
    yield opened
    await opened.close()


@pytest.fixture
async def aside(postgres_url: str) -> AsyncIterator[Any]:
    """A plain connection to the database, past the proxy, to look at it and to get in the way."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()
