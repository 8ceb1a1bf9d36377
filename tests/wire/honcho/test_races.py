"""Many at once: one creation wins, one deletion wins, and a batch is stored whole or refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain.errors import TenantNotFound
from antiphon.stores.sqlite.store import SqliteStore
from tests.wire.honcho.caller import Caller, text_of
from tests.wire.honcho.conftest import MakeCaller


def statuses(answers: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(answer.status_code for answer in answers))


@pytest.mark.parametrize("path", ["/workspaces", "/workspaces/brand-new/peers", "/workspaces/brand-new/sessions"])
async def test_of_sixteen_parallel_creations_one_is_201(admin: Caller, path: str) -> None:
    answers = await asyncio.gather(*(admin.top("POST", path, {"id": "x", "metadata": {"n": n}}) for n in range(16)))
    assert statuses(answers) == {201: 1, 200: 15}
    assert len({answer.json()["created_at"] for answer in answers}) == 1


async def test_of_sixteen_parallel_sessions_of_a_peer_one_is_201(caller: MakeCaller) -> None:
    ann = await caller("w1", "ann")
    answers = await asyncio.gather(*(ann.post("/sessions", {"id": "s", "peers": {"ann": {}}}) for _ in range(16)))
    assert statuses(answers) == {201: 1, 200: 15}


async def test_of_sixteen_parallel_first_batches_all_are_stored_in_one_session(w: Caller) -> None:
    await asyncio.gather(*(w.say("s", f"{n}-0", f"{n}-1") for n in range(16)))
    said = await w.texts("s", size=100)
    assert sorted(said) == sorted(f"{n}-{i}" for n in range(16) for i in range(2))
    assert all(first.split("-")[0] == second.split("-")[0] for first, second in zip(said[::2], said[1::2], strict=True))


async def test_of_sixteen_parallel_deletions_one_is_202(w: Caller) -> None:
    await w.say("s", *(f"m{i}" for i in range(100)))
    assert statuses(await asyncio.gather(*(w.delete("/sessions/s") for _ in range(16)))) == {202: 1, 404: 15}


class Race:
    """Writers of batches of ten across one deletion: what was stored before it was asked for, and what was refused."""

    def __init__(self, w: Caller, turn: int) -> None:
        self.w, self.turn = w, turn
        self.stored: set[str] = set()
        self.early: set[str] = set()
        self.refused: set[str] = set()
        self.has_begun = asyncio.Event()

    async def write(self, tag: str) -> None:
        for n in range(30):
            name = f"{self.turn}.{tag}.{n}"
            batch = [{"content": f"{name} {i}", "peer_id": "ann"} for i in range(10)]
            answer = await self.w.post("/sessions/s/messages", {"messages": batch})
            assert answer.status_code in {201, 404}, answer.text
            (self.stored if answer.status_code == 201 else self.refused).add(name)
            if len(self.stored) == 10:
                self.has_begun.set()

    async def delete(self) -> None:
        await self.has_begun.wait()
        self.early = set(self.stored)
        assert (await self.w.delete("/sessions/s")).status_code == 202

    async def run(self) -> None:
        await asyncio.gather(self.delete(), *(self.write(tag) for tag in "abcd"))


@pytest.mark.parametrize("turn", range(5))
async def test_batches_across_a_deletion_are_whole_or_refused_and_none_comes_back(w: Caller, turn: int) -> None:
    await w.say("s", "first")
    race = Race(w, turn)
    await race.run()
    counts = Counter(text.split(" ")[0] for text in await all_texts(w, "s"))
    assert set(counts.values()) <= {10}, "a batch is torn"
    assert race.early
    assert not race.early & set(counts)
    assert not race.refused & set(counts)
    assert set(counts) <= race.stored


async def all_texts(w: Caller, session_id: str) -> list[str]:
    found: list[str] = []
    while len(page := await w.texts(session_id, size=100, page=len(found) // 100 + 1)) == 100:
        found += page
    return found + page


async def test_a_batch_that_meets_a_deletion_is_refused(
    w: Caller, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is deleted after the batch has found it and before the batch is stored."""
    await w.say("s", "first")
    append, has_deleted = store.messages.append, False

    async def append_late(*args: Any) -> Any:
        nonlocal has_deleted
        if not has_deleted:
            has_deleted = True
            assert (await w.delete("/sessions/s")).status_code == 202
        return await append(*args)

    monkeypatch.setattr(store.messages, "append", append_late)
    text_of(await w.post("/sessions/s/messages", {"messages": [{"content": "late", "peer_id": "ann"}]}), 404)
    assert await w.listed("/sessions/list") == []
    assert await w.texts("s") == []


async def test_a_page_that_meets_a_deletion_is_empty(
    w: Caller, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is deleted after the request has been let in and before the page is read."""
    await w.say("s", "first")
    page = store.messages.page_of_single

    async def page_late(*args: Any) -> Any:
        assert (await w.delete("/sessions/s")).status_code == 202
        return await page(*args)

    monkeypatch.setattr(store.messages, "page_of_single", page_late)
    assert await w.texts("s") == []


@pytest.mark.parametrize(("deletions", "status"), [(1, 201), (2, 404)])
async def test_a_batch_makes_its_session_again_once(
    w: Caller, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, deletions: int, status: int
) -> None:
    """The session that the batch itself has made is deleted before the batch is stored."""
    append, left = store.messages.append, deletions

    async def append_late(*args: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            assert (await w.delete("/sessions/s")).status_code == 202
        return await append(*args)

    monkeypatch.setattr(store.messages, "append", append_late)
    answer = await w.post("/sessions/s/messages", {"messages": [{"content": "a", "peer_id": "ann"}]})
    assert answer.status_code == status
    monkeypatch.undo()
    assert await w.texts("s") == (["a"] if status == 201 else [])


async def test_a_workspace_deleted_in_between_is_made_again(
    admin: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have deleted a workspace whose name is still remembered here."""
    assert (await admin.post("/peers", {"id": "ann"})).status_code == 201
    put, has_failed = instance.participants.put, False

    async def put_late(*args: Any) -> Any:
        nonlocal has_failed
        if not has_failed:
            has_failed = True
            remembered = await instance.tenants.find_by_name("w1")
            assert remembered is not None
            await instance.deletions.delete_tenant(remembered.id)
            raise TenantNotFound
        return await put(*args)

    monkeypatch.setattr(instance.participants, "put", put_late)
    assert (await admin.post("/peers", {"id": "bob"})).status_code == 201
    assert "ann" not in {peer["id"] for peer in await admin.listed("/peers/list")}
