"""A PostgreSQL server, a database, a store, and a connection of one's own beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from antiphon.stores.postgres.database import Database, open_database
from tests.postgres_server import postgres_server, postgres_store, postgres_url

__all__ = ["aside", "database", "postgres_server", "postgres_store", "postgres_url"]


@pytest.fixture
async def aside(postgres_url: str) -> AsyncIterator[Any]:
    """A plain connection to the database, to look at it and to get in the way."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh database."""
    opened = await open_database(postgres_url)
    yield opened
    await opened.close()
