"""The PostgreSQL store and its floor in one process: the same loop over the same chats, with and without the store.

`python -m bench.postgres_store DATASET` reads jobs from standard input like the load. The floor is the driver alone:
a connection for each caller, the statements of `floor.sql` prepared beforehand, the driver's own types, nothing made
of what comes back. It works in a database of its own, a copy of the store's.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import uvloop

from antiphon.core.ports import Slice
from antiphon.domain.ids import Uid
from antiphon.domain.messages import USER, Draft
from antiphon.stores.postgres.database import number_parameters
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sql import load_statements
from bench import data
from bench.load import Figures, figures_of
from bench.requests import PAGE
from bench.store_floor import Job

CALLERS_MAX = 32
_TOKENS = 60
_TITLE = "A chat of the bench"

Operation = Callable[[int], Awaitable[object]]
"""An operation, by the number of the caller and of his turn."""

FLOOR = load_statements(Path(__file__).parent)


class Store:
    """What is measured: the operations of the store, as the verbs call them."""

    def __init__(self, store: PostgresStore, dataset: data.Dataset, texts: list[str]) -> None:
        self._store = store
        self._tenant_id = UUID(dataset.tenant_id).bytes
        self._keys = [UUID(key).bytes for key in dataset.chat_keys]
        self._chats = dataset.chats
        self._texts = texts

    async def append(self, turn: int) -> object:
        """One message."""
        draft = Draft(data.PEER, USER, self._texts[turn % len(self._texts)], token_count=_TOKENS)
        return await self._store.messages.append(self._tenant_id, self._key(turn), [draft])

    async def chat(self, turn: int) -> object:
        """A chat by its id."""
        return await self._store.chats.find(self._tenant_id, self._chats[turn % len(self._chats)])

    async def page(self, turn: int) -> object:
        """The first messages of a chat, and how many there are."""
        return await self._store.messages.page(self._tenant_id, self._key(turn), Slice(0, PAGE))

    async def create(self, _: int) -> object:
        """A chat with a session of its own."""
        return await self._store.chats.create_single(self._tenant_id, data.PEER, _TITLE, "{}")

    def _key(self, turn: int) -> Uid:
        return self._keys[turn % len(self._keys)]


class Floor:
    """One caller of the floor, with a connection that is only his."""

    def __init__(self, dataset: data.Dataset, author_id: UUID, texts: list[str]) -> None:
        self._tenant_id = UUID(dataset.tenant_id)
        self._keys = [UUID(key) for key in dataset.chat_keys]
        self._chats = dataset.chats
        self._author_id = author_id
        self._texts = texts
        self._prepared: dict[str, Any] = {}

    async def connect(self, url: str) -> None:
        """Connect, and prepare everything."""
        self._connection = await asyncpg.connect(url, server_settings={"jit": "off"})
        for name, text in FLOOR.items():
            statement = number_parameters(text)
            assert statement.names == _ORDER[name], statement.names
            self._prepared[name] = (await self._connection.prepare(statement.text)).fetch

    async def append(self, turn: int) -> object:
        """See `floor.sql`, as all that follow."""
        text = self._texts[turn % len(self._texts)]
        return await self._prepared["append"](
            self._tenant_id, self._key(turn), self._author_id, _TOKENS, USER, data.PEER, text, "{}"
        )

    async def chat(self, turn: int) -> object:
        """One row."""
        return await self._prepared["chat"](self._tenant_id, self._chats[turn % len(self._chats)])

    async def page(self, turn: int) -> object:
        """Fifty rows."""
        return await self._prepared["page"](self._tenant_id, self._key(turn), PAGE)

    async def create(self, _: int) -> object:
        """Two rows."""
        return await self._prepared["create"](self._tenant_id, str(uuid4()), self._author_id, _TITLE)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    def _key(self, turn: int) -> UUID:
        return self._keys[turn % len(self._keys)]


_ORDER = {
    "append": ("tenant_id", "key", "author_id", "token_count", "role", "author", "text", "metadata"),
    "chat": ("tenant_id", "id"),
    "page": ("tenant_id", "key", "limit"),
    "create": ("tenant_id", "id", "author_id", "title"),
}


async def author_of(connection: Any) -> UUID:
    """The id of the one who says everything."""
    found: UUID = await connection.fetchval("SELECT id FROM participants WHERE name = $1", data.PEER)
    return found


async def _measure(job: Job, operations: list[Operation]) -> Figures:
    """Each operation is that of one caller; they take the chats in turns."""
    latencies: list[float] = []
    turns = count()
    cpu, began = time.process_time(), time.perf_counter()
    ends = began + job.seconds

    async def call(operation: Operation) -> None:
        now = time.perf_counter()
        while now < ends and len(latencies) < job.operations_max:
            await operation(next(turns))
            then, now = now, time.perf_counter()
            latencies.append(now - then)

    await asyncio.gather(*(call(operation) for operation in operations))
    return figures_of(latencies, time.perf_counter() - began, time.process_time() - cpu, 0.0)


async def _serve(dataset: data.Dataset, floor_url: str) -> None:
    """Do the jobs of standard input."""
    texts = [data.sample_text(seed) for seed in range(data.CHATS)]
    opened = await PostgresStore.open(dataset.url)
    store = Store(opened, dataset, texts)
    connection = await asyncpg.connect(floor_url)
    floors = [Floor(dataset, await author_of(connection), texts) for _ in range(CALLERS_MAX)]
    await connection.close()
    await asyncio.gather(*(floor.connect(floor_url) for floor in floors))
    # Nobody but this loop has anything to do while it waits for a line.
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        callers = floors[: job.callers] if job.is_floor else [store] * job.callers
        figures = await _measure(job, [getattr(caller, job.operation) for caller in callers])
        sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
        sys.stdout.buffer.flush()
    await asyncio.gather(*(floor.close() for floor in floors))
    await opened.close()


if __name__ == "__main__":
    uvloop.run(_serve(msgspec.json.decode(sys.argv[1], type=data.Dataset), sys.argv[2]))
