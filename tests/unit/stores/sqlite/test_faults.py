"""Faults of the disk: what was acknowledged stays, what was refused left no trace, and it goes on when the fault ends.

A disk is full in two ways here: SQLite's own limit on the number of pages, and a file layer that refuses every write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from antiphon.domain.errors import StoreFailed, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    detach,
    new_chats,
    new_multi,
    new_tenant,
    say,
    take_lease,
    texts_of,
)
from antiphon.stores.sqlite.database import FILE_NAME, open_writer
from antiphon.stores.sqlite.store import SqliteStore

BIG = "x" * 100_000
_REAL = "unix"  # the file layer beneath; named, since the default one will be ours


class Disk(apsw.VFS):
    """The file layer beneath SQLite, whose writes can be refused."""

    def __init__(self) -> None:
        self.fault: type[apsw.Error] | None = None
        self.writes_left = 0
        super().__init__("faulty-disk", _REAL, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  the driver's name
        return _File(self, name, flags)

    def spend(self) -> None:
        """One write; raises the fault once no more are left."""
        if self.fault is None:
            return
        if self.writes_left <= 0:
            raise self.fault("refused")
        self.writes_left -= 1


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__(_REAL, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  the driver's name
        self._disk.spend()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  the driver's name
        self._disk.spend()
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.unregister()


@pytest.fixture
async def on_disk(disk: Disk, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store whose files are on that disk."""
    opened = await SqliteStore.open(tmp_path / "on_disk")
    yield opened
    disk.fault = None
    await opened.close()


async def outcomes_of(store: SqliteStore, tenant_id: Uid, chat: Any, texts: list[str]) -> tuple[list[str], list[Any]]:
    """Append each text by itself, all at once: those that were acknowledged, and the errors of the others."""
    found = await asyncio.gather(*(say(store, tenant_id, chat, text) for text in texts), return_exceptions=True)
    acknowledged = [text for text, outcome in zip(texts, found, strict=True) if isinstance(outcome, list)]
    return acknowledged, [type(outcome) for outcome in found if isinstance(outcome, BaseException)]


async def test_a_database_that_may_not_grow(store: SqliteStore) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    kept = ["before"]
    await say(store, tenant, chat, *kept)
    writer = store._file._writer._connection
    free = writer.pragma("max_page_count")
    writer.pragma("max_page_count", writer.pragma("page_count") + 10)
    for i in range(3):
        # Small ones stand before and behind the one that finds no room: with it SQLite may drop them all.
        texts = [f"{i} small {j}" for j in range(10)] + [f"{i} {BIG}"] + [f"{i} late {j}" for j in range(10)]
        acknowledged, errors = await outcomes_of(store, tenant, chat, texts)
        kept += acknowledged
        assert f"{i} {BIG}" not in acknowledged
        assert set(errors) == {StoreUnavailable}
        assert await texts_of(store, tenant, chat.key) == kept
    writer.pragma("max_page_count", free)
    assert (await outcomes_of(store, tenant, chat, [BIG, "after"])) == ([BIG, "after"], [])
    assert await texts_of(store, tenant, chat.key) == [*kept, BIG, "after"]


@pytest.mark.parametrize("fault", [apsw.FullError, apsw.IOError])
async def test_a_disk_that_takes_nothing(on_disk: SqliteStore, disk: Disk, fault: type[apsw.Error]) -> None:
    store = on_disk
    tenant = await new_tenant(store)
    _, chats = await new_chats(store, tenant, 2)
    await say(store, tenant, chats[0], "before")
    disk.fault = fault
    for _ in range(3):
        acknowledged, errors = await outcomes_of(store, tenant, chats[0], ["a", BIG, "b"])
        assert (acknowledged, errors) == ([], [StoreUnavailable] * 3)
        with pytest.raises(StoreUnavailable):
            await detach(store, tenant, chats[0])
        assert await texts_of(store, tenant, chats[0].key) == ["before"], "reads go on"
    disk.fault = None
    await say(store, tenant, chats[0], "after")
    assert await texts_of(store, tenant, chats[0].key) == ["before", "after"]
    await store.check()


@pytest.mark.parametrize("writes_left", range(0, 40, 3))
async def test_a_disk_that_fills_up_in_the_middle(on_disk: SqliteStore, disk: Disk, writes_left: int) -> None:
    store = on_disk
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    await say(store, tenant, chat, "before")
    disk.writes_left, disk.fault = writes_left, apsw.FullError
    acknowledged, errors = await outcomes_of(store, tenant, chat, ["a", BIG, "b", *(f"m{i}" for i in range(20))])
    assert set(errors) <= {StoreUnavailable}
    disk.fault = None
    assert await texts_of(store, tenant, chat.key) == ["before", *acknowledged]
    await say(store, tenant, chat, "after")
    assert await texts_of(store, tenant, chat.key) == ["before", *acknowledged, "after"]
    assert store._file.rows("count_tenants") == [(1,)]


