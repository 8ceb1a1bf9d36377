"""The contract on a real Citus, after `antiphon db distribute`: collected where ANTIPHON_TEST_CITUS_URL is set.

It names a database on a coordinator for these tests alone, with the extension and `test` in its name: they remove every
row of it. A run of several processes must keep this file in one of them (`--dist loadfile`).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from antiphon.app import PARTS
from antiphon.cli.main import program
from antiphon.stores.postgres.distribution import own_tables
from antiphon.stores.postgres.store import PostgresStore
from tests.contract import test_postgres

URL = os.environ["ANTIPHON_TEST_CITUS_URL"]
KINDS = "SELECT table_name::text, citus_table_type, distribution_column, colocation_id FROM citus_tables"


def command(*words: str) -> Any:
    """What a command of `antiphon db` prints as JSON."""
    done = CliRunner().invoke(program, ["db", *words, "--database-url", URL, "--json"], obj=PARTS)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def ask(query: str) -> list[Any]:
    """The rows of a query."""
    connection = await asyncpg.connect(URL)
    try:
        rows: list[Any] = await connection.fetch(query)
    finally:
        await connection.close()
    return rows


@pytest.fixture(scope="module")
def distributed() -> list[dict[str, str]]:
    """What was done to make the tables and to distribute them."""
    (name,) = asyncio.run(ask("SELECT current_database()"))
    assert "test" in name[0], "the rows of this database would be removed, and its name has no `test` in it"
    command("migrate")
    items: list[dict[str, str]] = command("distribute")["items"]
    return items


@pytest.fixture
async def store(distributed: list[dict[str, str]]) -> AsyncIterator[PostgresStore]:
    """A store with nothing in it."""
    names = sorted({item["table"] for item in distributed} - {"schema_migrations"})
    await ask(f"TRUNCATE {', '.join(names)}")
    opened = await PostgresStore.open(URL)
    yield opened
    await opened.close()


def test_every_table_is_distributed_once(distributed: list[dict[str, str]]) -> None:
    assert {item["table"] for item in distributed} == own_tables()
    assert {item["state"] for item in command("distribute")["items"]} == {"already"}
    placed = {name: how for name, *how in asyncio.run(ask(KINDS)) if name in own_tables()}
    assert placed.keys() == own_tables()
    tenants = {name: tuple(how) for name, how in placed.items() if how[0] == "distributed"}
    assert set(tenants.values()) == {("distributed", "tenant_id", placed["tenants"][2])}
    assert {how[0] for name, how in placed.items() if name not in tenants} == {"reference"}
    assert placed["tenant_names"][0] == placed["schema_migrations"][0] == "reference"


# The same classes, so that none can be forgotten here.
globals().update({name: value for name, value in vars(test_postgres).items() if name.startswith("Test")})
