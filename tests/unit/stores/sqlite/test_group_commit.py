"""Group commit: what waits together is committed once, and nobody hears of success before."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from antiphon.domain.errors import ChatNotFound, StoreError, StoreFailed, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.stores.contract.worlds import draft, new_multi, new_tenant, say, texts_of
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.stores.sqlite.writer import Transaction


class HeldWriter:
    """Holds the writer in an operation of its own, so that what is asked for meanwhile waits together."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._gate = threading.Event()
        self._entered = threading.Event()

    async def __aenter__(self) -> None:
        def wait(_: Transaction) -> None:
            self._entered.set()
            assert self._gate.wait(10)

        self._held = asyncio.ensure_future(self._store._file.write(wait))
        assert await asyncio.to_thread(self._entered.wait, 10)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)  # a turn of the loop, so that all that was begun inside has asked
        await asyncio.sleep(0)
        self._gate.set()
        await self._held


async def test_who_comes_while_others_are_written_joins_their_commit(store: SqliteStore) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    commits: list[list[bool]] = []
    async with HeldWriter(store):
        asked = [asyncio.ensure_future(say(store, tenant, chat, f"m{i}")) for i in range(40)]

        def note() -> bool:
            commits.append([one.done() for one in asked])
            return False

        store._file._writer._connection.set_commit_hook(note)
    await asyncio.gather(*asked)
    assert commits == [[False] * 40], "one commit with the holder's, before which nobody has heard of success"
    assert await texts_of(store, tenant, chat.key) == [f"m{i}" for i in range(40)]


async def test_one_that_fails_harms_no_other(store: SqliteStore) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    fault = RuntimeError("a mistake of ours")

    def break_off(tx: Transaction) -> None:
        tx.run("count_peers", tenant_id=tenant, by=1_000)
        raise fault

    async with HeldWriter(store):
        asked: list[asyncio.Future[Any]] = []
        for i in range(5):
            asked.append(asyncio.ensure_future(say(store, tenant, chat, f"m{i}")))
            asked.append(asyncio.ensure_future(store._file.write(break_off)))
            asked.append(asyncio.ensure_future(store.messages.append(tenant, new_uid7(), [draft("x")])))
            asked.append(asyncio.ensure_future(store._file.write(_break_a_constraint(tenant))))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [len(outcomes[i]) for i in range(0, 20, 4)] == [1] * 5  # type: ignore[arg-type]
    assert outcomes[1::4] == [fault] * 5
    assert [type(outcome) for outcome in outcomes[2::4]] == [ChatNotFound] * 5
    assert [type(outcome) for outcome in outcomes[3::4]] == [StoreFailed] * 5
    assert await texts_of(store, tenant, chat.key) == [f"m{i}" for i in range(5)]
    assert store._file.row("totals", tenant_id=tenant) == (1, 0, 0, 1)


def _break_a_constraint(tenant_id: Uid) -> Any:
    def operation(tx: Transaction) -> None:
        for _ in range(2):
            tx.connection.execute("INSERT INTO tenant_names VALUES ('twice', ?)", (tenant_id,))

    return operation


async def test_a_commit_that_fails_is_nobody_s_success(store: SqliteStore) -> None:
    """Neither that of whose batch it was nor that of those who joined it."""
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    await say(store, tenant, chat, "before")
    held = HeldWriter(store)
    await held.__aenter__()
    asked = [asyncio.ensure_future(say(store, tenant, chat, f"m{i}")) for i in range(10)]
    store._file._writer._connection.set_commit_hook(lambda: True)  # a commit becomes a rollback
    with pytest.raises(StoreError):
        await held.__aexit__()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert await texts_of(store, tenant, chat.key) == ["before"]
    store._file._writer._connection.set_commit_hook(None)
    await say(store, tenant, chat, "after")
    assert await texts_of(store, tenant, chat.key) == ["before", "after"]


async def test_what_is_patient_joins_nobody_s_commit(store: SqliteStore) -> None:
    """Whoever waits for that commit would wait for it too."""
    order: list[str] = []

    def note() -> bool:
        order.append("commit")
        return False

    async with HeldWriter(store):
        asked = [asyncio.ensure_future(store._file.write_patiently(lambda _: order.append("patient")))]
        await asyncio.sleep(0)
        asked += [asyncio.ensure_future(store._file.write(lambda _: order.append("prompt")))]
        store._file._writer._connection.set_commit_hook(note)
    await asyncio.gather(*asked)
    assert order == ["prompt", "commit", "patient", "commit"]


async def test_what_goes_on_lets_others_in_between(store: SqliteStore) -> None:
    """Each round is a transaction of its own, and there is an end to them."""
    order: list[str] = []

    def note() -> bool:
        order.append("commit")
        return False

    def round_of_it(_: Transaction) -> str:
        order.append("round")
        return "more"

    async with HeldWriter(store):
        going_on = asyncio.ensure_future(store._file.write_patiently(round_of_it, lambda outcome: outcome == "more", 3))
        store._file._writer._connection.set_commit_hook(note)
    assert await going_on == "more"
    assert order == ["commit", *["round", "commit"] * 3]
    order.clear()
    assert await store._file.write_patiently(round_of_it, lambda _: False, 3) == "more"
    assert order == ["round", "commit"]
    with pytest.raises(ZeroDivisionError):
        await store._file.write_patiently(lambda _: 1 // 0, lambda _: True, 3)


async def test_what_nobody_waits_for_any_more_ends(store: SqliteStore) -> None:
    """As does what would go on when the store is closed."""
    begun, rounds = threading.Event(), [0]

    def round_of_it(_: Transaction) -> None:
        rounds[0] += 1
        begun.set()

    asked = asyncio.ensure_future(store._file.write_patiently(round_of_it, lambda _: True, 1_000_000_000))
    await asyncio.to_thread(begun.wait)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await store._file.write(lambda _: None)
    done = rounds[0]
    await store._file.write(lambda _: None)
    assert rounds[0] - done <= 1
    last = asyncio.ensure_future(store._file.write_patiently(round_of_it, lambda _: True, 1_000_000_000))
    await asyncio.sleep(0)
    await store.close()
    await last


async def test_who_does_not_wait_stops_nobody(store: SqliteStore) -> None:
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    async with HeldWriter(store):
        asked = [asyncio.ensure_future(say(store, tenant, chat, f"m{i}")) for i in range(10)]
        await asyncio.sleep(0)
        for one in asked[::2]:
            one.cancel()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 5
    assert set(await texts_of(store, tenant, chat.key)) >= {f"m{i}" for i in range(1, 10, 2)}


async def test_a_queue_that_is_too_long_is_refused(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.domain.limits.WRITE_QUEUE_OPERATIONS", 5)
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    asked = []
    async with HeldWriter(store):
        for i in range(8):
            asked.append(asyncio.ensure_future(say(store, tenant, chat, f"m{i}")))
            for _ in range(3):
                await asyncio.sleep(0)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list] * 5 + [StoreUnavailable] * 3
    assert len(await texts_of(store, tenant, chat.key)) == 5


async def test_what_is_asked_after_the_end_is_refused(store: SqliteStore) -> None:
    tenant = await new_tenant(store)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.tenants.update(tenant, "{}", None)
    with pytest.raises(StoreError):
        await store.tenants.find(tenant)
    await store.close()