async def test_what_was_acknowledged_on_a_failing_disk_is_found_by_the_next_process(disk: Disk, tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    kept = ["before"]
    await say(store, tenant, chat, *kept)
    for writes_left in (4, 9, 0):
        disk.writes_left, disk.fault = writes_left, apsw.FullError
        kept += (await outcomes_of(store, tenant, chat, [f"{writes_left} {i}" for i in range(10)]))[0]
    disk.fault = None
    await store.close()
    again = await SqliteStore.open(tmp_path)
    assert await texts_of(again, tenant, chat.key) == kept
    await again.close()


async def test_a_purge_waits_for_room(on_disk: SqliteStore, disk: Disk) -> None:
    store = on_disk
    tenant = await new_tenant(store)
    _, chats = await new_chats(store, tenant, 2)
    await say(store, tenant, chats[0], *(f"m{i}" for i in range(50)))
    job = await detach(store, tenant, chats[0])
    node = new_uid7()
    lease = await take_lease(store, tenant, node)
    disk.fault = apsw.FullError
    with pytest.raises(StoreUnavailable):
        await store.deletions.step(lease, node, 20, LONG_LEASE_SECONDS)
    assert await store.deletions.find(tenant, job.id) == job
    disk.fault = None
    step = await store.deletions.step(lease, node, 20, LONG_LEASE_SECONDS)
    assert step.removed == {"messages": 20}


async def test_a_database_that_another_holds_is_busy(store: SqliteStore, tmp_path: Path) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    other = open_writer(tmp_path / "data" / FILE_NAME)
    store._file._writer._connection.set_busy_timeout(20)
    other.execute("BEGIN IMMEDIATE")
    acknowledged, errors = await outcomes_of(store, tenant, chat, ["a", "b"])
    assert (acknowledged, errors) == ([], [StoreUnavailable] * 2)
    with pytest.raises(StoreUnavailable):
        await store.check()
    assert await texts_of(store, tenant, chat.key) == [], "reads go on"
    other.execute("COMMIT")
    await say(store, tenant, chat, "c")
    assert await texts_of(store, tenant, chat.key) == ["c"]
    other.close()


async def test_a_short_wait_for_another_is_not_an_error(store: SqliteStore, tmp_path: Path) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    other = open_writer(tmp_path / "data" / FILE_NAME)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(say(store, tenant, chat, "a"))
    _, pending = await asyncio.wait([waiting], timeout=0.05)
    assert pending == {waiting}
    other.execute("COMMIT")
    assert [message.text for message in await waiting] == ["a"]
    other.close()


async def test_two_stores_on_one_file_see_each_other(store: SqliteStore, tmp_path: Path) -> None:
    other = await SqliteStore.open(tmp_path / "data")
    tenant = await new_tenant(store)
    _, chat = await new_multi(other, tenant)
    racers = [say((store, other)[i % 2], tenant, chat, f"m{i}") for i in range(40)]
    stored = await asyncio.gather(*racers)
    assert sorted(message.seq for batch in stored for message in batch) == list(range(1, 41))
    assert await texts_of(store, tenant, chat.key) == await texts_of(other, tenant, chat.key)
    await other.close()
    await say(store, tenant, chat, "alone")


async def test_foreign_keys_are_on(store: SqliteStore) -> None:
    writer = store._file._writer._connection
    assert writer.pragma("foreign_keys") == 1
    with pytest.raises(StoreFailed):
        await store.sessions.create_multi(await new_tenant(store), new_uid7(), "T", None, None)


def test_an_sqlite_that_keeps_no_foreign_keys_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ignore_the_switch(connection: apsw.Connection) -> None:
        connection.authorizer = lambda operation, name, value, *_: (
            apsw.SQLITE_IGNORE
            if (operation, name) == (apsw.SQLITE_PRAGMA, "foreign_keys") and value is not None
            else apsw.SQLITE_OK
        )

    monkeypatch.setattr(apsw, "connection_hooks", [ignore_the_switch])
    with pytest.raises(StoreFailed, match="foreign keys"):
        open_writer(tmp_path / FILE_NAME)


async def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        await SqliteStore.open(tmp_path / "file" / "data")


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all " * 1_000)
    with pytest.raises(StoreFailed):
        await SqliteStore.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"no database")
