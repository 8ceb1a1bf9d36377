"""Imports by themselves: from store to store, from a process that is lost to another, and what is cleared away."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.export import Exports
from antiphon.core.export_forms import JsonLines
from antiphon.core.imports import Imports
from antiphon.core.ports import Store
from antiphon.domain import limits, times
from antiphon.domain.errors import ImportNotFound, StoreUnavailable
from antiphon.domain.ids import Uid
from antiphon.domain.imports import ABANDONED, DONE, WRITING
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import Member
from antiphon.stores.sqlite.store import SqliteStore
from tests.postgres_server import postgres_server, postgres_store, postgres_url

__all__ = ["postgres_server", "postgres_store", "postgres_url"]

PAST = times.from_text("2024-03-01T10:00:00.123456Z")
PARTS = '[{"type":"text","text":"x"},{"type":"tool-y","toolCallId":"c","state":"output-error","errorText":"🌊"}]'


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of three lines."""
    monkeypatch.setattr(limits, "IMPORT_STEP_LINES", 3)


async def make(store: Store, name: str) -> Uid:
    """A new tenant."""
    return (await store.tenants.create(name, "assistant")).id


async def fill(store: Store, tenant: Uid) -> None:
    """A session `s` with members of all sorts, and eleven messages."""
    members = [Member("ann", True, False), Member("zoe"), Member("ben", None, True)]
    session, _ = await store.sessions.put_single(tenant, "s", "ann", '{"m":1}', '{"c":2}', members)
    chat = await store.chats.find_of_single(tenant, "s")
    assert chat is not None
    drafts = [Draft("ann", USER, f"word {number}", created_at=PAST + number) for number in range(8)]
    drafts += [Draft("assistant", ASSISTANT, "x", PARTS, '{"a":{}}', "c/1", PAST + 9, 4)]
    drafts += [Draft("ben", USER, "quiet", is_reasoned=False), Draft("ben", USER, "asked", is_reasoned=True)]
    await store.messages.append(tenant, chat.key, drafts)
    ann = await store.participants.find(tenant, "peer", "ann")
    assert ann is not None
    await store.chats.mark_read(tenant, chat.key, ann.id)
    assert (await store.sessions.find(tenant, "s")) is not None
    assert session.id == "s"


async def export(store: Store, tenant: Uid) -> bytes:
    """The session as a file."""
    session = await store.sessions.find(tenant, "s")
    assert session is not None
    return b"".join([piece async for piece in await Exports(store).session(tenant, session, JsonLines())])


async def pieces_of(content: bytes, size: int = 100) -> AsyncIterator[bytes]:
    """A file as it comes."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


def bare(content: bytes) -> bytes:
    """What is not ours alone."""
    return re.sub(rb'"id":"msg-[^"]*"|"sha256":"[^"]*"', b"", content)


async def finish(imports: Imports, tenant: Uid, import_id: Uid) -> Any:
    """The import at its end, this process doing the work."""
    while await imports.run_once():
        pass
    return await imports.get(tenant, import_id)


async def test_from_store_to_store_and_back(store: SqliteStore, postgres_store: Any, tmp_path: Path) -> None:
    way: list[Store] = [store, postgres_store, store, postgres_store, postgres_store, store]
    tenants = [await make(each, f"t{number}") for number, each in enumerate(way)]
    await fill(way[0], tenants[0])
    content = await export(way[0], tenants[0])
    assert content.count(b'"type":"message"') == 11
    assert [content.count(b'"reasoning":' + mark) for mark in (b"true", b"false", b"null")] == [1, 1, 9]
    for (_, one), (there, two) in pairwise(zip(way, tenants, strict=True)):
        assert one != two
        imports = Imports(there, tmp_path / "imports")
        known, is_new = await imports.receive(two, pieces_of(content))
        assert is_new
        assert (await finish(imports, two, known.id)).state == DONE
        after = await export(there, two)
        assert bare(after) == bare(content)
        content = after


async def test_another_process_takes_over_with_the_same_file(store: SqliteStore, tmp_path: Path) -> None:
    here, there = await make(store, "here"), await make(store, "there")
    await fill(store, here)
    content = await export(store, here)
    lost, other = Imports(store, tmp_path / "lost"), Imports(store, tmp_path / "other")
    known, _ = await lost.receive(there, pieces_of(content))
    assert await lost.run_once()
    begun = await lost.get(there, known.id)
    assert (begun.state, 0 < begun.cursor < len(content)) == (WRITING, True)
    assert not await other.run_once()
    again, is_new = await other.receive(there, pieces_of(content, 7))
    assert (again.id, is_new) == (known.id, False)
    assert not await other.run_once()  # the lease is the lost one's as long as it holds
    await lost.release()
    assert (await finish(other, there, known.id)).state == DONE
    assert bare(await export(store, there)) == bare(content)
    assert not await lost.run_once()
    assert [*(tmp_path / "lost").iterdir()] == [] == [*(tmp_path / "other").iterdir()]


async def test_a_store_that_is_away_for_a_while_is_waited_for(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await make(store, "here"), await make(store, "there")
    await fill(store, here)
    content = await export(store, here)
    imports = Imports(store, tmp_path / "imports")
    known, _ = await imports.receive(there, pieces_of(content))
    write, calls = store.imports.write, 0

    async def fail(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise StoreUnavailable
        return await write(*args)

    monkeypatch.setattr(store.imports, "write", fail)
    for _ in range(50):
        await imports.run_once()
    assert calls > 4
    assert (await imports.get(there, known.id)).state == DONE
    assert bare(await export(store, there)) == bare(content)


async def test_what_a_dead_process_has_left_is_cleared_away(store: SqliteStore, tmp_path: Path) -> None:
    folder = tmp_path / "imports"
    folder.mkdir()
    tenant = await make(store, "t")
    names = [f"{'0' * 32}.part", f"{tenant.hex()}-{'0' * 32}.jsonl"]
    for name in [*names, *(name.replace("0", "1", 1) for name in names[:1])]:
        (folder / name).write_bytes(b"x")
    old = time.time() - limits.IMPORT_STALE_SECONDS - 1
    for name in names:
        os.utime(folder / name, (old, old))
    assert not await Imports(store, folder).run_once()
    assert [path.name for path in folder.iterdir()] == [f"1{'0' * 31}.part"]


async def test_an_import_that_was_given_up_takes_its_file_with_it(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await make(store, "here"), await make(store, "there")
    await fill(store, here)
    imports = Imports(store, tmp_path / "imports")
    known, _ = await imports.receive(there, pieces_of(await export(store, here)))
    monkeypatch.setattr(limits, "IMPORT_ABANDONED_SECONDS", -1)
    await imports.run_once()
    found = await imports.get(there, known.id)
    assert (found.state, found.last_error) == ("failed", ABANDONED)
    assert [*(tmp_path / "imports").iterdir()] == []
    monkeypatch.setattr(limits, "IMPORT_KEPT_SECONDS", -1)
    await Imports(store, tmp_path / "imports").run_once()
    with pytest.raises(ImportNotFound):
        await imports.get(there, known.id)


async def test_a_folder_that_cannot_be_written(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be kept"):
        await Imports(store, tmp_path / "file" / "imports").receive(await make(store, "t"), pieces_of(b"x"))
