"""What is in the files: nothing of what was deleted, a log that stays short; and which thread reads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.deletions import Order
from antiphon.domain.errors import ChatNotFound, StoreUnavailable
from antiphon.stores.contract.worlds import (
    detach,
    draft,
    new_chats,
    new_multi,
    new_tenant,
    purge,
    race,
    say,
)
from antiphon.stores.sqlite.database import FILE_NAME, Cursor
from antiphon.stores.sqlite.store import SqliteStore

T = TypeVar("T")


def bytes_in(folder: Path) -> bytes:
    """All that is in the files of a folder."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_the_bytes_of_what_was_deleted_are_gone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    tenant = await new_tenant(store)
    _, (_, gone, kept) = await new_chats(store, tenant, 3)
    for start in range(0, 1_500, 50):
        for name, chat in (("gone", gone), ("kept", kept)):
            drafts = [
                draft(f"text-{name}-{i:04}-" + "t" * (i % 700), client_id=f"id-{name}-{i:04}", metadata=_meta(name, i))
                for i in range(start, start + 50)
            ]
            await store.messages.append(tenant, chat.key, drafts)
    await detach(store, tenant, gone)
    await purge(store, tenant, rows_max=limits.PURGE_ROWS)
    await store.close()
    stored = bytes_in(tmp_path)
    assert [stored.count(f"{mark}-gone-".encode()) for mark in ("text", "id", "meta")] == [0, 0, 0]
    for mark in ("text", "id", "meta"):
        kept_marks = set(re.findall(rf"{mark}-kept-\d{{4}}".encode(), stored))
        assert kept_marks == {f"{mark}-kept-{i:04}".encode() for i in range(1_500)}


def _meta(name: str, i: int) -> str:
    return f'{{"m":"meta-{name}-{i:04}"}}'


async def test_the_bytes_of_a_deleted_tenant_are_gone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    for name in ("gone", "kept"):
        tenant = await store.tenants.create(f"tenant-{name}", f"agent-{name}", _meta(name, 1), _meta(name, 2))
        for i in range(200):
            await store.participants.put(tenant.id, f"peer-{name}-{i}", _meta(name, i), _meta(name, i))
        session, _ = await store.sessions.put_single(tenant.id, f"id-{name}", f"owner-{name}", _meta(name, 3), None, [])
        if name == "gone":
            await store.deletions.detach_session(tenant.id, session.key, Order("cancel"))
            await store.deletions.detach_tenant(tenant.id)
            await purge(store, tenant.id)
    await store.close()
    stored = bytes_in(tmp_path)
    marks = [b"tenant-", b"agent-", b"peer-", b"id-", b"owner-", b"meta-"]
    assert [stored.count(mark + b"gone") for mark in marks] == [0] * len(marks)
    assert all(mark + b"kept" in stored for mark in marks)


async def test_the_log_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAL_BYTES", 300_000)
    store = await SqliteStore.open(tmp_path)
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    log = tmp_path / f"{FILE_NAME}-wal"
    longest = 0
    for _ in range(60):
        await say(store, tenant, chat, "x" * 100_000)
        longest = max(longest, log.stat().st_size)
    assert longest > 100_000, "the log is not where it was looked for"
    assert longest < 300_000 + 4 * 100_000
    assert (tmp_path / FILE_NAME).stat().st_size > 4_000_000
    await store.close()
    assert not log.exists() or log.stat().st_size == 0


async def test_the_log_is_brought_in_while_nobody_writes(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    await say(store, tenant, chat, "unmistakable" * 10)
    for _ in range(1_000):
        if b"unmistakable" in (tmp_path / FILE_NAME).read_bytes():
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("ten seconds later it is in the log only")
    await store.close()


async def test_a_long_page_is_read_apart_and_a_short_one_is_not(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    stored = []
    for i in range(20):
        stored += await say(store, tenant, chat, f"{i}" * 20_000)
    read_apart, apart = store._file.read_apart, 0

    async def counted(work: Callable[[Cursor], T]) -> T:
        nonlocal apart
        apart += 1
        return await read_apart(work)

    monkeypatch.setattr(store._file, "read_apart", counted)
    monkeypatch.setattr(limits, "LOOP_READ_BYTES", 200_000)
    assert (await store.messages.page(tenant, chat.key, Slice(2, 3))).items == stored[2:5]
    assert apart == 0
    pages = await race(*(store.messages.page(tenant, chat.key, Slice(i, 100)) for i in range(8)))
    assert apart == 8
    assert [page.items for page in pages if not isinstance(page, BaseException)] == [stored[i:] for i in range(8)]
    assert await store.messages.latest(tenant, chat.key, 100) == stored


async def test_a_chat_that_goes_while_its_long_page_is_read_is_whole_or_not_found(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOP_READ_BYTES", 100)
    tenant = await new_tenant(store)
    _, chats = await new_chats(store, tenant, 2)
    stored = await say(store, tenant, chats[0], *(f"m{i}" * 50 for i in range(50)))
    pages: list[Any] = [store.messages.page(tenant, chats[0].key, Slice(0, 100)) for _ in range(20)]
    gone = store.deletions.detach_chat(tenant, chats[0].key, Order("refuse", inline_messages=100))
    for outcome in await race(gone, *pages):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, ChatNotFound)
        elif hasattr(outcome, "items"):
            assert (outcome.items, outcome.total) == (stored, 50)


async def test_the_files_are_for_their_owner_alone_in_any_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # noqa: ASYNC240  a test
    store = await SqliteStore.open(tmp_path)
    await store.tenants.create("acme", "assistant")
    modes = {file.name: file.stat().st_mode & 0o777 for file in list(tmp_path.iterdir())}  # noqa: ASYNC240  a test
    await store.close()
    assert FILE_NAME in modes
    assert set(modes.values()) == {0o600}


async def test_a_store_that_cannot_be_written_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORE_BUSY_SECONDS", 0)
    store = await SqliteStore.open(tmp_path)
    await store.check()
    blocker = apsw.Connection(str(tmp_path / FILE_NAME))  # another process
    blocker.execute("BEGIN IMMEDIATE")
    await store.check()  # remembered for a second
    store._checked_until = 0.0
    with pytest.raises(StoreUnavailable):
        await store.check()
    blocker.execute("ROLLBACK")
    blocker.close()
    await store.check()
    await store.close()
